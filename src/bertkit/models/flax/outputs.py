"""The output classes of the Flax classes: those of `bertkit.outputs` without a loss, which training scripts compute.

Each is a pytree, so that jax.jit, jax.vmap and jax.export can return it.

    outputs.logits    outputs["logits"]    outputs[0]    outputs.to_tuple()    outputs.replace(logits=...)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
from jax import export

from bertkit.outputs import ModelOutput


class FlaxModelOutput(ModelOutput):
    """The base of the output classes."""

    def replace(self, **changed: Any) -> Any:
        """A copy with some values replaced."""
        return type(self)(self.unread(), **changed)


class FlaxBaseModelOutputWithPoolingAndCrossAttentions(FlaxModelOutput):
    """Output of FlaxBertModel."""

    last_hidden_state: Any  # [B, L, H]
    pooler_output: Any  # [B, H]
    hidden_states: Any  # states after the embeddings and after each layer: [B, L, H]
    past_key_values: Any  # the cache, a nested dict
    attentions: Any  # weights of each layer: [B, A, L, L]
    cross_attentions: Any  # weights of each layer: [B, A, L, length of the encoder]


class FlaxBertForPreTrainingOutput(FlaxModelOutput):
    """Output of FlaxBertForPreTraining."""

    prediction_logits: Any  # [B, L, V]
    seq_relationship_logits: Any  # [B, 2]: 0 the second sentence follows, 1 it does not
    hidden_states: Any
    attentions: Any


class FlaxMaskedLMOutput(FlaxModelOutput):
    """Output of FlaxBertForMaskedLM."""

    logits: Any  # [B, L, V]
    hidden_states: Any
    attentions: Any


class FlaxCausalLMOutputWithCrossAttentions(FlaxModelOutput):
    """Output of FlaxBertForCausalLM."""

    logits: Any  # [B, L, V]
    past_key_values: Any
    hidden_states: Any
    attentions: Any
    cross_attentions: Any


class FlaxNextSentencePredictorOutput(FlaxModelOutput):
    """Output of FlaxBertForNextSentencePrediction."""

    logits: Any  # [B, 2]
    hidden_states: Any
    attentions: Any


class FlaxSequenceClassifierOutput(FlaxModelOutput):
    """Output of FlaxBertForSequenceClassification."""

    logits: Any  # [B, C]
    hidden_states: Any
    attentions: Any


class FlaxMultipleChoiceModelOutput(FlaxModelOutput):
    """Output of FlaxBertForMultipleChoice."""

    logits: Any  # [B, choices]
    hidden_states: Any  # [B * choices, L, H]
    attentions: Any


class FlaxTokenClassifierOutput(FlaxModelOutput):
    """Output of FlaxBertForTokenClassification."""

    logits: Any  # [B, L, C]
    hidden_states: Any
    attentions: Any


class FlaxQuestionAnsweringModelOutput(FlaxModelOutput):
    """Output of FlaxBertForQuestionAnswering."""

    start_logits: Any  # [B, L]
    end_logits: Any  # [B, L]
    hidden_states: Any
    attentions: Any


KINDS = {kind.__name__: kind for kind in FlaxModelOutput.__subclasses__()}
"""Name -> output class. The name is "Flax" and the name of the class in `bertkit.outputs`."""


def _register(kind: type[FlaxModelOutput]) -> None:
    def flatten(output: FlaxModelOutput) -> tuple[list[Any], tuple[str, ...]]:
        values = output.unread()
        return list(values.values()), tuple(values)

    def flatten_with_keys(output: FlaxModelOutput) -> tuple[list[Any], tuple[str, ...]]:
        values = output.unread()
        return [(jax.tree_util.DictKey(name), value) for name, value in values.items()], tuple(values)

    def unflatten(names: Iterable[str], values: Iterable[Any]) -> FlaxModelOutput:
        output = kind()
        for name, value in zip(names, values, strict=True):
            output[name] = value  # may be None or a placeholder of JAX
        return output

    jax.tree_util.register_pytree_with_keys(kind, flatten_with_keys, unflatten, flatten)
    export.register_pytree_node_serialization(
        kind,
        serialized_name=f"bertkit.models.flax.outputs.{kind.__name__}",
        serialize_auxdata=lambda names: ",".join(names).encode(),
        deserialize_auxdata=lambda data: tuple(data.decode().split(",")) if data else (),
    )


for _kind in KINDS.values():
    _register(_kind)
