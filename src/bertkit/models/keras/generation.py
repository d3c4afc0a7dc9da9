"""`generate` of the TensorFlow decoder: the steps of the model and its cache, for the search of `bertkit.search`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from bertkit.errors import UsageError
from bertkit.models.keras.inputs import Tensor
from bertkit.search.generate import mask_of, result, search, settings_of, words_of
from bertkit.search.scores import Scores, Words
from bertkit.search.settings import GenerationConfig


class TFGenerates:
    """The method `generate` of a decoder."""

    config: Any

    def generate(
        self,
        inputs: Any = None,
        generation_config: GenerationConfig | None = None,
        *,
        input_ids: Any = None,
        attention_mask: Any = None,
        seed: int | Sequence[int] | None = None,
        **settings: Any,
    ) -> Any:
        """Write words after a prompt. Returns the prompt with its continuation, [B * texts, t], or an output object.

        >>> from bertkit import BertConfig, TFBertLMHeadModel
        >>> model = TFBertLMHeadModel(BertConfig.named("tiny", is_decoder=True))
        >>> tuple(model.generate(np.array([[101, 7592]]), max_new_tokens=3, pad_token_id=0).shape)
        (1, 5)

        Args:
            inputs: the words of the prompt, [B, L], padded on the left.
            generation_config: settings in place of those in the model's configuration.
            input_ids: another name of `inputs`.
            attention_mask: [B, L], 0 at padding. Without it, the padding token is padding, unless it also ends texts.
            seed: of sampling: a number, or two as for TensorFlow's own generators; None: a random one.
            settings: fields of GenerationConfig for this call, such as num_beams=4.
        """
        chosen = settings_of(GenerationConfig.from_model_config(self.config), generation_config, settings)
        given = inputs if input_ids is None else input_ids
        if given is None and chosen.bos_token_id is None:
            raise UsageError("generate received no prompt: pass input_ids, or bos_token_id to begin with this word.")
        prompt = words_of(
            [[chosen.bos_token_id]] if given is None else given, 'tokenizer(texts, return_tensors="np").input_ids'
        )
        mask = mask_of(prompt, None if attention_mask is None else np.asarray(attention_mask), chosen)

        def decoder(times: int, longest: int) -> KerasDecoder:
            return KerasDecoder(self, prompt.repeat(times, 0), None if mask is None else mask.repeat(times, 0))

        found, chosen = search(decoder, prompt, mask, chosen, self.config, _number(seed))
        return result(found, chosen, ops.convert_to_tensor)


class KerasDecoder:
    """The steps of a TensorFlow model for a search."""

    def __init__(self, model: Any, prompt: Words, mask: Words | None) -> None:
        if not model.config.is_decoder:
            raise UsageError("generate needs a decoder: make the model with BertConfig(is_decoder=True).")
        self.model, self.prompt = model, prompt
        self.mask = None if mask is None else np.asarray(mask, np.int32)
        self.cache: Any = None

    def start(self) -> Scores:
        """The logits after the prompt."""
        return self._forward(self.prompt)

    def step(self, words: Words, rows: Words) -> Scores:
        """Add a word to some rows. Returns their logits."""

        def kept(tensor: Tensor) -> Tensor:
            return ops.take(tensor, rows, axis=0)

        self.cache = keras.tree.map_structure(kept, self.cache)
        if self.mask is not None:
            self.mask = np.pad(self.mask[rows], ((0, 0), (0, 1)), constant_values=1)
        return self._forward(words[:, None])

    def _forward(self, words: Words) -> Scores:
        places = None if self.mask is None else (self.mask.cumsum(1) - 1).clip(0)[:, -words.shape[1] :]
        output = self.model(
            words.astype(np.int32),
            attention_mask=self.mask,
            position_ids=places,  # of the words without padding
            past_key_values=self.cache,
            use_cache=True,
            return_dict=True,
            training=False,
        )
        self.cache = output.past_key_values
        logits: Scores = ops.convert_to_numpy(output.logits[:, -1]).astype(np.float32)
        return logits


def _number(seed: int | Sequence[int] | None) -> int | None:
    """A seed as one number."""
    if seed is None or isinstance(seed, int):
        return seed
    first, second = seed
    return (int(first) % 2**32 << 32) + int(second) % 2**32
