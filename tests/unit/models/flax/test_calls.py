"""Calls of the Flax classes: pure functions for JAX's transformations, with outputs that are pytrees."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax import export
from reading_path import passed_through

import bertkit
from bertkit.errors import UsageError
from bertkit.models.flax.outputs import FlaxMaskedLMOutput
from bertkit.models.flax.tree import placed

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IDS = np.array([[2, 7, 5, 9, 3], [2, 8, 3, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@functools.cache
def model(name: str, **given: Any) -> Any:
    """A model with the weights of tests/support/tiny.py, scaled down."""
    config = tiny.config(**(NO_DROPOUT | given))
    head = name.replace("ForCausalLM", "LMHeadModel")
    own = getattr(bertkit, f"FlaxBert{name}")(config, _do_init=False)
    tensors = {key: array * np.float32(0.3) for key, array in tiny.weights(config, head).items()}
    own._params, own._initialized = placed(tensors, own._paths()), True
    return own


def close(found: Any, wanted: Any, atol: float = 1e-5) -> None:
    """Compare the leaves of two trees of one structure."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def test_outputs_by_attribute_key_and_index() -> None:
    outputs = model("ForMaskedLM")(IDS, MASK, output_hidden_states=True)
    assert outputs.logits is outputs["logits"] is outputs[0] is outputs.to_tuple()[0]
    assert list(outputs) == ["logits", "hidden_states"] and len(outputs.hidden_states) == 3
    assert outputs.attentions is None
    with pytest.raises(AttributeError, match="has no 'loss'; it has logits, hidden_states, attentions"):
        outputs.loss  # noqa: B018
    logits, states = model("ForMaskedLM")(IDS, MASK, output_hidden_states=True, return_dict=False)
    close((logits, states), (outputs.logits, outputs.hidden_states))
    assert outputs.replace(logits=1).logits == 1 and outputs.logits is not None
    assert not np.asarray(outputs.logits)[1, 3:].any()


def test_outputs_are_pytrees() -> None:
    output = FlaxMaskedLMOutput(logits=jnp.ones(2), hidden_states=(jnp.zeros(1),))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(output)]
    assert paths == ["['logits']", "['hidden_states'][0]"]
    twice = jax.tree.map(lambda x: x * 2, output)
    assert type(twice) is FlaxMaskedLMOutput and twice.logits.tolist() == [2, 2]
    assert jax.tree.map(lambda _: None, output)["logits"] is None


def test_jit_vmap_and_checkpointing_change_nothing() -> None:
    own = model("ForTokenClassification")
    wanted = own(IDS, MASK)
    close(jax.jit(own.__call__)(IDS, MASK, params=own.params), wanted)
    each = jax.vmap(lambda ids, mask: own(ids[None], mask[None]))(IDS, MASK)
    close(each.logits[:, 0], wanted.logits)

    def loss(params: Any) -> Any:
        return jnp.square(own(IDS, MASK, params=params).logits).sum()

    value, gradients = jax.value_and_grad(loss)(own.params)
    close(jax.jit(jax.grad(jax.checkpoint(loss)))(own.params), gradients, atol=1e-4)
    again = bertkit.FlaxBertForTokenClassification(own.config, _do_init=False, gradient_checkpointing=True)
    own.enable_gradient_checkpointing()
    assert own._mode(False, False) == again._mode(False, False) != model("ForMaskedLM")._mode(False, False)
    other, same = jax.jit(jax.value_and_grad(loss))(own.params)
    assert "remat" in str(jax.make_jaxpr(loss)(own.params))
    np.testing.assert_allclose(value, other, rtol=1e-5)
    close(gradients, same, atol=1e-4)


def test_donation() -> None:
    own = model("ForSequenceClassification")
    params = jax.tree.map(jnp.copy, own.params)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(params: Any) -> Any:
        return jax.tree.map(
            lambda p, g: p - g, params, jax.grad(lambda p: own(IDS, MASK, params=p).logits.sum())(params)
        )

    new = step(params)
    assert jax.tree.leaves(params)[0].is_deleted() and not jax.tree.leaves(new)[0].is_deleted()


def test_a_forward_is_exported_and_read_back() -> None:
    own = model("ForQuestionAnswering", num_labels=2)
    rows = export.symbolic_shape("b, l", constraints=["l <= 10"])  # max_position_embeddings
    ids = jax.ShapeDtypeStruct(rows, jnp.int32)
    exported = export.export(jax.jit(lambda ids, mask: own(ids, mask)))(ids, ids)
    read = export.deserialize(exported.serialize())
    close(read.call(IDS.astype(np.int32), MASK.astype(np.int32)), own(IDS, MASK))


