"""Training of sentence embeddings beside sentence-transformers: losses, gradients, and the folder of the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer import modules as st
from torch import Tensor

from bertkit import BertConfig, BertModel, evaluate, finetune, pipeline
from bertkit.cli import main
from bertkit.data.batches import pack
from bertkit.engines.torch import model_class
from bertkit.errors import UsageError
from bertkit.hub import locate
from bertkit.tasks.embedding.files import _OLDER
from bertkit.tasks.sentence_embedding import SentenceEmbedding
from bertkit.training.batches import Unit, units_of
from bertkit.training.embeddings import Embeddings, embedding_objective
from bertkit.training.loop import Finetuner
from bertkit.training.options import Settings

TEXTS = [
    "the river of it",
    "another one",
    "it is",
    "the end",
    "a storm and the west",
    "one",
    "the the end of it",
    "and it",
]
PAIRS = [{"text": TEXTS[at], "text_pair": TEXTS[at + 4]} for at in range(4)]
TRIPLETS = [{**pair, "negative": TEXTS[(at + 1) % 4]} for at, pair in enumerate(PAIRS)]
SCORES = [4.0, 2.5, 2.5, 0.0]
FORMS = {
    "pairs": (PAIRS, [None] * 4),
    "triplets": (TRIPLETS, [None] * 4),
    "scores": (PAIRS, SCORES),
}


def settings(**options: Any) -> Settings:
    return Settings(
        **{
            "task": "sentence-embedding",
            "model": "m",
            "train": "t",
            "batch_size": 4,
            "device": "cpu",
            "clip": 0.0,
            **options,
        }
    )


def theirs(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def saved(folder: Path, *steps: Any, **options: Any) -> Path:
    """Save a tiny BERT and the steps after it with sentence-transformers."""
    modules = [st.Transformer(str(pipeline_models.folder("plain"))), *steps]
    SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with small weights, which can be trained."""
    tokenizer = pipeline_models.tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    length = tokenizer.model_max_length
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes, max_position_embeddings=length)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder: Path, form: str = "pairs", **options: Any) -> tuple[Any, list[Unit], Embeddings]:
    """Return a model without dropout, the units of a form, and their objective."""
    model = model_class("Model").from_pretrained(
        folder, add_pooling_layer=False, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    task = SentenceEmbedding(pipeline_models.tokenizer(), model.config, locate(folder))
    inputs, answers = FORMS[form]
    units = units_of(task.targets(inputs, answers, task.options({})), "Model")
    return model, units, embedding_objective(task, units, settings(**options))


def their_loss(model: SentenceTransformer, form: str) -> Tensor:
    inputs, answers = FORMS[form]
    columns = [[one[name] for one in inputs] for name in ("text", "text_pair", "negative") if name in inputs[0]]
    features = [model.tokenize(column) for column in columns]
    loss = (losses.CoSENTLoss if form == "scores" else losses.MultipleNegativesRankingLoss)(model)
    found: Tensor = loss(features, torch.tensor([0.0 if answer is None else answer for answer in answers]))
    return found


def gradients_of(model: Any) -> dict[str, Tensor]:
    """Return the gradients by names that both libraries have."""
    return {
        name.partition("embeddings.")[2] or name.partition("encoder.")[2]: parameter.grad.clone().to_dense()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and "pooler" not in name
    }


def our_step(model: Any, units: list[Unit], objective: Embeddings, **options: Any) -> tuple[float, dict[str, Tensor]]:
    """Make a step with the loop, and return the loss and the gradients."""
    tuner = Finetuner(model, units, objective, settings(**options))
    found: dict[str, Tensor] = {}
    tuner.optimizer.step = lambda: found.update(gradients_of(model))  # type: ignore[method-assign, assignment]
    return tuner.step().loss, found


@pytest.mark.parametrize("batch_tokens", [4096, 30])
@pytest.mark.parametrize("form", FORMS)
def test_losses_and_gradients(form: str, batch_tokens: int, tmp_path: Path) -> None:
    """In one batch, and in several with two passes. In float32, the other library's own rounding is up to 2e-5."""
    folder = saved(tmp_path / "model", st.Pooling(16, "mean"))
    model, units, objective = opened(folder, form)
    other = theirs(folder).eval().double()
    expected = their_loss(other, form)
    expected.backward()  # type: ignore[no-untyped-call]
    loss, found = our_step(model, units, objective, batch_tokens=batch_tokens)
    assert loss == pytest.approx(float(expected.detach()), abs=1e-5)
    wanted = gradients_of(other)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name].double(), gradient, atol=1e-5, rtol=0)


