"""What the doctor says of models: whole ones, whose commands run, and broken folders."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pipeline_cases
import pytest
import writing_cases
from pipeline_models import folder

from bertkit import BertTokenizer, load_checkpoint
from bertkit.checkpoint.save import save_safetensors
from bertkit.cli import COMMANDS as ALL_COMMANDS
from bertkit.cli import main
from bertkit.diagnosis.findings import Finding
from bertkit.diagnosis.model import COMMANDS, examined
from bertkit.tasks import TASKS

ARGUMENTS = {
    "fill-mask": ["The [MASK] is cold."],
    "classify": ["A film."],
    "zero-shot": ["A film.", "--labels", "art,law"],
    "ner": ["Anna moved."],
    "qa": ["--question", "Who?", "--context", "Anna moved."],
    "nsp": ["A film.", "It rains."],
    "choose": ["It rains.", "a", "b"],
    "score": ["A film."],
    "generate": ["A film", "--max-new-tokens", "2"],
    "summarize": ["A film.", "--max-new-tokens", "2"],
    "embed": ["A film."],
    "similarity": ["A film.", "It rains."],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a model, to break."""
    return Path(shutil.copytree(folder("two"), tmp_path / "model"))


def faults(path: Path | str) -> list[Finding]:
    return [one for one in examined(str(path)) if one.status != "ok"]


def only_fault(path: Path, status: str = "wrong") -> Finding:
    (found,) = faults(path)
    assert found.status == status
    assert found.remedy
    return found


def named(path: Path, name: str) -> list[Finding]:
    return [one for one in examined(str(path)) if one.name == name]


def commands(path: Path) -> list[str]:
    """The commands that the doctor says work."""
    return [command for one in named(path, "commands") for command in one.values["commands"]]


def change_config(model: Path, **values: object) -> None:
    config = json.loads((model / "config.json").read_text())
    config = {name: value for name, value in {**config, **values}.items() if value != "absent"}
    (model / "config.json").write_text(json.dumps(config))


def change_weights(model: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = dict(load_checkpoint(model)[0])
    change(tensors)
    tensors = {name: array.copy() for name, array in tensors.items()}
    (model / "model.safetensors").unlink()
    save_safetensors(model, tensors, 10**9)


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("masked", ["fill-mask", "score", "embed", "similarity", "evaluate"]),
        ("two", ["classify", "zero-shot", "embed", "similarity", "evaluate"]),
        ("follows", ["classify", "zero-shot", "embed", "similarity", "evaluate"]),
        ("names", ["ner", "embed", "similarity", "evaluate"]),
        ("answers", ["qa", "embed", "similarity", "evaluate"]),
        ("order", ["nsp", "embed", "similarity", "evaluate"]),
        ("choices", ["choose", "embed", "similarity", "evaluate"]),
        ("decoder", ["score", "fill-mask", "generate", "embed", "similarity", "evaluate"]),
        ("plain", ["embed", "similarity"]),
    ],
)
def test_commands_of_whole_models(name: str, commands: list[str]) -> None:
    assert faults(folder(name)) == []
    (found,) = named(folder(name), "commands")
    assert found.values["commands"] == [*commands, "finetune", "bench", "convert", "export", "serve"]


@pytest.mark.parametrize(("name", "command"), [("follows", "zero-shot"), ("order", "nsp"), ("choices", "choose")])
def test_these_commands_run(name: str, command: str) -> None:
    assert main([command, *ARGUMENTS[command], "--model", str(folder(name))]) == 0


def test_each_command_of_a_task_is_known() -> None:
    assert set(COMMANDS.values()) == ARGUMENTS.keys() <= ALL_COMMANDS.keys()
    assert set(TASKS) - COMMANDS.keys() == {"pretraining", "sentence-embedding", "text2text-generation"}  # no command


def test_an_encoder_decoder() -> None:
    path = writing_cases.pair_folder()
    assert faults(path) == []
    assert named(path, "commands")[0].values["commands"] == ["summarize"]
    assert [one.text.split(" are")[0] for one in named(path, "weights")[1:]] == [
        "All 39 tensors of the encoder",
        "All 62 tensors of the decoder",
    ]


def test_a_model_that_is_not_here() -> None:
    found = only_fault(Path("nobody/nothing"))
    assert "is not in the cache" in found.text


def test_a_long_name() -> None:
    (found,) = faults("x" * 5_000)
    assert len(found.text) + len(found.remedy) < 1_000


def test_an_empty_folder(tmp_path: Path) -> None:
    found = only_fault(tmp_path)
    assert found.name == "config"
    assert "config.json" in found.remedy


def test_a_configuration_that_is_no_json(model: Path) -> None:
    (model / "config.json").write_text("{")
    found = faults(model)
    assert {one.name for one in found} == {"config"}
    assert "not valid JSON" in found[0].text


def test_without_a_tokenizer(model: Path) -> None:
    for path in model.glob("*"):
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    found = only_fault(model)
    assert found.name == "tokenizer"
    assert "vocab.txt" in found.remedy
    assert commands(model) == ["convert", "export"]


def test_a_tokenizer_with_more_tokens_than_the_table(model: Path) -> None:
    BertTokenizer([*pipeline_cases.vocabulary(), "onemore"], model_max_length=64).save_pretrained(model)
    assert "but the word embeddings only 605 rows" in only_fault(model).text
    assert commands(model) == ["convert", "export"]


