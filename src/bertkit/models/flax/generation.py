"""`generate` of the Flax decoder: the steps of the model and its cache, for the search of `bertkit.search`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bertkit.errors import UsageError
from bertkit.outputs import ModelOutput
from bertkit.search.generate import mask_of, search, settings_of, words_of
from bertkit.search.scores import Scores, Words
from bertkit.search.settings import GenerationConfig


class FlaxGreedySearchOutput(ModelOutput):
    """sequences: [B, max_length]."""

    sequences: Any


class FlaxSampleOutput(ModelOutput):
    """sequences: [B, max_length]."""

    sequences: Any


class FlaxBeamSearchOutput(ModelOutput):
    """sequences: [B * texts, max_length]. scores: [B * texts]."""

    sequences: Any
    scores: Any


class FlaxGenerates:
    """The method `generate` of a decoder."""

    config: Any

    def generate(
        self,
        input_ids: Any,
        generation_config: GenerationConfig | None = None,
        prng_key: Any = None,
        trace: bool = True,
        params: Any = None,
        *,
        attention_mask: Any = None,
        **settings: Any,
    ) -> FlaxGreedySearchOutput | FlaxSampleOutput | FlaxBeamSearchOutput:
        """Write words after a prompt.

        >>> from bertkit import BertConfig, FlaxBertForCausalLM
        >>> model = FlaxBertForCausalLM(BertConfig.named("tiny", is_decoder=True))
        >>> model.generate(np.array([[101, 7592]]), max_length=5, pad_token_id=0).sequences.shape
        (1, 5)

        Args:
            input_ids: the words of the prompt, [B, L], padded on the left.
            generation_config: settings in place of the model's.
            prng_key: of sampling; None: that of the seed 0.
            trace: no effect. The forward is compiled for the first step and for all others.
            params: parameters in place of the model's.
            attention_mask: [B, L], 0 at padding. Without it, the padding token is padding, unless it also ends texts.
            settings: fields of GenerationConfig for this call, such as num_beams=4. The cache is used with use_cache=False, too.
        """
        chosen = settings_of(GenerationConfig.from_model_config(self.config), generation_config, settings)
        for name in ("output_scores", "output_logits", "return_dict_in_generate"):
            if getattr(chosen, name) != getattr(GenerationConfig, name):
                raise UsageError(f"{name}={getattr(chosen, name)} is not supported by Flax: leave it out.")
        prompt = words_of(input_ids, 'tokenizer(texts, return_tensors="np").input_ids')
        mask = mask_of(prompt, None if attention_mask is None else np.asarray(attention_mask), chosen)

        def decoder(times: int, longest: int) -> FlaxDecoder:
            return FlaxDecoder(
                self, prompt.repeat(times, 0), None if mask is None else mask.repeat(times, 0), longest, params
            )

        found, chosen = search(decoder, prompt, mask, chosen, self.config, _seed(prng_key))
        rest = ((0, 0), (0, chosen.max_length - found.words.shape[1]))
        sequences = jnp.asarray(np.pad(found.words, rest, constant_values=chosen.filler))
        if chosen.num_beams > 1:
            return FlaxBeamSearchOutput(sequences=sequences, scores=jnp.asarray(found.totals))
        return (FlaxSampleOutput if chosen.do_sample else FlaxGreedySearchOutput)(sequences=sequences)


class FlaxDecoder:
    """The steps of a Flax model for a search. Its batch keeps its size, as XLA compiles for fixed shapes."""

    def __init__(self, model: Any, prompt: Words, mask: Any, longest: int, params: Any) -> None:
        if not model.config.is_decoder:
            raise UsageError("generate needs a decoder: make the model with BertConfig(is_decoder=True).")
        self.model, self.prompt, self.params = model, prompt, params
        self.given = model.prepare_inputs_for_generation(prompt, longest, mask)

    def start(self) -> Scores:
        """The logits after the prompt."""
        return self._forward(self.prompt)

    def step(self, words: Words, rows: Words) -> Scores:
        """Add a word to some rows. The others are replaced by copies of the first row, and not returned."""
        size, kept = len(self.prompt), len(rows)
        order = np.concatenate([rows, np.zeros(size - kept, np.int64)])
        if not np.array_equal(order, np.arange(size)):
            self.given = jax.tree.map(lambda array: array[order] if array.ndim else array, self.given)
        filled = np.concatenate([words, np.full(size - kept, words[0])])
        return self._forward(filled[:, None])[:kept]

    def _forward(self, words: Words) -> Scores:
        output = self.model(jnp.asarray(words), params=self.params, **self.given)
        self.given = self.model.update_inputs_for_generation(output, self.given)
        logits: Scores = np.asarray(output.logits[:, -1], np.float32)
        return logits


def _seed(key: Any) -> int:
    """A number from a key of JAX."""
    if key is None:
        return 0
    data = key if jnp.issubdtype(key.dtype, jnp.integer) else jax.random.key_data(key)
    return int.from_bytes(np.asarray(data, np.uint32).tobytes(), "little")