def test_two_passes_have_the_same_dropout(tmp_path: Path) -> None:
    """The gradients are those of the vectors of the first pass, and the random state continues after it."""
    folder = saved(tmp_path / "model", st.Pooling(16, "mean"))
    model, units, objective = opened(folder)
    model = model_class("Model").from_pretrained(folder, add_pooling_layer=False, hidden_dropout_prob=0.5)
    model.train()
    batches = [pack(unit) for unit in units]
    torch.manual_seed(3)
    objective.begin_step(model, batches)
    after = torch.get_rng_state()
    shares = [share.gradient for share in objective._shares]
    sum(objective(model, batch) for batch in batches).backward()  # type: ignore[union-attr]
    assert torch.equal(torch.get_rng_state(), after)
    found = gradients_of(model)
    model.zero_grad()
    torch.manual_seed(3)
    for batch, gradient in zip(batches, shares, strict=True):
        (objective._vectors(objective.outputs(model, batch), batch) * gradient).sum().backward()
    for name, gradient in gradients_of(model).items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-6)


def test_a_resumed_run_is_the_same(encoder: Path) -> None:
    """With dropout and two passes: the same losses, and the same bits of all weights."""

    def tuner() -> Finetuner:
        _, units, objective = opened(encoder)
        model = model_class("Model").from_pretrained(encoder, add_pooling_layer=False, hidden_dropout_prob=0.3)
        torch.manual_seed(3)
        return Finetuner(model, units, objective, settings(epochs=6, lr=1e-3, batch_tokens=15))

    whole, first, second = tuner(), tuner(), tuner()
    assert len(whole.next_batches()) > 1
    torch.manual_seed(3)
    losses = [whole.step().loss for _ in range(6)]
    torch.manual_seed(3)
    again = [first.step().loss for _ in range(3)]
    values, tensors = first.state()
    second.model.load_state_dict(first.model.state_dict())
    second.restore(values, tensors)
    assert again + [second.step().loss for _ in range(3)] == losses
    assert len(set(losses)) == 6
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