def test_dropout_requires_a_key_and_is_the_same_for_one_key() -> None:
    own = model("ForTokenClassification", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    with pytest.raises(UsageError, match=r"requires a key: type dropout_rng=jax.random.PRNGKey\(0\)"):
        own(IDS, MASK, train=True)
    one, two = jax.random.split(jax.random.PRNGKey(0))
    first = own(IDS, MASK, train=True, dropout_rng=one).logits
    close(own(IDS, MASK, train=True, dropout_rng=one).logits, first)
    assert np.abs(own(IDS, MASK, train=True, dropout_rng=two).logits - first).max() > 0.01
    close(own(IDS, MASK, train=True, dropout_rng=jax.random.key(7)).logits.shape, first.shape)
    close(own(IDS, MASK, dropout_rng=one), own(IDS, MASK))
    through = own.module.apply({"params": own.params}, IDS, MASK, deterministic=False, rngs={"dropout": one})
    close(through.logits, first)


def test_dropout_has_its_rate_and_keeps_the_mean() -> None:
    from bertkit.models.flax.attention import dropout

    for shape, rate in (((400, 400), 0.25), ((3, 401, 133), 0.1)):
        x = dropout(jnp.ones(shape), rate, jax.random.PRNGKey(1))
        assert abs((x == 0).mean() - rate) < 0.005 and abs(x.mean() - 1) < 0.005
        even, odd = x[..., 0::2] == 0, x[..., 1::2] == 0  # which share a word of random bits
        both = (even[..., : odd.shape[-1]] & odd).mean()
        assert x.shape == shape and abs(both - rate**2) < 0.005
    assert not dropout(jnp.ones((3, 5)), 1.0, jax.random.PRNGKey(1)).any()


def test_bfloat16_computes_in_bfloat16_from_parameters_of_any_type() -> None:
    own = model("ForMaskedLM")
    half = bertkit.FlaxBertForMaskedLM(own.config, dtype=jnp.bfloat16, _do_init=False)
    wanted, found = own(IDS, MASK).logits, half(IDS, MASK, params=own.params).logits
    assert found.dtype == jnp.bfloat16
    assert 0 < np.abs(found.astype(jnp.float32) - wanted).max() < 0.1
    close(own(IDS, MASK, params=own.to_bf16(own.params)).logits, wanted, atol=0.1)


def packed() -> tuple[np.ndarray, np.ndarray]:
    """The two sequences of IDS in one row, then a token of padding."""
    return np.array([[2, 7, 5, 9, 3, 2, 8, 3, 0]]), np.array([[1, 1, 1, 1, 1, 2, 2, 2, 0]])


@pytest.mark.parametrize("given", [{}, {"position_embedding_type": "relative_key"}])
def test_packed_rows_give_the_numbers_of_separate_rows(given: dict[str, Any]) -> None:
    own = model("ForMaskedLM", **given)
    ids, segments = packed()

    def separate(params: Any) -> Any:
        logits = own(IDS, MASK, params=params).logits
        return jnp.square(logits).sum(), jnp.concatenate([logits[0], logits[1, :3]])

    def together(params: Any) -> Any:
        logits = own(ids, segment_ids=segments, params=params).logits
        return jnp.square(logits).sum(), logits[0, :8]

    one, other = (jax.value_and_grad(side, has_aux=True)(own.params) for side in (separate, together))
    close(other, one, atol=1e-3)
    close(other[0][1], one[0][1])


@pytest.mark.parametrize(
    ("name", "given", "options", "sentence"),
    [
        ("Model", {}, {"input_ids": None}, "Pass either input_ids or inputs_embeds"),
        (
            "Model",
            {},
            {"input_ids": np.ones((1, 11), int)},
            "The batch has 11 tokens in a row, and max_position_embeddings is 10",
        ),
        ("Model", {}, {"input_ids": IDS + 20}, "input_ids are 20 to 29, and must be 0 to 22"),
        ("Model", {}, {"token_type_ids": IDS}, "token_type_ids are 0 to 9, and must be 0 to 1"),
        (
            "Model",
            {},
            {"attention_mask": MASK[:, :2]},
            r"attention_mask has the shape \[2, 2\], and must be \[2, 5\] or \[2, 5, 5\]",
        ),
        (
            "Model",
            {},
            {"attention_mask": (1.0 - MASK) * -1e4},
            "attention_mask has -10000, and must be 1 where a position may attend",
        ),
        ("Model", {}, {"head_mask": np.ones(3)}, r"head_mask has the shape \[3\], and must be \[2\] or \[2, 2\]"),
        ("Model", {}, {"output_attentions": [2]}, "numbers of layers from 0 to 1"),
        ("Model", {}, {"segment_ids": MASK}, "use a class without a pooler"),
        ("ForMaskedLM", {}, {"segment_ids": MASK, "attention_mask": MASK}, "leave attention_mask out"),
        ("Model", {}, {"encoder_hidden_states": np.ones((2, 3, 8))}, "encoder_hidden_states require a decoder"),
        ("Model", {}, {"past_key_values": {"a": 1}}, "past_key_values require a decoder"),
        ("ForMultipleChoice", {}, {}, r"must be \[batch, choices, length\], not \[2, 5\]"),
    ],
)
def test_invalid_arguments_raise_errors(name: str, given: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        model(name, **given)(**({"input_ids": IDS} | options))


def test_an_unknown_id_inside_jit_gives_nan() -> None:
    own = model("Model")
    assert np.isnan(jax.jit(own.__call__)(IDS + 20).last_hidden_state).any()


def test_attentions_of_some_layers() -> None:
    outputs = model("Model")(IDS, MASK, output_attentions=[1])
    assert outputs.attentions[0] is None and outputs.attentions[1].shape == (2, 2, 5, 5)
    close(outputs.attentions[1], model("Model")(IDS, MASK, output_attentions=True).attentions[1])


# Decoding.


def test_a_decoder_continues_from_its_cache() -> None:
    """The calls of generation, with left padding."""
    own = model("ForCausalLM", is_decoder=True)
    ids, mask = np.array([[2, 7, 5, 9, 3, 4], [0, 0, 2, 8, 3, 6]]), np.array([[1] * 6, [0, 0, 1, 1, 1, 1]])
    places = np.maximum(mask.cumsum(-1) - 1, 0)
    wanted = own(ids, mask, position_ids=places).logits
    given = own.prepare_inputs_for_generation(ids[:, :4], 6, mask[:, :4])
    first = own(ids[:, :4], **given)
    given = own.update_inputs_for_generation(first, given)
    second = own(ids[:, 4:5], **given)
    third = own(ids[:, 5:], **own.update_inputs_for_generation(second, given))
    close(jnp.concatenate([first.logits, second.logits, third.logits], 1), wanted)
    index = third.past_key_values["bert"]["encoder"]["layer"]["0"]["attention"]["self"]["cache_index"]
    assert int(index) == 6
    with pytest.raises(UsageError, match=r"holds 6 of at most 6 tokens, and the call adds 1: type init_cache\(2, 7\)"):
        own(ids[:, :1], past_key_values=third.past_key_values)
    with pytest.raises(UsageError, match=r"with past_key_values it must be \[2, 6\]"):
        own(ids[:, :1], mask[:, :1], past_key_values=own.init_cache(2, 6))
    with pytest.raises(UsageError, match="max_length is 11"):
        own.init_cache(2, 11)
    variables = {"params": own.params, "cache": own.init_cache(2, 6)}
    outputs, state = own.module.apply(variables, ids[:, :4], given["attention_mask"], places[:, :4], mutable=["cache"])
    close(outputs.logits, first.logits)
    close(state["cache"], first.past_key_values)
    with pytest.raises(UsageError, match="mutable="):
        own.module.apply(variables, ids[:, :4])
    with pytest.raises(UsageError, match="A cache requires a decoder"):
        model("Model").init_cache(2, 6)


def test_without_jax_an_import_works_and_a_use_raises_an_error() -> None:
    script = (
        "import sys; sys.modules['jax'] = None\n"
        "import bertkit, bertkit.models.bert.modeling_flax_bert\n"
        "from bertkit.engines.base import engine_class\n"
        "for use in (lambda: bertkit.FlaxBertModel, lambda: engine_class('flax')):\n"
        "    try: use()\n"
        "    except bertkit.BertkitError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    assert first == 'A Flax model needs jax, which is not installed. Type: pip install "bertkit[flax]"'
    assert second == 'engine="flax" needs jax, which is not installed. Type: pip install "bertkit[flax]"'


def test_functions_of_a_forward() -> None:
    """A forward runs at most 30 functions, all but 6 of them in 5 files."""
    own = model("ForSequenceClassification")
    path = passed_through(lambda: own(IDS, MASK))
    assert len(path) <= 30, path
    files = {"model.py", "attention.py", "heads.py", "pretrained.py", "arguments.py"}
    assert sum(file.removeprefix("models/flax/") not in files for file, _ in path) <= 6, path
