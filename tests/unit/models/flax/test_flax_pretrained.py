"""Parameters of the Flax classes: loading and saving in every type, also with the PyTorch classes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow
from flax.core import freeze
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

import bertkit
from bertkit.errors import LoadError, UsageError
from bertkit.heads import HEADS
from bertkit.models.flax.tree import flat, named, nested

CLASSES = [f"FlaxBert{head.replace('LMHeadModel', 'ForCausalLM')}" for head in HEADS]
IDS = np.array([[2, 7, 5, 9, 3]])


def given(head: str) -> dict[str, Any]:
    own = {"LMHeadModel": {"is_decoder": True}, "ForQuestionAnswering": {"num_labels": 2}}
    return {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **own.get(head, {})}


def saved(folder: Path, head: str, to: Any = "safetensors", **more: Any) -> dict[str, np.ndarray]:
    """Save a tiny model, and return its weights."""
    config = tiny.config(**(given(head) | more))
    tensors = tiny.weights(config, head)
    bertkit.save_checkpoint(folder, tensors, config, head, to=to)
    return tensors


@pytest.mark.parametrize("head", HEADS)
def test_from_files_to_files_and_read_by_torch(tmp_path: Path, head: str) -> None:
    """Load safetensors, save msgpack and safetensors: both have the same weights, and the same outputs in PyTorch."""
    tensors = saved(tmp_path / "one", head)
    name = f"FlaxBert{head.replace('LMHeadModel', 'ForCausalLM')}"
    model = getattr(bertkit, name).from_pretrained(tmp_path / "one")
    assert not model.num_parameters() - sum(array.size for array in tensors.values())
    model.save_pretrained(tmp_path / "msgpack")
    model.save_pretrained(tmp_path / "safe", safe_serialization=True)
    assert (tmp_path / "msgpack" / "flax_model.msgpack").exists() and (tmp_path / "safe" / "model.safetensors").exists()
    ids = IDS[:, None] if head == "ForMultipleChoice" else IDS
    wanted = model(ids)[0]
    for folder in ("msgpack", "safe"):
        read, _ = bertkit.load_checkpoint(tmp_path / folder)
        assert all(np.array_equal(read[key], tensors[key]) for key in tensors) and read.keys() == tensors.keys()
        theirs = getattr(bertkit, f"Bert{head}").from_pretrained(tmp_path / folder)
        with torch.no_grad():
            np.testing.assert_allclose(theirs(torch.from_numpy(ids))[0].numpy(), wanted, atol=1e-5, rtol=1e-5)
    again = getattr(bertkit, name).from_pretrained(tmp_path / "msgpack")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), again.params, model.params))


@pytest.mark.parametrize("case", [*HEADS, "LMHeadModel-cross"])
def test_safetensors_of_transformers_own_flax_classes(tmp_path: Path, transformers4: Path, case: str) -> None:
    """Transformers saves the Flax tree: kernels are [in, out], and names are paths with dots."""
    head, there = case.partition("-")[0], transformers4 / case
    tree = msgpack_restore((there / "flax_model.msgpack").read_bytes())
    save_file(flatten_dict(tree, sep="."), tmp_path / "model.safetensors", metadata={"format": "flax"})
    shutil.copy(there / "config.json", tmp_path)
    wanted, _ = bertkit.load_checkpoint(there / "pytorch_model.bin", head)
    found, report = bertkit.load_checkpoint(tmp_path, head)
    assert report.exact and not report.fresh and found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], array) for name, array in wanted.items())
    assert bertkit.load_checkpoint(tmp_path)[1].head == head


def test_safetensors_of_transformers_own_flax_classes_in_all_frameworks(tmp_path: Path, transformers4: Path) -> None:
    tensorflow()
    there = transformers4 / "ForMaskedLM"
    tree = {"params": msgpack_restore((there / "flax_model.msgpack").read_bytes())}
    save_file(flatten_dict(tree, sep="."), tmp_path / "model.safetensors")
    shutil.copy(there / "config.json", tmp_path)
    wanted = bertkit.FlaxBertForMaskedLM.from_pretrained(there)(IDS).logits
    np.testing.assert_array_equal(bertkit.FlaxBertForMaskedLM.from_pretrained(tmp_path)(IDS).logits, wanted)
    with torch.no_grad():
        logits = bertkit.BertForMaskedLM.from_pretrained(tmp_path)(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(
        bertkit.TFBertForMaskedLM.from_pretrained(tmp_path)(IDS).logits, wanted, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("more", [{"tie_word_embeddings": False}, {"position_embedding_type": "relative_key"}])
def test_every_parameter_is_in_the_tree_and_in_files(tmp_path: Path, more: dict[str, Any]) -> None:
    tensors = saved(tmp_path / "one", "ForMaskedLM", **more)
    model = bertkit.FlaxBertForMaskedLM.from_pretrained(tmp_path / "one")
    assert named(model.params, model._paths()).keys() == tensors.keys()
    model.save_pretrained(tmp_path / "two")
    read = bertkit.FlaxBertForMaskedLM.from_pretrained(tmp_path / "two")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), read.params, model.params))


def test_pruned_heads(tmp_path: Path) -> None:
    saved(tmp_path, "Model", pruned_heads={0: [1]})
    model = bertkit.FlaxBertModel.from_pretrained(tmp_path)
    assert model.params["encoder"]["layer"]["0"]["attention"]["self"]["query"]["kernel"].shape == (8, 4)
    theirs = bertkit.BertModel.from_pretrained(tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(theirs(torch.from_numpy(IDS))[0].numpy(), model(IDS)[0], atol=1e-5)


def test_from_pt(tmp_path: Path) -> None:
    tensors = saved(tmp_path, "ForTokenClassification")
    (tmp_path / "model.safetensors").unlink()
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, tmp_path / "pytorch_model.bin")
    one = bertkit.FlaxBertForTokenClassification.from_pretrained(tmp_path, from_pt=True)
    two = bertkit.FlaxAutoModelForTokenClassification.from_pretrained(str(tmp_path))
    assert isinstance(two, bertkit.FlaxBertForTokenClassification)
    np.testing.assert_array_equal(one(IDS).logits, two(IDS).logits)
    saved(tmp_path / "flax", "ForTokenClassification", to="msgpack")
    with pytest.raises(bertkit.BertkitError, match="There are no weights"):
        bertkit.FlaxBertForTokenClassification.from_pretrained(tmp_path / "flax", from_pt=True)


def test_only_missing_parameters_are_initialized(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path, "ForMaskedLM")
    with caplog.at_level(logging.WARNING, "bertkit"):
        model, info = bertkit.FlaxBertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=5, output_loading_info=True, seed=3
        )
    assert "no bert.pooler, classifier: initialized at random" in caplog.text
    assert model.params["classifier"]["kernel"].shape == (8, 5)
    assert "classifier.weight" in info["missing_keys"]
    model, params = bertkit.FlaxBertForSequenceClassification.from_pretrained(tmp_path, _do_init=False, num_labels=5)
    assert "classifier" not in params
    filled = model.init_weights(jax.random.PRNGKey(3), (1, 1), params)
    same = bertkit.FlaxBertForSequenceClassification.from_pretrained(tmp_path, num_labels=5, seed=3).params
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), filled, same))
    with pytest.raises(LoadError, match="of another shape"):
        bertkit.FlaxBertForMaskedLM.from_pretrained(tmp_path, hidden_size=4, num_attention_heads=1)


def test_a_model_without_parameters(tmp_path: Path) -> None:
    saved(tmp_path, "Model")
    model, params = bertkit.FlaxBertModel.from_pretrained(tmp_path, _do_init=False)
    for use in (lambda: model.params, lambda: setattr(model, "params", params), lambda: model(IDS)):
        with pytest.raises(UsageError, match="params=params"):
            use()
    whole = bertkit.FlaxBertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(model(IDS, params=params).pooler_output, whole(IDS).pooler_output)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), model.params_shape_tree)
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
    model.save_pretrained(tmp_path / "new", params=params)
    assert (tmp_path / "new" / "flax_model.msgpack").exists()


def test_init_weights_follows_the_table() -> None:
    config = bertkit.BertConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    model = bertkit.FlaxBertForMaskedLM(config, seed=1)
    leaves = flat(model.params)
    words = leaves["bert", "embeddings", "word_embeddings", "embedding"]
    assert not words[0].any() and abs(words[1:].std() - 0.02) < 0.001
    layer = ("bert", "encoder", "layer", "0")
    assert abs(leaves[(*layer, "intermediate", "dense", "kernel")].std() - 0.02) < 0.001
    assert (leaves[(*layer, "output", "LayerNorm", "scale")] == 1).all()
    assert not leaves["cls", "predictions", "bias"].any()
    variables = model.module.init(jax.random.PRNGKey(1), jnp.ones((1, 1)))
    same = jax.jit(model.init_weights)(jax.random.PRNGKey(1))
    for tree in (variables["params"], same):
        assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b)), tree, model.params))
    other = flat(model.init_weights(jax.random.PRNGKey(2)))
    assert (
        other[(*layer, "intermediate", "dense", "kernel")] != leaves[(*layer, "intermediate", "dense", "kernel")]
    ).any()


def test_the_parameters_are_set_and_checked() -> None:
    model = bertkit.FlaxBertModel(tiny.config())
    model.params = freeze(jax.tree.map(lambda leaf: leaf * 0, model.params))
    assert type(model.params) is dict and not jax.tree.leaves(model.params)[0].any()
    leaves = flat(model.params)
    without = nested({path: leaf for path, leaf in leaves.items() if path[0] != "pooler"})
    with pytest.raises(UsageError, match="Invalid parameters for FlaxBertModel: 2 missing, such as pooler/dense/bias"):
        model.params = without
    with pytest.raises(UsageError, match="1 unknown, such as more"):
        model.params = {**model.params, "more": jnp.ones(1)}
    assert ("pooler", "dense", "kernel") in model.required_params
    with pytest.raises(UsageError, match="params lack 2 parameters, such as pooler/dense/bias"):
        model.save_pretrained("nowhere", params=without)


def test_types_of_parameters() -> None:
    model = bertkit.FlaxBertModel(tiny.config())
    mask = nested({path: path[-2] != "LayerNorm" for path in flat(model.params)})
    for cast, dtype in ((model.to_bf16, jnp.bfloat16), (model.to_fp16, jnp.float16)):
        some = flat(cast(model.params, mask))
        assert {path[-2] == "LayerNorm" for path, leaf in some.items() if leaf.dtype == jnp.float32} == {True}
        assert {leaf.dtype for leaf in jax.tree.leaves(cast(model.params))} == {jnp.dtype(dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(model.to_fp32(model.to_bf16(model.params)))} == {
        jnp.dtype("float32")
    }
    assert type(model.to_bf16(freeze(model.params))) is type(freeze({}))


def test_types_of_files_and_of_the_computation(tmp_path: Path) -> None:
    config = tiny.config(**given("Model"))
    model = bertkit.FlaxBertModel(config)
    model.save_pretrained(tmp_path, params=model.to_bf16(model.params), safe_serialization=True)
    assert bertkit.BertConfig.from_pretrained(tmp_path).dtype == "bfloat16"
    for dtype in (jnp.float32, jnp.bfloat16, "bf16"):
        read = bertkit.FlaxBertModel.from_pretrained(tmp_path, dtype=dtype)
        assert {leaf.dtype for leaf in jax.tree.leaves(read.params)} == {jnp.dtype("bfloat16")}
        assert read(IDS)[0].dtype == (jnp.float32 if dtype is jnp.float32 else jnp.bfloat16)
    with pytest.raises(UsageError, match="dtype is 'bfloat61', and must be one of float32"):
        bertkit.FlaxBertModel.from_pretrained(tmp_path, dtype="bfloat61")


def test_saving_beside_a_file_that_readers_prefer_raises_an_error(tmp_path: Path) -> None:
    saved(tmp_path, "Model")
    model = bertkit.FlaxBertModel.from_pretrained(tmp_path)
    with pytest.raises(UsageError, match="has model.safetensors, which is read in place of flax_model.msgpack"):
        model.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="push_to_hub=True is not supported by the Flax classes"):
        model.save_pretrained(tmp_path, push_to_hub=True)
    with pytest.raises(UsageError, match="A FlaxBertModel without a pooler"):
        bertkit.FlaxBertModel(tiny.config(), add_pooling_layer=False).save_pretrained(tmp_path)


def test_the_auto_classes() -> None:
    config = tiny.config()
    for name in [name for name in bertkit.__all__ if name.startswith("FlaxAuto")]:
        made = getattr(bertkit, name).from_config(config, _do_init=False)
        assert type(made).__name__ == (
            "FlaxBertModel" if name == "FlaxAutoModel" else name.replace("AutoModel", "Bert")
        )
        with pytest.raises(UsageError, match=f"{name} cannot be instantiated: type {name}.from_pretrained"):
            getattr(bertkit, name)()
    with pytest.raises(UsageError, match="use one of the nine classes"):
        bertkit.FlaxBertPreTrainedModel(config)
    with pytest.raises(UsageError, match="takes a bertkit.BertConfig, not 'name'"):
        bertkit.FlaxBertModel("name")  # type: ignore[arg-type]


def test_parameters_of_the_file_are_not_initialized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, "ForMaskedLM")

    def fail(*_: Any) -> None:
        raise AssertionError("a parameter was initialized")

    monkeypatch.setattr(jax.random, "normal", fail)
    model = bertkit.FlaxBertForMaskedLM.from_pretrained(tmp_path)
    assert len(jax.tree.leaves(model.params)) == 42