def test_a_tokenizer_with_far_fewer_tokens(model: Path) -> None:
    BertTokenizer(pipeline_cases.vocabulary()[:100], model_max_length=64).save_pretrained(model)
    assert "it may be of another model" in only_fault(model, "note").text


def test_a_longer_maximum_than_positions(model: Path) -> None:
    BertTokenizer(pipeline_cases.vocabulary(), model_max_length=512).save_pretrained(model)
    assert '"model_max_length": 64' in only_fault(model).remedy


def test_a_tokenizer_that_lower_cases_a_cased_vocabulary(model: Path) -> None:
    words = [
        word.capitalize() if word[:1].isalpha() and len(word) > 2 else word for word in pipeline_cases.vocabulary()
    ]
    BertTokenizer(words, model_max_length=64).save_pretrained(model)
    found = only_fault(model)
    assert found.values["capitals"] > 100
    assert found.remedy == 'write "do_lower_case": false into tokenizer_config.json'
    BertTokenizer(words, model_max_length=64, do_lower_case=False).save_pretrained(model)
    assert faults(model) == []


def test_a_tokenizer_that_keeps_capitals_that_its_vocabulary_lacks(model: Path) -> None:
    BertTokenizer(pipeline_cases.vocabulary(), model_max_length=64, do_lower_case=False).save_pretrained(model)
    assert only_fault(model).remedy == 'write "do_lower_case": true into tokenizer_config.json'


def test_weights_that_are_missing(model: Path) -> None:
    change_weights(model, lambda tensors: tensors.pop("bert.encoder.layer.1.output.dense.weight"))
    found = only_fault(model)
    assert found.values["tensors"] == ["bert.encoder.layer.1.output.dense.weight"]
    assert found.text.startswith("1 tensor is missing from")
    assert commands(model) == []


def test_weights_that_are_unexpected(model: Path) -> None:
    change_weights(model, lambda tensors: tensors.update(of_another_model=np.zeros(3, np.float32)))
    found = only_fault(model)
    assert "not parameters of the BERT of config.json" in found.text
    assert found.values["tensors"] == ["of_another_model"]
    assert commands(model) == []


def test_a_configuration_with_fewer_layers(model: Path) -> None:
    """The layers that it leaves out must not be deleted."""
    change_config(model, num_hidden_layers=1)
    found = only_fault(model)
    assert len(found.values["tensors"]) == 16
    assert found.remedy.startswith("copy the config.json of the same model")


def test_weights_of_another_shape(model: Path) -> None:
    change_config(model, type_vocab_size=3)
    assert "[2, 16], expected [3, 16]" in only_fault(model).text
    assert commands(model) == []


def test_a_classifier_that_the_files_lack(model: Path) -> None:
    def without(tensors: dict[str, np.ndarray]) -> None:
        for name in ("classifier.weight", "classifier.bias"):
            del tensors[name]

    change_weights(model, without)
    found = only_fault(model)
    assert found.remedy.startswith("train them: bertkit finetune --model ")
    assert named(model, "commands")[0].values["commands"][:3] == ["embed", "similarity", "finetune"]


def test_weights_that_are_cut(model: Path) -> None:
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert only_fault(model).name == "weights"
    assert named(model, "commands") == []


def test_no_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "There are no weights" in only_fault(model).text


def test_pickles(model: Path) -> None:
    (model / "training_args.bin").write_bytes(b"\x80\x02cos\nsystem\n")
    found = only_fault(model, "note")
    assert found.values["pickles"] == ["training_args.bin"]
    (model / "model.safetensors").unlink()
    with zipfile.ZipFile(model / "pytorch_model.bin", "w") as file:  # weights that would run code
        file.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\n(S'echo'\ntR.")
    pickle, weights = faults(model)
    assert pickle.remedy.startswith("bertkit convert ")
    assert (weights.name, weights.status) == ("weights", "wrong")


def test_absent_fields_of_the_configuration(model: Path) -> None:
    change_config(model, architectures="absent", type_vocab_size="absent")
    fields, marks = faults(model)
    assert fields.values["absent"] == ["type_vocab_size"]
    assert marks.values["absent"] == ["architectures"]
    assert (fields.status, marks.status) == ("note", "note")
    assert named(model, "class")[0].values["head"] == "ForSequenceClassification"  # from the parts of the file


def test_an_unknown_class_and_another_model(model: Path) -> None:
    change_config(model, architectures=["RobertaForMaskedLM"])
    found = only_fault(model)
    assert "'RobertaForMaskedLM' is not a class of BERT" in found.text
    assert found.remedy.startswith("write the class of the model into config.json")
    assert commands(model) == []
    assert main(["classify", "A film.", "--model", str(model)]) == 2  # the doctor is right
    change_config(model, model_type="roberta")
    assert "roberta" in faults(model)[0].text


def test_nothing_breaks_the_doctor(tmp_path: Path) -> None:
    """Files that are folders, empty or of noise."""
    noise = np.random.default_rng(0)
    for number, name in enumerate(("config.json", "vocab.txt", "tokenizer.json", "model.safetensors", "modules.json")):
        for kind in ("folder", "empty", "noise"):
            own = Path(shutil.copytree(folder("two"), tmp_path / f"{number}{kind}"))
            (own / name).unlink(missing_ok=True)
            if kind == "folder":
                (own / name).mkdir()
            else:
                (own / name).write_bytes(noise.bytes(300) if kind == "noise" else b"")
            assert all(one.remedy for one in faults(own)), (name, kind)
