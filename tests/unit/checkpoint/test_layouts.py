"""The names in files of every origin, converted to those of the table, and names that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from google2_names import ENDING, google2
from safetensors.numpy import save_file

from bertkit import load_checkpoint
from bertkit.checkpoint.canonical import Canonical, canonical
from bertkit.checkpoint.files import Tensors
from bertkit.errors import LoadError
from bertkit.heads import HEADS
from bertkit.parameters import Naming, expand, transposed


def assert_same(found: Canonical, wanted: Tensors) -> None:
    assert found.tensors.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found.tensors[name], array)


def spelled(head: str, layout: Naming) -> tuple[Tensors, Tensors]:
    """The tiny weights of a class by the names of the table, and by those of the layout."""
    config = tiny.config()
    weights = tiny.weights(config, head)
    parameters = expand(config, head)
    return weights, {
        parameters[name].spelled(layout): array.T if transposed(parameters[name].row, layout) else array
        for name, array in weights.items()
    }


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layout", ["huggingface", "legacy", "google", "flax"])
def test_every_name_of_a_layout_is_known(head: str, layout: Naming) -> None:
    weights, theirs = spelled(head, layout)
    found = canonical(theirs, "huggingface" if layout == "legacy" else layout)
    assert_same(found, weights)
    assert not found.unknown
    assert not found.dropped


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.module."])
@pytest.mark.parametrize("bert", ["bert.", ""])
def test_wrappers_and_bare_models(wrapper: str, bert: str) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    found = canonical(
        {wrapper + name.replace("bert.", bert, 1): array for name, array in weights.items()}, "huggingface"
    )
    assert_same(found, weights)


def test_second_names_and_buffers() -> None:
    weights, theirs = spelled("ForPreTraining", "huggingface")
    theirs["cls.predictions.decoder.weight"] = theirs["bert.embeddings.word_embeddings.weight"]
    theirs["cls.predictions.decoder.bias"] = theirs["cls.predictions.bias"]
    theirs["bert.embeddings.position_ids"] = np.arange(10)[None]
    found = canonical(theirs, "huggingface")
    assert found.dropped == ["bert.embeddings.position_ids"]
    assert found.tensors.keys() - weights.keys() == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


def test_optimizer_state_of_google_is_dropped() -> None:
    weights, theirs = spelled("ForPreTraining", "google")
    more = {f"{name}/adam_{which}": array for name, array in theirs.items() for which in "mv"}
    found = canonical({**theirs, **more, "global_step": np.array(7)}, "google")
    assert_same(found, weights)
    assert set(found.dropped) == {*more, "global_step"}


def test_flax_training_state() -> None:
    weights, theirs = spelled("ForMaskedLM", "flax")
    state = {f"params/{name}": array for name, array in theirs.items()} | {
        "step": np.array(3),
        "opt_state/0/mu/x": np.zeros(2),
    }
    found = canonical(state, "flax")
    assert_same(found, weights)
    assert found.dropped == ["step", "opt_state/0/mu/x"]


@pytest.mark.parametrize("root", ["encoder/", "model/", "model/layer_with_weights-0/", "model/encoder_network/"])
@pytest.mark.parametrize("attention_output", ["_attention_layer/_output_dense", "_attention_output_dense"])
def test_google2_models_with_numbered_layers(root: str, attention_output: str) -> None:
    weights, theirs = google2(root, True, attention_output)
    assert_same(canonical(theirs, "google2"), weights)


@pytest.mark.parametrize("root", ["encoder/", "model/", "model/encoder_network/"])
def test_google2_models_with_attributes(root: str) -> None:
    weights, theirs = google2(root, False, "_attention_layer/_output_dense")
    found = canonical(
        {**theirs, f"save_counter{ENDING}": np.array(1), f"optimizer/m/0{ENDING}": np.zeros(2)}, "google2"
    )
    assert_same(found, weights)
    assert len(found.dropped) == 2


@pytest.mark.parametrize(
    ("root", "by_number", "masked_lm"),
    [
        ("encoder/", True, "masked_lm"),
        ("encoder/", False, "masked_lm"),
        ("model/encoder_network/", False, "model/masked_lm"),
        ("model/layer_with_weights-0/", True, "model/layer_with_weights-2"),
    ],
)
def test_google2_masked_language_models(root: str, by_number: bool, masked_lm: str) -> None:
    weights, theirs = google2(
        root, by_number, "_attention_output_dense" if by_number else "_attention_layer/_output_dense", masked_lm
    )
    found = canonical(theirs, "google2")
    assert_same(found, weights)
    assert not found.unknown


@pytest.mark.parametrize(
    "module", ["model/layer_with_weights-1/layer_with_weights-0", "model/classification_heads/0/out_proj"]
)
def test_google2_next_sentence_head(module: str) -> None:
    weights, theirs = google2(
        "model/layer_with_weights-0/", True, "_attention_output_dense", "model/layer_with_weights-2"
    )
    head = {
        "cls.seq_relationship.weight": tiny.numbers("w", (2, 8)),
        "cls.seq_relationship.bias": tiny.numbers("b", (2,)),
    }
    theirs[f"{module}/kernel{ENDING}"] = head["cls.seq_relationship.weight"].T
    theirs[f"{module}/bias{ENDING}"] = head["cls.seq_relationship.bias"]
    assert_same(canonical(theirs, "google2"), weights | head)


def test_google2_classifier_is_unknown() -> None:
    weights, theirs = google2("model/layer_with_weights-0/", True, "_attention_output_dense")
    head = f"model/layer_with_weights-1/layer_with_weights-0/kernel{ENDING}"
    found = canonical({**theirs, head: np.zeros((8, 3))}, "google2")
    assert found.unknown == [head]
    assert_same(found, weights)


def test_google2_pooler_of_the_published_base_model() -> None:
    weights, theirs = google2("encoder/", True, "_attention_output_dense", next_sentence="next_sentence..pooler_dense")
    assert_same(canonical(theirs, "google2"), weights)
    untrained = {f"encoder/layer_with_weights-6/{leaf}{ENDING}": np.zeros((8, 8)) for leaf in ("kernel", "bias")}
    found = canonical(theirs | untrained, "google2")
    assert_same(found, weights)
    assert set(found.dropped) == set(untrained)


@pytest.mark.parametrize("place", ["{top}/tf_bert_for_masked_lm/", ""])
def test_keras_files_whole_and_sharded(place: str) -> None:
    weights, spelled_ = spelled("ForMaskedLM", "keras")
    theirs = {f"{place.format(top=own.split('/')[0])}{own}:0": array for own, array in spelled_.items()}
    found = canonical(theirs, "keras")
    assert_same(found, weights)
    assert not found.unknown


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification"])
def test_safetensors_of_transformers_own_tensorflow_classes(head: str, tmp_path: Path) -> None:
    """They have the names of tf_model.h5 without the model's: "bert/embeddings/word_embeddings/weight:0"."""
    weights, names = spelled(head, "keras")
    save_file(
        {f"{name}:0": np.ascontiguousarray(array) for name, array in names.items()},
        tmp_path / "model.safetensors",
        {"format": "tf"},
    )
    found, report = load_checkpoint(tmp_path / "model.safetensors", head, config=tiny.config())
    assert report.exact and not report.fresh
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_part_of_an_encoder_decoder_in_keras_and_flax(part: str) -> None:
    weights, keras = spelled("Model", "keras")
    both = {f"{each}/{each}/{own}:0": array for own, array in keras.items() for each in ("encoder", "decoder")}
    assert_same(canonical(both, "keras", f"{part}/{part}/"), weights)
    weights, flax = spelled("Model", "flax")
    both = {f"{each}/{own}": array for own, array in flax.items() for each in ("encoder", "decoder")}
    assert_same(canonical(both, "flax", f"{part}/"), weights)


