"""The built-in model: made by scripts/make_builtin.py from a short run, and used by its name and without any name."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import corpora
import numpy as np
import pretraining_cases
import pytest
import torch
from huggingface_hub import ModelCard

import bertkit
from bertkit import hub
from bertkit.cli import main
from bertkit.errors import HubError, UsageError
from bertkit.pipelines import pipeline
from bertkit.training.pretrain import pretrain

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_builtin.py"
NAME = "builtin:english"
MASKED, FIRST, SECOND = "wak [MASK] wbl .", "wak wbl .", "wcm wdn xay ."
COMMANDS: dict[str, tuple[list[str], str, Any]] = {
    "fill-mask": ([MASKED], "fill-mask", MASKED),
    "embed": ([FIRST], "feature-extraction", FIRST),
    "similarity": ([FIRST, SECOND], "sentence-similarity", {"source_sentence": FIRST, "sentences": [SECOND]}),
    "nsp": ([FIRST, SECOND], "next-sentence-prediction", {"text": FIRST, "text_pair": SECOND}),
    "score": ([FIRST], "sentence-scoring", FIRST),
}
"""Command without --model -> its texts, its task, and the example in Python."""

OPTIONS = {"feature-extraction": {"pooling": "auto", "normalize": "auto"}}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_builtin", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a short run of pretraining."""
    torch.set_num_threads(1)
    shards = pretraining_cases.shards(tmp_path_factory.mktemp("corpus"))
    config = tmp_path_factory.mktemp("config") / "config.json"
    sizes = pretraining_cases.SIZES | {"vocab_size": len(corpora.tokenizer()), "max_position_embeddings": 64}
    config.write_text(json.dumps({"model_type": "bert", **sizes}))
    folder = tmp_path_factory.mktemp("run") / "run"
    options = {"max_steps": 6, "batch_size": 8, "max_length": 32, "log_steps": 1, "eval_share": 0.2, "eval_steps": 3}
    return pretrain(config, shards.folder, folder, eval_examples=20, dropout=0.0, **options).folder


