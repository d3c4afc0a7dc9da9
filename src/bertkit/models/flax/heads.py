"""The nine classes. A class sets `_head`, its name in the table of heads, and `_outputs`, which computes the outputs of the head.

B batch   L length   H hidden   V vocabulary   C labels
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from bertkit.config import BertConfig
from bertkit.models.flax.attention import dropout
from bertkit.models.flax.generation import FlaxGenerates
from bertkit.models.flax.model import ACTIVATION, dense, norm
from bertkit.models.flax.pretrained import FlaxBertPreTrainedModel
from bertkit.models.flax.tree import Tree

# --------------------------------------------------------------------------------------------------------- parts of the heads


def predictions(config: BertConfig, p: Tree, x: Array) -> Array:
    """Scores of all words of the vocabulary, [..., H] -> [..., V].

    The projection is the word embedding, unless the configuration unties them.
    """
    head = p["cls"]["predictions"]
    x = norm(
        config, head["transform"]["LayerNorm"], ACTIVATION[config.hidden_act](dense(head["transform"]["dense"], x))
    )
    tied = config.tie_word_embeddings
    kernel = p["bert"]["embeddings"]["word_embeddings"]["embedding"].T if tied else head["decoder"]["kernel"]
    return dense({"kernel": kernel, "bias": head["bias"]}, x)


def classifier(config: BertConfig, p: Tree, x: Array, rng: Any) -> Array:
    """Dropout and a dense layer, [..., H] -> [..., C]."""
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return dense(p["classifier"], dropout(x, rate, rng))


# ------------------------------------------------------------------------------------------------------------------- classes


class FlaxBertModel(FlaxBertPreTrainedModel):
    """BERT without a head: the states of all tokens, and the pooled first token.

    >>> import numpy as np
    >>> model = FlaxBertModel(BertConfig.named("tiny"))
    >>> output = model(np.array([[101, 7592, 102]]))
    >>> output.last_hidden_state.shape, output.pooler_output.shape
    ((1, 3, 128), (1, 128))
    """

    _head = "Model"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"last_hidden_state": x} if pooled is None else {"last_hidden_state": x, "pooler_output": pooled}


class FlaxBertForPreTraining(FlaxBertPreTrainedModel):
    """BERT with a masked-language-modelling head and a next-sentence head, as in pretraining."""

    _head = "ForPreTraining"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        related = dense(p["cls"]["seq_relationship"], pooled)  # [B, 2]
        return {"prediction_logits": predictions(config, p, x), "seq_relationship_logits": related}


class FlaxBertForMaskedLM(FlaxBertPreTrainedModel):
    """BERT with a masked-language-modelling head."""

    _head = "ForMaskedLM"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": predictions(config, p, x)}


class FlaxBertForCausalLM(FlaxGenerates, FlaxBertPreTrainedModel):
    """BERT as a decoder with a language-modelling head, for configurations with is_decoder=True."""

    _head = "LMHeadModel"
    _order = ("input_ids", "attention_mask", "position_ids", "token_type_ids", *FlaxBertPreTrainedModel._order[4:])

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": predictions(config, p, x)}

    def prepare_inputs_for_generation(
        self, input_ids: Any, max_length: int, attention_mask: Any = None
    ) -> dict[str, Any]:
        """The arguments of the first forward besides input_ids: an empty cache, a mask of its length, and positions."""
        batch, length = input_ids.shape
        mask, places = jnp.ones((batch, max_length), jnp.int32), jnp.arange(length, dtype=jnp.int32)
        if attention_mask is not None:
            given = jnp.asarray(attention_mask, jnp.int32)
            mask, places = mask.at[:, :length].set(given), jnp.maximum(given.cumsum(axis=-1) - 1, 0)
        return {
            "past_key_values": self.init_cache(batch, max_length),
            "attention_mask": mask,
            "position_ids": jnp.broadcast_to(places, (batch, length)),
        }

    def update_inputs_for_generation(self, model_outputs: Any, model_kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the next forward besides input_ids, for one more token: the returned cache, and its position."""
        last = model_kwargs["position_ids"][:, -1:]
        return {**model_kwargs, "past_key_values": model_outputs.past_key_values, "position_ids": last + 1}


class FlaxBertForNextSentencePrediction(FlaxBertPreTrainedModel):
    """BERT with a next-sentence head."""

    _head = "ForNextSentencePrediction"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": dense(p["cls"]["seq_relationship"], pooled)}


class FlaxBertForSequenceClassification(FlaxBertPreTrainedModel):
    """BERT with a classification or regression head over a text or a pair of texts."""

    _head = "ForSequenceClassification"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": classifier(config, p, pooled, rng)}


class FlaxBertForMultipleChoice(FlaxBertPreTrainedModel):
    """BERT with a multiple-choice head: a score for each of several texts. input_ids: [B, choices, L]."""

    _head = "ForMultipleChoice"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": classifier(config, p, pooled, rng)[:, 0]}  # [B * choices], before they become [B, choices]


class FlaxBertForTokenClassification(FlaxBertPreTrainedModel):
    """BERT with a classification head over each token."""

    _head = "ForTokenClassification"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        return {"logits": classifier(config, p, x, rng)}


class FlaxBertForQuestionAnswering(FlaxBertPreTrainedModel):
    """BERT with a question-answering head: scores for the start and the end of an answer."""

    _head = "ForQuestionAnswering"

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Array, pooled: Any, rng: Any) -> dict[str, Array]:
        start, end = jnp.moveaxis(dense(p["qa_outputs"], x), -1, 0)
        return {"start_logits": start, "end_logits": end}