def test_a_part_of_a_larger_model_is_named_by_its_prefix() -> None:
    weights = tiny.weights(tiny.config(), "Model")
    encoder = {f"encoder.{name.removeprefix('bert.')}": array for name, array in weights.items()}
    decoder = {f"decoder.{name}": array for name, array in weights.items()}
    with pytest.raises(LoadError, match="prefix='decoder.' or prefix='encoder.'"):
        canonical(encoder | decoder, "huggingface")
    for prefix in ("encoder.", "decoder."):
        found = canonical(encoder | decoder, "huggingface", prefix)
        assert_same(found, weights)
        assert len(found.dropped) == len(weights)
    with pytest.raises(LoadError, match=r"None of the 78 tensors has a name that begins with 'model\.'"):
        canonical(encoder | decoder, "huggingface", "model.")
    with pytest.raises(LoadError, match="No word embedding"):
        canonical({"encoder.weight": np.zeros(8, np.float32)}, "huggingface")


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("bert.embeddings.LayerNorm.gamma", "are both bert.embeddings.LayerNorm.weight"),
        ("module.bert.pooler.dense.bias", "are both bert.pooler.dense.bias"),
    ],
)
def test_a_name_twice_is_refused(extra: str, sentence: str) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    with pytest.raises(LoadError, match=sentence):
        canonical({**weights, extra: np.zeros(8, np.float32)}, "huggingface")


@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.{}.attention.self.query.bias",
        "bert.encoder.layer.99999999999999999999.attention.self.query.bias",
        "bert.encoder.layer.-1.attention.self.query.bias",
        "bert.encoder.layer.0.attention.self.query.weight.lora_A",
        "bert.embeddings",
        "",
        "{0.__class__}",
        "crf.transitions",
    ],
)
def test_other_names_are_unknown(name: str) -> None:
    weights = tiny.weights(tiny.config(), "Model")
    found = canonical({**weights, name: np.zeros(8, np.float32)}, "huggingface")
    assert found.unknown == [name]


def test_no_bert_at_all() -> None:
    with pytest.raises(LoadError, match=r"No word embedding .* among the 1 tensors \(wte.weight"):
        canonical({"wte.weight": np.zeros((2, 2))}, "huggingface")


def test_the_input_is_not_changed() -> None:
    _, theirs = spelled("ForPreTraining", "google")
    before = {name: array.copy() for name, array in theirs.items()}
    canonical(theirs, "google")
    assert theirs.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(theirs[name], array)