MODES: Sequence[Any] = [*_OLDER.values(), ("max", "cls")]


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_pooling_of_the_files(modes: Any, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", st.Pooling(16, modes), st.Normalize(), truncate_dim=12)
    model, units, objective = opened(folder)
    vectors = [objective._vectors(objective.outputs(model.eval(), pack(unit)), pack(unit)).detach() for unit in units]
    expected = theirs(folder).encode(
        [pair[name] for pair in PAIRS for name in ("text", "text_pair")], truncate_dim=None
    )
    found = torch.nn.functional.normalize(torch.cat(vectors).flatten(0, 1), dim=-1)
    width = found.shape[1]
    expected = torch.nn.functional.normalize(torch.from_numpy(np.array(expected))[:, :width], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


# Whole runs.


def rows(form: str) -> list[dict[str, Any]]:
    inputs, answers = FORMS[form]
    pairs = zip(inputs, answers, strict=True)
    return [{**one, **({} if answer is None else {"score": answer})} for one, answer in pairs]


def train(form: str, out: Path, model: Path, **options: Any) -> Any:
    options = {"epochs": 60, "eval_steps": 30, "lr": 5e-3, "batch_size": 4, "device": "cpu", **options}
    return finetune("sentence-embedding", model, rows(form), eval=rows(form), out=out, **options)


def same_vectors(folder: Path) -> None:
    ours = pipeline("feature-extraction", folder, pooling="auto", normalize=False, precision="fp32")
    expected = theirs(folder).encode(TEXTS)
    assert np.abs(np.array(ours(TEXTS)) - expected).max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_the_run(form: str, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It learns, and the result has the same vectors in sentence-transformers and in bertkit's own commands."""
    out = tmp_path / "out"
    result = train(form, out, encoder)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in records if record["event"] == "eval"]
    name = "spearmanr" if form == "scores" else "accuracy"
    assert evaluations[-1]["loss"] < evaluations[0]["loss"]
    assert result.scores[name] > 0.8
    assert json.loads((out / "run.json").read_text())["best"]["metric"] == name
    same_vectors(out)
    assert main(["similarity", TEXTS[0], TEXTS[1], "--model", str(out), "--json"]) == 0
    first, second = theirs(out).encode(TEXTS[:2], normalize_embeddings=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found == pytest.approx(float(first @ second), abs=1e-5)


def test_the_files_of_the_model_are_kept(tmp_path: Path) -> None:
    """Pooling by the first token, prompts, and a BERT in a folder of its own."""
    folder = saved(tmp_path / "model", st.Pooling(16, "cls"), prompts={"query": "the "}, similarity_fn_name="cosine")
    inner = folder / "0_Transformer"
    inner.mkdir()
    modules = json.loads((folder / "modules.json").read_text())
    for path in [
        path
        for path in folder.iterdir()
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json")
    ]:
        shutil.move(path, inner / path.name)
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    result = train("triplets", tmp_path / "out", folder, epochs=1, eval_steps=None)
    assert "accuracy" in result.scores
    assert (
        json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())["prompts"]["query"] == "the "
    )
    same_vectors(tmp_path / "out")
    assert pipeline("feature-extraction", tmp_path / "out", pooling="auto")._task.recipe.pooling.modes == ("cls",)


def test_scores_of_pairs() -> None:
    """The rank of the second text among all second texts; equal ones do not count as better."""
    task = SentenceEmbedding(pipeline_models.tokenizer(), model_class("Model").config_class())
    vectors = [[[1, 0], [1, 0.1]], [[0, 1], [1, 0]], [[1, 1], [1, 1]], [[1, 0], [1, 0.1]]]
    answers = [{"similarities": [0.0], "vectors": pair} for pair in vectors]
    assert task.score(answers, [None] * 4) == pytest.approx({"accuracy": 0.25, "mrr": (1 / 2 + 1 / 4 + 1 + 1 / 2) / 4})
    triplets = [{"similarities": similarities} for similarities in ([0.3, 0.1], [0.2, 0.4])]
    assert task.score(triplets, [None] * 2) == {"accuracy": 0.5}
    assert task.score([[0.1], [0.3], [0.2]], [1.0, 5.0, 2.0])["spearmanr"] == pytest.approx(1)
    with pytest.raises(UsageError, match="Some examples have a similarity and others have none"):
        task.score([[0.1], [0.3]], [1.0, None])


@pytest.mark.parametrize(
    ("form", "names"),
    [("pairs", ["accuracy", "mrr"]), ("triplets", ["accuracy"]), ("scores", ["spearmanr", "pearson"])],
)
def test_evaluation(form: str, names: list[str]) -> None:
    """The scores, the intervals and the lines of the predictions file; a wrong task is refused with the right one."""
    folder = pipeline_models.folder("plain")
    found = evaluate(folder, rows(form), task="sentence-embedding", engine="numpy", resamples=20)
    assert list(found.scores) == list(found.intervals) == names
    json.dumps(found.predictions)
    similarities = pipeline("sentence-embedding", folder, engine="numpy")(FORMS[form][0])
    answers = [line["answer"] for line in found.predictions]
    assert answers == [some if form == "triplets" else some[0] for some in similarities]
    if form == "pairs":
        with pytest.raises(UsageError, match='need the task of embeddings: type task="sentence-embedding"'):
            evaluate(folder, rows(form), task="sentence-similarity", engine="numpy")


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        ([st.Pooling(16, "mean"), st.Dense(16, 8)], {}, "has a dense layer after its pooling, which is not trained"),
        (
            [st.Pooling(16, "mean")],
            {"similarity_fn_name": "dot"},
            "compares vectors by dot, but training compares them by cosine",
        ),
    ],
)
def test_models_that_cannot_be_trained(steps: Any, options: Any, message: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", *steps, **options)
    with pytest.raises(UsageError, match=message):
        opened(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1}, "A step of one example has nothing to compare it with: type for example batch_size=32"),
        ({"label_smoothing": 0.1}, r"label_smoothing=0\.1 has no meaning for sentence-embedding: leave it out"),
        ({"shard": True}, "shard=True has no meaning for sentence-embedding"),
        ({"teacher": "x"}, "teacher='x' has no meaning for sentence-embedding"),
        ({"on_long": "window"}, 'is trained on one row for each text: type on_long="truncate"'),
    ],
)
def test_options_that_have_no_meaning(options: Any, message: str, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        train("pairs", tmp_path / "out", encoder, **options)


def test_examples_of_several_forms() -> None:
    model, units, _ = opened(pipeline_models.folder("plain"))
    _, others, _ = opened(pipeline_models.folder("plain"), "triplets")
    task = SentenceEmbedding(pipeline_models.tokenizer(), model.config, None)
    with pytest.raises(UsageError, match="The training examples have several forms: pass only pairs"):
        embedding_objective(task, [*units, *others], settings())
