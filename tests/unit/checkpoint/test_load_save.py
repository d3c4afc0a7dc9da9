"""Round trips through every format, exact loading, and errors for tensors that do not match."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from bertkit import convert, hub, inspect, load_checkpoint, save_checkpoint
from bertkit.checkpoint import safetensors_file
from bertkit.checkpoint.canonical import canonical
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import fit
from bertkit.checkpoint.save import byte_count
from bertkit.checkpoint.source import WEIGHTS, preferred_to
from bertkit.config import BertConfig
from bertkit.errors import ConfigError, FileFormatError, HubError, LoadError, UnsafeFileError, UsageError
from bertkit.heads import HEADS

FORMATS = ("safetensors", "google", "h5", "msgpack")
CROSS = {"is_decoder": True, "add_cross_attention": True}


def saved(folder: Path, head: str, to: Any = "safetensors", **given: Any) -> Tensors:
    """Save the tiny model of a class, and return its weights."""
    config = tiny.config(**given)
    weights = tiny.weights(config, head)
    save_checkpoint(folder, weights, config, head, to=to)
    return weights


def assert_equal(tensors: Tensors, wanted: Tensors) -> None:
    assert tensors.keys() == wanted.keys()
    for name, array in wanted.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("to", FORMATS)
def test_every_class_in_every_format(tmp_path: Path, head: str, to: str) -> None:
    weights = saved(tmp_path, head, to)
    tensors, report = load_checkpoint(tmp_path)
    assert_equal(tensors, weights)
    assert report.exact
    assert report.head == head
    assert not (report.fresh or report.left_out)
    # Keras files have a duplicate of the embeddings below the head that shares them.
    assert all(name.startswith("mlm___cls/") and "/bert/embeddings/" in name for name in report.dropped)
    assert not any(array.flags.owndata or array.flags.writeable for array in tensors.values())


@pytest.mark.parametrize("to", FORMATS)
def test_decoders_with_cross_attention(tmp_path: Path, to: str) -> None:
    weights = saved(tmp_path, "LMHeadModel", to, **CROSS)
    tensors, report = load_checkpoint(tmp_path)
    assert_equal(tensors, weights)
    assert report.head == "LMHeadModel"


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("to", FORMATS)
def test_every_format_to_every_other(tmp_path: Path, source: str, to: str) -> None:
    weights = saved(tmp_path / "source", "ForPreTraining", source)
    before = {path.name: path.read_bytes() for path in (tmp_path / "source").iterdir()}
    convert(tmp_path / "source", tmp_path / "new", to=to)
    assert_equal(load_checkpoint(tmp_path / "new")[0], weights)
    assert {path.name: path.read_bytes() for path in (tmp_path / "source").iterdir()} == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("to", ["safetensors", "google", "msgpack"])
def test_half_precision_is_kept(tmp_path: Path, dtype: str, to: str) -> None:
    import ml_dtypes

    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM", np.dtype(getattr(ml_dtypes, dtype, dtype)))
    save_checkpoint(tmp_path, weights, config, "ForMaskedLM", to=to)
    assert_equal(load_checkpoint(tmp_path)[0], weights)


def test_shards(tmp_path: Path) -> None:
    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM")
    save_checkpoint(tmp_path, weights, config, "ForMaskedLM", max_shard_size="1KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 3
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in weights.values())
    assert_equal(load_checkpoint(tmp_path)[0], weights)
    save_checkpoint(tmp_path, weights, config, "ForMaskedLM")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    save_checkpoint(tmp_path, weights, config, "ForMaskedLM", max_shard_size=1000)
    assert not (tmp_path / "model.safetensors").exists()
    assert_equal(load_checkpoint(tmp_path)[0], weights)


def test_variants(tmp_path: Path) -> None:
    config = tiny.config()
    weights = tiny.weights(config, "Model")
    save_checkpoint(tmp_path, weights, config, "Model", variant="fp16")
    assert (tmp_path / "model.fp16.safetensors").exists()
    assert_equal(load_checkpoint(tmp_path, variant="fp16")[0], weights)
    save_checkpoint(tmp_path, weights, config, "Model", variant="fp16", max_shard_size=1000)
    assert (tmp_path / "model.safetensors.index.fp16.json").exists()
    assert_equal(load_checkpoint(tmp_path, variant="fp16")[0], weights)
    with pytest.raises(HubError, match=r"no weights in .*model\.safetensors"):
        load_checkpoint(tmp_path)


def test_a_file_as_a_name(tmp_path: Path) -> None:
    weights = saved(tmp_path, "Model", "google")
    shutil.copy(tmp_path / "config.json", tmp_path / "other.json")
    for name in ("bert_model.ckpt.index", "bert_model.ckpt"):
        assert_equal(load_checkpoint(tmp_path / name)[0], weights)
        assert_equal(load_checkpoint(str(tmp_path / name))[0], weights)
    saved(tmp_path, "Model", "h5")
    assert_equal(load_checkpoint(tmp_path / "tf_model.h5")[0], weights)
    assert_equal(load_checkpoint(tmp_path, formats=["h5"])[0], weights)
    with pytest.raises(UsageError, match="Unknown format 'h6': choose one of safetensors, bin, google, h5, msgpack"):
        load_checkpoint(tmp_path, formats=["h6"])
    with pytest.raises(FileFormatError, match="has an unknown ending: files of weights end in"):
        load_checkpoint(tmp_path / "other.json")


def test_a_checkpoint_of_googles_fine_tuning_has_a_number(tmp_path: Path) -> None:
    weights = saved(tmp_path, "ForSequenceClassification", "google")
    for path in tmp_path.glob("bert_model.ckpt.*"):
        path.rename(path.with_name(path.name.replace("bert_model.ckpt", "model.ckpt-343")))
    (tmp_path / "config.json").unlink()
    config = tiny.config()
    assert_equal(load_checkpoint(tmp_path, config=config)[0], weights)
    assert_equal(load_checkpoint(tmp_path / "model.ckpt-343", config=config)[0], weights)


# Tensors of a file that match a class, or do not.


def test_a_head_of_pretraining_is_left_out_for_a_classifier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = saved(tmp_path, "ForPreTraining")
    tensors, report = load_checkpoint(tmp_path, "ForSequenceClassification")
    assert tensors.keys() == {name for name in weights if name.startswith("bert.")}
    assert report.exact
    assert report.fresh == ("classifier.weight", "classifier.bias")
    assert all(name.startswith("cls.") for name in report.left_out)
    assert [record.getMessage() for record in caplog.records] == [
        (
            f"{tmp_path / 'model.safetensors'} has no classifier: "
            "initialized at random in BertForSequenceClassification, train it before use."
        )
    ]
    caplog.clear()
    load_checkpoint(tmp_path, "ForMaskedLM")
    assert not caplog.records


def test_a_masked_language_model_gives_a_classifier_a_fresh_pooler(tmp_path: Path) -> None:
    saved(tmp_path, "ForMaskedLM")
    _, report = load_checkpoint(tmp_path, "ForSequenceClassification")
    assert report.fresh == (
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    )


def _without(name: str) -> Any:
    return lambda weights: weights.pop(name)


def _with(name: str, shape: tuple[int, ...]) -> Any:
    return lambda weights: weights.update({name: np.zeros(shape, np.float32)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without("bert.embeddings.LayerNorm.weight"), "1 missing: bert.embeddings.LayerNorm.weight"),
        (_without("bert.encoder.layer.1.output.dense.bias"), "1 missing: bert.encoder.layer.1.output.dense.bias"),
        (_without("bert.pooler.dense.bias"), "1 missing: bert.pooler.dense.bias"),
        (_without("classifier.bias"), "1 missing: classifier.bias"),
        (_with("bert.encoder.layer.2.output.dense.bias", (8,)), "1 unexpected: bert.encoder.layer.2.output.dense.bias"),
        (_with("bert.encoder.layer.1.crossattention.self.key.bias", (8,)), "1 unexpected: .*crossattention"),
        (_with("crf.transitions", (8,)), "1 unexpected: crf.transitions"),
        (_with("bert.pooler.dense.bias", (9,)), r"1 of another shape: bert.pooler.dense.bias \[9\], expected \[8\]"),
        (_with("classifier.weight", (5, 8)), r"1 of another shape: classifier.weight \[5, 8\], expected \[3, 8\]"),
    ],
)
def test_loading_is_exact_or_an_error(tmp_path: Path, change: Any, sentence: str) -> None:
    config = tiny.config()
    weights = tiny.weights(config, "ForSequenceClassification")
    change(weights)
    config.save_pretrained(tmp_path)
    safetensors_file.write(tmp_path / "model.safetensors", weights)
    with pytest.raises(LoadError, match=sentence):
        load_checkpoint(tmp_path, "ForSequenceClassification")
    _, report = load_checkpoint(tmp_path, "ForSequenceClassification", strict=False)
    assert not report.exact
    info = report.loading_info()
    assert sum(len(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")) == 1


def test_another_number_of_labels_by_choice(tmp_path: Path) -> None:
    saved(tmp_path, "ForSequenceClassification")
    config = BertConfig.from_pretrained(tmp_path, num_labels=5)
    with pytest.raises(LoadError, match="of another shape"):
        load_checkpoint(tmp_path, config=config)
    tensors, report = load_checkpoint(tmp_path, config=config, ignore_mismatched_sizes=True)
    assert set(report.fresh) == {"classifier.weight", "classifier.bias"}
    assert "classifier.weight" not in tensors


def test_the_error_has_all_three_lists(tmp_path: Path) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    for layer in (0, 1):
        weights[f"bert.encoder.layer.{layer + 2}.output.dense.bias"] = weights.pop(
            f"bert.encoder.layer.{layer}.output.dense.bias"
        )
    weights["bert.embeddings.LayerNorm.bias"] = np.zeros(3, np.float32)
    safetensors_file.write(tmp_path / "model.safetensors", weights)
    with pytest.raises(LoadError, match=r"(?s)2 missing: .*2 unexpected: .*1 of another shape: .*strict=False"):
        load_checkpoint(tmp_path, "Model", config=tiny.config())


@pytest.mark.parametrize("tied", [True, False])
def test_the_second_name_of_the_vocabulary_projection(tmp_path: Path, tied: bool) -> None:
    config = tiny.config(tie_word_embeddings=tied)
    weights = tiny.weights(config, "ForMaskedLM")
    more = {"cls.predictions.decoder.bias": weights["cls.predictions.bias"]}
    if tied:
        more["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"]
    config.save_pretrained(tmp_path)
    safetensors_file.write(tmp_path / "model.safetensors", weights | more)
    tensors, report = load_checkpoint(tmp_path, "ForMaskedLM")
    assert_equal(tensors, weights)
    assert report.exact
    assert ("cls.predictions.decoder.weight" in tensors) is not tied
    # Some files have only the second name of the bias.
    del weights["cls.predictions.bias"]
    safetensors_file.write(tmp_path / "model.safetensors", weights | more)
    assert "cls.predictions.bias" in load_checkpoint(tmp_path, "ForMaskedLM")[0]


@pytest.mark.parametrize("head", ["Model", "ForTokenClassification"])
def test_an_untied_vocabulary_projection_is_not_a_word_embedding(tmp_path: Path, head: str) -> None:
    weights = saved(tmp_path, "ForMaskedLM", tie_word_embeddings=False)
    tensors, report = load_checkpoint(tmp_path, head)
    name = "bert.embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(tensors[name], weights[name])
    assert "cls.predictions.decoder.weight" in report.left_out


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_a_file_with_the_names_of_the_table_is_reported_like_any_other(tmp_path: Path, head: str, tied: bool) -> None:
    config = tiny.config(tie_word_embeddings=tied)
    weights = tiny.weights(config, head)
    safetensors_file.write(tmp_path / "model.safetensors", weights)
    tensors, report = load_checkpoint(tmp_path, head, config=config)
    assert_equal(tensors, weights)
    found = canonical(weights, "huggingface")
    assert (list(tensors), report) == (list(weights), fit(found, config, head, report.source)[1])


def test_the_parts_of_the_file_decide_the_class_if_its_name_is_unknown(tmp_path: Path) -> None:
    for head in HEADS:
        weights = tiny.weights(tiny.config(), head)
        config = tiny.config(architectures=["MyOwnBert"])
        config.save_pretrained(tmp_path)
        safetensors_file.write(tmp_path / "model.safetensors", weights)
        found = load_checkpoint(tmp_path, strict=False)[1].head
        assert HEADS[found].parts == HEADS[head].parts


def test_saving_is_exact_too(tmp_path: Path) -> None:
    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM")
    for change, sentence in (
        (_without("cls.predictions.bias"), "1 missing"),
        (_with("bert.pooler", (2,)), "1 unexpected"),
    ):
        changed = dict(weights)
        change(changed)
        with pytest.raises(LoadError, match=sentence):
            save_checkpoint(tmp_path, changed, config, "ForMaskedLM")
    with pytest.raises(LoadError, match="7 missing: cls"):
        save_checkpoint(tmp_path, tiny.weights(config, "Model"), config, "ForPreTraining")
    with pytest.raises(
        UsageError, match=r"to='bin' is invalid: choose one of 'safetensors', 'google', 'h5', 'msgpack'"
    ):
        save_checkpoint(tmp_path, weights, config, "ForMaskedLM", to="bin")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["google", "h5"])
@pytest.mark.parametrize("given", [{"position_embedding_type": "relative_key"}, {"tie_word_embeddings": False}])
def test_parameters_that_a_format_cannot_store_are_refused(tmp_path: Path, to: Any, given: Any) -> None:
    config = tiny.config(**given)
    with pytest.raises(UsageError, match="cannot store .*: save as safetensors"):
        save_checkpoint(tmp_path, tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM", to=to)
    weights = saved(tmp_path, "ForMaskedLM", **given)
    assert_equal(load_checkpoint(tmp_path)[0], weights)


@pytest.mark.parametrize(
    "shard", ["../model.safetensors", "/etc/passwd", "a\\b.safetensors", "pytorch_model.bin", "model.json"]
)
def test_an_index_cannot_lead_elsewhere(tmp_path: Path, shard: str) -> None:
    saved(tmp_path / "inner", "Model")
    shutil.copy(tmp_path / "inner" / "model.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "inner" / "model.safetensors").unlink()
    (tmp_path / "inner" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(UnsafeFileError, match="only names of files in the same folder are accepted"):
        load_checkpoint(tmp_path / "inner")


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("{}", FileFormatError, "no weight_map"),
        ('{"weight_map": {"a": 3}}', FileFormatError, "no weight_map"),
        ("[", ConfigError, "is not valid JSON"),
        ('{"weight_map": {"a": "none.safetensors"}}', HubError, "no none.safetensors"),
        ('{"weight_map": {"a": "x.safetensors"}}', FileFormatError, "lists a and 0 more, which its files do not have"),
        (
            '{"weight_map": {"x": "x.safetensors", "y": "y.safetensors"}}',
            FileFormatError,
            "x is in y.safetensors and in another",
        ),
    ],
)
def test_damaged_indexes_are_refused(tmp_path: Path, text: str, error: type[Exception], sentence: str) -> None:
    tiny.config().save_pretrained(tmp_path)
    for name in "xy":
        safetensors_file.write(tmp_path / f"{name}.safetensors", {"x": np.zeros(2)})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(error, match=sentence):
        load_checkpoint(tmp_path)


def test_byte_count() -> None:
    assert [byte_count(size) for size in ("200MB", "10 gb", "1TiB", "17", "3b")] == [200_000_000, 10**10, 2**40, 17, 3]
    for size in ("five", "-1", "0", "1.5GB", "9" * 5000):
        with pytest.raises(UsageError, match="Invalid size of a file"):
            byte_count(size)


# Conversion and inspection.


def test_a_converted_directory_is_complete(tmp_path: Path) -> None:
    saved(tmp_path / "source", "ForMaskedLM", id2label={0: "a", 1: "b"}, num_labels=2, hidden_dropout_prob=0.3)
    (tmp_path / "source" / "vocab.txt").write_text("[PAD]\n")
    written = convert(tmp_path / "source", tmp_path / "new", to="google", dtype="float16")
    assert sorted(path.name for path in written) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "config.json",
        "vocab.txt",
    ]
    assert BertConfig.from_pretrained(tmp_path / "new").hidden_dropout_prob == 0.3
    google = json.loads((tmp_path / "new" / "bert_config.json").read_text())
    assert google["hidden_size"] == 8
    assert "id2label" not in google
    assert {array.dtype for array in load_checkpoint(tmp_path / "new")[0].values()} == {np.dtype("float16")}


def test_a_directory_with_a_model_is_not_changed(tmp_path: Path) -> None:
    saved(tmp_path / "source", "ForMaskedLM")
    saved(tmp_path / "new", "Model")
    before = (tmp_path / "new" / "model.safetensors").read_bytes()
    with pytest.raises(
        UsageError,
        match=r"holds config\.json, model\.safetensors already: name another directory, or type overwrite=True",
    ):
        convert(tmp_path / "source", tmp_path / "new")
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == before
    convert(tmp_path / "source", tmp_path / "new", overwrite=True)
    assert load_checkpoint(tmp_path / "new")[1].head == "ForMaskedLM"
    convert(tmp_path / "new", tmp_path / "new", overwrite=True, dtype="float16")
    assert load_checkpoint(tmp_path / "new")[0]["cls.predictions.bias"].dtype == np.float16


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
def test_the_converted_model_is_the_one_that_is_read(tmp_path: Path, old: Any, new: Any) -> None:
    """With an older model in another format, whose files are read before or after the new ones."""
    weights = saved(tmp_path / "source", "ForMaskedLM")
    others = {name: -array for name, array in weights.items()}
    save_checkpoint(tmp_path / "new", others, tiny.config(), "ForMaskedLM", to=old)
    with pytest.raises(UsageError, match="already: name another directory, or type overwrite=True"):
        convert(tmp_path / "source", tmp_path / "new", to=new)
    if WEIGHTS[old][0] in preferred_to(new):
        with pytest.raises(
            UsageError, match=f"holds {WEIGHTS[old][0]}, which would be read before the new {new} files"
        ):
            convert(tmp_path / "source", tmp_path / "new", to=new, overwrite=True)
        return
    convert(tmp_path / "source", tmp_path / "new", to=new, overwrite=True)
    assert_equal(load_checkpoint(tmp_path / "new")[0], weights)


def test_conversion_into_the_folder_of_the_source(tmp_path: Path) -> None:
    saved(tmp_path, "ForMaskedLM")
    convert(tmp_path, tmp_path, to="h5", overwrite=True)
    assert (tmp_path / "tf_model.h5").exists()


@pytest.mark.parametrize("name", ["bert_config.json", "vocab.txt", "pytorch_model.bin"])
def test_files_that_would_be_replaced_or_read_first_are_named(tmp_path: Path, name: str) -> None:
    saved(tmp_path / "source", "ForMaskedLM")
    (tmp_path / "source" / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_text("mine")
    with pytest.raises(UsageError, match=f"holds {name} already"):
        convert(tmp_path / "source", tmp_path / "new", to="google")
    assert (tmp_path / "new" / name).read_text() == "mine"


def test_an_interrupted_save_keeps_the_older_shards(tmp_path: Path) -> None:
    old = tiny.weights(tiny.config(), "ForMaskedLM")
    new = {name: -array for name, array in old.items()}
    save_checkpoint(tmp_path, old, tiny.config(), "ForMaskedLM", max_shard_size="2KB")
    shards = len(list(tmp_path.glob("*.safetensors")))
    assert shards > 2
    for stop in range(len(new)):
        count = 0

        def interrupt(size: int, stop: int = stop) -> None:
            nonlocal count
            count += 1
            if count > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, new, tiny.config(), "ForMaskedLM", max_shard_size="2KB", on_bytes=interrupt)
        assert_equal(load_checkpoint(tmp_path)[0], old)
        assert len(list(tmp_path.iterdir())) == shards + 2  # the index and the configuration
    save_checkpoint(tmp_path, new, tiny.config(), "ForMaskedLM", max_shard_size="2KB")
    assert_equal(load_checkpoint(tmp_path)[0], new)


def test_integers_are_not_weights(tmp_path: Path) -> None:
    saved(tmp_path, "ForMaskedLM")
    tensors = {name: (array * 10).astype(np.int8) for name, array in load_checkpoint(tmp_path)[0].items()}
    safetensors_file.write(tmp_path / "model.safetensors", tensors)
    for head in (None, "ForMaskedLM"):
        with pytest.raises(LoadError, match="is of dtype int8, but weights must be float32.*convert a quantized file"):
            load_checkpoint(tmp_path, head)


def test_saving_does_not_change_the_configuration(tmp_path: Path) -> None:
    config = tiny.config()
    config.architectures = ["Mine"]
    save_checkpoint(tmp_path, tiny.weights(config, "Model"), config, "Model")
    assert config.architectures == ["Mine"]


def test_an_index_is_not_a_configuration(tmp_path: Path) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    save_checkpoint(tmp_path, weights, tiny.config(), "Model", max_shard_size="2KB")
    index = tmp_path / "model.safetensors.index.json"
    assert BertConfig.from_pretrained(index) == BertConfig.from_pretrained(tmp_path)
    assert_equal(load_checkpoint(index)[0], weights)


def test_conversion_can_remove_a_head_but_not_add_one(tmp_path: Path) -> None:
    saved(tmp_path / "source", "ForPreTraining")
    convert(tmp_path / "source", tmp_path / "bare", head="Model")
    assert "embeddings.LayerNorm.bias" in safetensors_file.read(tmp_path / "bare" / "model.safetensors")
    with pytest.raises(UsageError, match=r"has no classifier\.weight, classifier\.bias.*pass a head that it has"):
        convert(tmp_path / "source", tmp_path / "new", head="ForTokenClassification")


def test_a_part_of_a_larger_model(tmp_path: Path) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    safetensors_file.write(
        tmp_path / "model.safetensors", {name.replace("bert.", "encoder.", 1): a for name, a in weights.items()}
    )
    tiny.config().save_pretrained(tmp_path)
    convert(tmp_path, tmp_path / "encoder", prefix="encoder.")
    assert_equal(load_checkpoint(tmp_path / "encoder")[0], weights)
    with pytest.raises(
        LoadError, match=r"None of the 39 tensors has a name that begins with 'decoder\.'. The file has encoder\."
    ):
        convert(tmp_path, tmp_path / "decoder", prefix="decoder.")
    values = {"model_type": "encoder-decoder", "encoder": tiny.config().to_dict(), "decoder": {"model_type": "gpt2"}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    convert(tmp_path, tmp_path / "again", prefix="encoder.")
    assert_equal(load_checkpoint(tmp_path / "again")[0], weights)
    assert inspect(tmp_path, prefix="encoder.").report.exact
    with pytest.raises(ConfigError, match=r"config\.json: The configuration has model_type 'encoder-decoder'"):
        inspect(tmp_path)


def test_inspect_names_layers_by_their_numbers(tmp_path: Path) -> None:
    saved(tmp_path, "Model")
    tensors = {
        name: a for name, a in safetensors_file.read(tmp_path / "model.safetensors").items() if "layer.0." not in name
    }
    safetensors_file.write(tmp_path / "model.safetensors", tensors)
    assert [group.name for group in inspect(tmp_path).groups] == ["embeddings", "layer 1", "pooler"]


def test_inspect(tmp_path: Path) -> None:
    saved(tmp_path, "ForPreTraining", "google")
    found = inspect(tmp_path)
    assert found.task.startswith("fill-mask")
    assert [(g.name, g.tensors) for g in found.groups] == [
        ("embeddings", 5),
        ("layers 0 to 1", 32),
        ("cls.predictions", 5),
        ("cls.seq_relationship", 2),
        ("pooler", 2),
    ]
    assert sum(g.parameters for g in found.groups) == sum(
        a.size for a in tiny.weights(tiny.config(), "ForPreTraining").values()
    )
    assert "complete: no tensors are missing or unused" in str(found)
    json.dumps(found.to_dict())


def test_inspect_reports_errors(tmp_path: Path) -> None:
    weights = tiny.weights(tiny.config(), "ForTokenClassification")
    del weights["bert.encoder.layer.1.output.dense.bias"]
    weights |= {"crf.transitions": np.zeros(3), "bert.embeddings.position_ids": np.zeros(3)}
    weights["classifier.bias"] = np.zeros(9, np.float32)
    weights["bert.pooler.dense.bias"] = np.zeros(8, np.float32)
    safetensors_file.write(tmp_path / "model.safetensors", weights)
    tiny.config(architectures=["BertForTokenClassification"]).save_pretrained(tmp_path)
    page = str(inspect(tmp_path))
    for line in (
        "1 missing (required by the class, but not in the file):\n    bert.encoder.layer.1.output.dense.bias",
        "1 unexpected (in the file, but not parameters of BERT):\n    crf.transitions",
        "1 of another shape (different from the shape that config.json requires):\n    classifier.bias [9], expected [3]",
        "1 unused (of parts that the class does not have):\n    bert.pooler.dense.bias",
        "1 ignored (not parameters: optimizer state, counters, buffers, duplicates):\n    bert.embeddings.position_ids",
        "layer 0",
        "layer 1",
        "token-classification",
    ):
        assert line in page


def test_a_place_has_the_options_of_the_hub(tmp_path: Path) -> None:
    weights = saved(tmp_path / "inner", "Model")
    assert_equal(load_checkpoint(hub.locate(tmp_path, subfolder="inner"))[0], weights)


def test_nothing_is_logged_for_a_complete_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path, "Model")
    with caplog.at_level(logging.DEBUG):
        load_checkpoint(tmp_path)
    assert not caplog.records