@pytest.fixture(scope="module")
def made(run: Path, script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of built-in models."""
    assets = tmp_path_factory.mktemp("assets")
    notes = assets / "notes.md"
    notes.write_text("## Scores after fine-tuning\n\nNone yet.")
    assert script.main([str(run), "--out", str(assets / "english"), "--notes", str(notes)]) == 0
    return assets


@pytest.fixture
def assets(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub.place, "ASSETS", made)
    return made


@pytest.fixture
def no_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.place, "ASSETS", tmp_path / "none")


def values(found: Any) -> list[float]:
    """All numbers of an answer."""
    if isinstance(found, dict):
        return [number for value in found.values() for number in values(value)]
    if isinstance(found, list):
        return [number for value in found for number in values(value)]
    return [found] if isinstance(found, float) else []


class TestTheFolder:
    def test_weights_are_those_of_the_run_rounded_to_the_nearest_bfloat16(self, run: Path, assets: Path) -> None:
        trained = bertkit.BertForPreTraining.from_pretrained(run).state_dict()
        rounded = bertkit.BertForPreTraining.from_pretrained(NAME, dtype="auto").state_dict()
        assert trained.keys() == rounded.keys()
        for name, value in rounded.items():
            assert value.dtype == torch.bfloat16
            assert torch.equal(value, trained[name].bfloat16()), name
        assert any(not torch.equal(rounded[name].float(), trained[name]) for name in trained)

    def test_it_has_dropout_for_fine_tuning(self, run: Path, assets: Path) -> None:
        trained, made = (bertkit.BertConfig.from_pretrained(name) for name in (run, NAME))
        assert trained.hidden_dropout_prob == trained.attention_probs_dropout_prob == 0
        assert made.hidden_dropout_prob == made.attention_probs_dropout_prob == 0.1

    def test_its_tokenizer_truncates_to_its_positions(self, run: Path, assets: Path) -> None:
        """Also that of a run, whose shards were prepared for 512 tokens."""
        for folder in (run, NAME):
            tokenizer, model = bertkit.AutoTokenizer.from_pretrained(folder), bertkit.BertModel.from_pretrained(folder)
            rows = tokenizer("wak " * 600, truncation=True, return_tensors="pt")
            assert model(**rows).last_hidden_state.shape[1] == model.config.max_position_embeddings == 64

    def test_the_packaged_one_truncates_to_its_positions(self) -> None:
        tokenizer, config = bertkit.AutoTokenizer.from_pretrained(NAME), bertkit.BertConfig.from_pretrained(NAME)
        assert tokenizer.model_max_length == config.max_position_embeddings

    def test_the_card(self, run: Path, assets: Path) -> None:
        text = (assets / "english" / "README.md").read_text("utf-8")
        facts = json.loads((run / "run.json").read_text("utf-8"))
        data = ModelCard(text).data
        assert (data.language, data.license, data.model_name) == ("en", "cc-by-sa-3.0", NAME)
        assert {result.metric_name: result.metric_value for result in data.eval_results} == facts["scores"]
        assert f"{facts['tokens']:,} tokens" in text and "CC BY-SA 3.0" in text and "hours on" in text
        assert "teacher" not in text.partition("## Scores")[0] and "all-MiniLM" not in text
        parts = [
            "# builtin",
            "## How to",
            "## Texts",
            "## Answers",
            "## Scores after",
            "## Scores\n",
            "## Data",
            "## Limits",
        ]
        assert sorted(parts, key=text.index) == parts
        assert str(run.parent) not in text
        for one in pipeline("fill-mask", NAME, engine="numpy")("The capital of France is [MASK]."):
            assert f"{one['token_str']} {one['score']:.3f}" in text

    def test_the_training_log(self, run: Path, assets: Path, script: ModuleType) -> None:
        lines = (assets / "english" / "metrics.jsonl").read_text("utf-8").splitlines()
        found = [(line["event"], line["step"]) for line in map(json.loads, lines)]
        steps = [("step", number) for number in range(1, 7)]
        assert found == [*steps[:3], ("eval", 3), *steps[3:], ("eval", 6)]
        record = script.read_record(run)
        record.steps = [{"event": "step", "step": number} for number in range(1, 1002)]
        assert len(script.log([record])) == 167 + 2

    def test_a_model_of_two_runs(self, run: Path, script: ModuleType, tmp_path: Path) -> None:
        """Steps, tokens and the log are those of both."""
        words = [str(run), "--before", str(run), "--out", str(tmp_path / "two"), "--curve", str(tmp_path / "curve.svg")]
        assert script.main(words) == 0
        facts = json.loads((run / "run.json").read_text("utf-8"))
        text = (tmp_path / "two" / "README.md").read_text("utf-8")
        assert f"12 steps with {2 * facts['tokens']:,} tokens" in text
        assert f"| 2 | 6 | {facts['tokens']:,} |" in text and "base_model" not in text
        lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text("utf-8").splitlines()]
        assert [line["step"] for line in lines if line["event"] == "eval"] == [3, 6, 9, 12]
        assert "million tokens" in (tmp_path / "curve.svg").read_text("utf-8")

    def test_only_files_of_a_model(self, assets: Path) -> None:
        names = {
            str(path.relative_to(assets / "english")) for path in (assets / "english").rglob("*") if path.is_file()
        }
        extra = {"README.md", "metrics.jsonl", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"}
        required = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
        assert (
            required | extra
            <= names
            <= required | extra | {"config_sentence_transformers.json", "special_tokens_map.json"}
        )

    def test_runs_that_are_refused(
        self, run: Path, made: Path, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = tmp_path / "other"
        shutil.copytree(run, other)
        facts = json.loads((run / "run.json").read_text("utf-8"))
        (other / "run.json").write_text(json.dumps(facts | {"scores": {}}))
        assert script.main([str(other), "--out", str(tmp_path / "new")]) == 2
        (other / "run.json").write_text(json.dumps(facts | {"task": "text-classification"}))
        assert script.main([str(other), "--out", str(tmp_path / "new")]) == 2
        without_scores, other_task = capsys.readouterr().err.splitlines()
        assert "has no scores" in without_scores and "is not a run of bertkit pretrain" in other_task
        assert not (tmp_path / "new").exists()

    def test_a_folder_that_is_too_large_replaces_nothing(
        self, run: Path, made: Path, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(made / "english", tmp_path / "english")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "english").rglob("*")}
        monkeypatch.setattr(script, "MOST_BYTES", 50_000)
        with pytest.raises(UsageError, match=r"The model has [\d,]+ bytes, but at most 50,000 are allowed"):
            script.make(run, tmp_path / "english")
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "english").rglob("*")} == before
        monkeypatch.undo()
        script.make(run, tmp_path / "english")
        assert "Scores after" not in (tmp_path / "english" / "README.md").read_text("utf-8")


class TestItsName:
    def test_every_loader_accepts_it(self, assets: Path) -> None:
        config = bertkit.BertConfig.from_pretrained(NAME)
        assert config.architectures == ["BertForPreTraining"] and config.dtype == "bfloat16"
        assert bertkit.AutoTokenizer.from_pretrained(NAME).tokenize("wak xay") == ["wak", "xa", "##y"]
        assert bertkit.BertTokenizer.from_pretrained(NAME).mask_token == "[MASK]"
        model = bertkit.AutoModelForMaskedLM.from_pretrained(NAME)
        assert type(model).__name__ == "BertForMaskedLM" and model.dtype == torch.float32
        tensors, report = bertkit.load_checkpoint(NAME)
        assert report.head == "ForPreTraining" and report.exact and len(tensors) == len(report.loaded)

    def test_neither_a_folder_nor_the_hub_can_take_its_place(
        self, assets: Path, no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / NAME).mkdir()
        (tmp_path / "builtin:other").mkdir()
        assert hub.locate(NAME).fetch("config.json") == assets / "english" / "config.json"
        for name in (
            "builtin:other",
            "builtin:",
            "builtin:english/",
            "builtin:../english",
            "builtin:english/1_Pooling",
        ):
            with pytest.raises(HubError, match=r"nor a built-in model \(builtin:english\)"):
                hub.locate(name)
        assert hub.locate("./builtin:other").files == ()
        with pytest.raises(HubError, match="is not a folder or file here"):
            hub.locate(Path("builtin:none"))


class TestWithoutAModel:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_commands_answer(
        self, command: str, assets: Path, no_network: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words, task, example = COMMANDS[command]
        assert main([command, *words]) == 0
        output = capsys.readouterr()
        assert not output.err  # it is not a terminal
        expected = pipeline(task, assets / "english", engine="numpy", **OPTIONS.get(task, {}))(example)
        assert values(json.loads(output.out)) == pytest.approx(values(expected), rel=1e-6)
        assert main([command, *words, "--model", NAME]) == 0
        assert capsys.readouterr().out == output.out

    @pytest.mark.parametrize("command", COMMANDS)
    def test_pipelines_answer_with_any_engine(self, command: str, assets: Path, no_network: None) -> None:
        """The bfloat16 weights are computed with as float32."""
        _, task, example = COMMANDS[command]
        options = OPTIONS.get(task, {})
        answers = {engine: pipeline(task, engine=engine, precision="fp32", **options) for engine in ("numpy", "torch")}
        assert {pipe.precision for pipe in answers.values()} == {"fp32"}
        first, second = (values(pipe(example)) for pipe in answers.values())
        assert first and first == pytest.approx(second, rel=1e-5, abs=1e-6)

    def test_vectors_are_means_of_the_trained_length(self, assets: Path) -> None:
        tokens = np.array(pipeline("feature-extraction", engine="numpy")(FIRST)[0])
        vector = pipeline("feature-extraction", engine="numpy", pooling="auto")(FIRST)
        assert np.allclose(vector, tokens.mean(0), atol=1e-6)
        embed = pipeline("feature-extraction", engine="numpy", pooling="auto", on_long="truncate", details=True)
        assert embed(" ".join(["wak"] * 60))["n_tokens"] == 62
        assert np.allclose(embed(" ".join(["wak"] * 60))["result"], embed(" ".join(["wak"] * 30))["result"], atol=1e-6)

    def test_run_and_a_resumed_output(
        self, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "texts.txt").write_text(f"{MASKED}\n{MASKED}\n")
        words = ["run", "--task", "fill-mask", "--input", "texts.txt", "--output", "words.jsonl"]
        assert main(words) == 0
        assert len((tmp_path / "words.jsonl").read_text().splitlines()) == 2
        assert main([*words, "--model", NAME, "--overwrite"]) == 0
        assert "2 rows written" in capsys.readouterr().err

    def test_people_read_which_model_answered(self, assets: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        note = "bertkit: the built-in model (builtin:english) answers; for another one, type --model\n"
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert main(["fill-mask", MASKED, MASKED]) == 0
        assert capsys.readouterr().err == note
        assert main(["fill-mask", MASKED, "--model", NAME]) == 0
        assert not capsys.readouterr().err

    @pytest.mark.parametrize("command", ["classify", "ner", "qa", "choose", "zero-shot"])
    def test_a_trained_head_is_still_needed(
        self, command: str, assets: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([command]) == 2
        assert capsys.readouterr().err.endswith("type --model with its directory or its Hub id.\n")

    def test_only_a_task_has_a_default(self, assets: Path) -> None:
        with pytest.raises(UsageError, match="A pipeline needs a task or a model"):
            pipeline()
        with pytest.raises(
            UsageError, match="question-answering needs a BertForQuestionAnswering, but no model was passed"
        ):
            pipeline("question-answering")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_package_without_weights(self, command: str, no_assets: None, capsys: pytest.CaptureFixture[str]) -> None:
        words, task, _ = COMMANDS[command]
        assert main([command, *words]) == 2
        assert capsys.readouterr().err.endswith("type --model with its directory or its Hub id.\n")
        with pytest.raises(UsageError, match="but no model was passed"):
            pipeline(task)
        with pytest.raises(HubError, match=r"nor a built-in model \(there are none\)"):
            hub.locate(NAME)
