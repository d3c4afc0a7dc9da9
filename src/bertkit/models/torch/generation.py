"""`generate`: a decoder writes text. The search is that of `bertkit.search`; here are the steps of the model and its cache."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bertkit.errors import UsageError, described
from bertkit.models.torch.cache import Cache, take_rows, with_room
from bertkit.models.torch.copies import for_few_rows
from bertkit.search.generate import check_prompt, mask_of, result, search, settings_of
from bertkit.search.loop import Stop
from bertkit.search.scores import Change, Scores, Words
from bertkit.search.settings import GenerationConfig

logger = logging.getLogger("bertkit")

Processor = Callable[[Tensor, Tensor], Tensor]
"""Words so far [R, t] and scores [R, V] -> scores [R, V]."""

Criterion = Callable[[Tensor, Tensor], "Tensor | bool"]
"""Words so far [R, t] and scores [R, V] -> whether each row ends."""


class Start(NamedTuple):
    """What a search begins with: the decoder, its words [B, L], their mask and types, and an encoder's states [B, S, H]."""

    model: Any
    prompt: Tensor
    mask: Tensor | None
    types: Tensor | None
    encoder_states: Tensor | None
    encoder_mask: Tensor | None

    def take(self, rows: Tensor) -> Start:
        """Some rows, in another order."""
        found: list[Any] = [None if one is None else one.index_select(0, rows) for one in self[1:]]
        return Start(self.model, *found)


class Generates:
    """The method `generate` of a decoder."""

    config: Any
    device: Any

    @property
    def generation_config(self) -> GenerationConfig:
        """The settings of `generate`, at first those of the configuration. Values that are set later in either place count."""
        if "_generation_config" not in vars(self):
            self.generation_config = GenerationConfig.from_model_config(self.config)
        settings: GenerationConfig = vars(self)["_generation_config"]
        return settings

    @generation_config.setter
    def generation_config(self, settings: Any) -> None:
        own = GenerationConfig.of(settings)
        object.__setattr__(self, "_generation_config", own)
        object.__setattr__(self, "_settings_before", (replace(own), GenerationConfig.from_model_config(self.config)))

    def current_settings(self) -> GenerationConfig:
        """The settings, with values of the configuration that were set since the last call, and not in `generation_config`."""
        settings = self.generation_config
        before, of_config = vars(self)["_settings_before"]
        for name, value in vars(GenerationConfig.from_model_config(self.config)).items():
            if value != getattr(of_config, name) and getattr(settings, name) == getattr(before, name):
                setattr(settings, name, value)
        self.generation_config = settings
        return settings

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[Processor] | None = None,
        stopping_criteria: Sequence[Criterion] | None = None,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        labels: Tensor | None = None,
        streamer: Any = None,
        seed: int | Sequence[int] | None = None,
        use_model_defaults: bool | None = None,
        **settings: Any,
    ) -> Any:
        """Write words after a prompt. Returns the prompt with its continuation, [B * texts, t], or an output object.

        >>> from bertkit import BertConfig, BertLMHeadModel
        >>> model = BertLMHeadModel(BertConfig.named("tiny", is_decoder=True)).eval()
        >>> model.generate(torch.tensor([[101, 7592]]), max_new_tokens=3, pad_token_id=0).shape
        torch.Size([1, 5])

        Args:
            inputs: the words of the prompt, [B, L], padded on the left.
            input_ids: another name of `inputs`.
            generation_config: settings in place of the model's, which count where these are defaults.
            logits_processor: functions that change the scores of the next word.
            stopping_criteria: functions that end a text. With them, or processors, rows that have ended stay in the batch.
            attention_mask: [B, L], 0 at padding. Without it, the padding token is padding, unless it also ends texts.
            encoder_hidden_states: [B, S, H], for a decoder with cross-attention.
            encoder_attention_mask: [B, S], 0 at padding.
            decoder_input_ids: [B, L], what an encoder-decoder has written already; None: the word decoder_start_token_id.
            token_type_ids: [B, L], of the prompt, whose last type goes on, or of the text that an encoder-decoder reads.
            encoder_outputs: what the encoder of an encoder-decoder returned, in place of the text.
            labels: have no effect. They are in the batches of transformers' Seq2SeqTrainer.
            streamer: gets the words as they are written, by `put`, and then a call of `end`.
            seed: of sampling, or one for each prompt; None: a number from PyTorch's generator, which torch.manual_seed sets.
            use_model_defaults: False: of the model's settings, only the special tokens fill generation_config.
            settings: fields of GenerationConfig for this call, such as num_beams=4.
        """
        if self.prepare_inputs_for_generation != MethodType(type(self).prepare_inputs_for_generation, self):
            raise UsageError(
                "generate does not support prompt tuning and prefix tuning, which replace prepare_inputs_for_generation: merge "
                "the adapter, or use LoRA."
            )
        chosen = settings_of(self.current_settings(), generation_config, settings, use_model_defaults)
        given = {
            "attention_mask": attention_mask,
            "encoder_hidden_states": encoder_hidden_states,
            "encoder_attention_mask": encoder_attention_mask,
            "decoder_input_ids": decoder_input_ids,
            "token_type_ids": token_type_ids,
            "encoder_outputs": encoder_outputs,
        }
        if inputs is not None and input_ids is not None:
            raise UsageError(
                "generate received inputs and input_ids, which are two names of the same words: pass one of them."
            )
        inputs = inputs if input_ids is None else input_ids
        if inputs is not None:
            check_prompt("input_ids", inputs, are_words(inputs), 'tokenizer(texts, return_tensors="pt").input_ids')
        if not (streamer is None or (hasattr(streamer, "put") and hasattr(streamer, "end"))):
            raise UsageError(f"streamer is {described(streamer)}, and must have the methods put and end.")
        if streamer is not None and chosen.num_beams > 1:
            raise UsageError("A streamer needs num_beams=1, as beams change words that they wrote before.")
        start = self._start(inputs, chosen, given)
        device, prompt = start.prompt.device, start.prompt.cpu()
        if streamer is not None:
            streamer.put(prompt)
        found, chosen = search(
            lambda times, longest: TorchDecoder(start, times, longest, chosen.use_cache),
            prompt.numpy(),
            None if start.mask is None else start.mask.cpu().numpy().astype(bool),
            chosen,
            start.model.config,
            self._seed(seed) if chosen.do_sample else seed,
            [_change(one, device) for one in _listed("logits_processor", logits_processor)],
            [_stop(one, device) for one in _listed("stopping_criteria", stopping_criteria)],
            _note(streamer),
        )
        if streamer is not None:
            streamer.end()
        return result(found, chosen, lambda array: torch.from_numpy(array).to(device), start.model is not self)

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: Sequence[Tensor] | None,
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """The score of each new word, [R, new words], and 0 after the end of a text, where `generate` computed no scores.

        sequences, scores, beam_indices: what `generate` returned with return_dict_in_generate=True and output_scores=True.
        normalize_logits: return log-probabilities. The scores of beams are log-probabilities already.

        >>> from bertkit import BertConfig, BertLMHeadModel
        >>> model = BertLMHeadModel(BertConfig.named("tiny", is_decoder=True)).eval()
        >>> options = {"max_new_tokens": 3, "return_dict_in_generate": True, "output_scores": True}
        >>> found = model.generate(torch.tensor([[101, 7592]]), **options)
        >>> model.compute_transition_scores(found.sequences, found.scores, normalize_logits=True).shape
        torch.Size([1, 3])
        """
        if not scores:
            raise UsageError("compute_transition_scores received no scores: pass output_scores=True to generate.")
        if beam_indices is None:
            if len(scores[0]) != len(sequences):
                raise UsageError(
                    f"sequences has {len(sequences)} rows, and the scores have {len(scores[0])}: pass beam_indices."
                )
            beam_indices = torch.arange(len(sequences), device=sequences.device)[:, None].expand(-1, len(scores))
        written = beam_indices >= 0
        length = int(written.sum(1).max())
        words = sequences[:, sequences.shape[1] - length :]
        found = torch.zeros(words.shape, device=words.device)
        for place, step in enumerate(scores[:length]):
            rows = beam_indices[:, place].clamp(min=0)
            totals = step.logsumexp(1)  # -inf for a row that `generate` did not compute
            of_words = step[rows, words[:, place]] - (totals[rows] if normalize_logits else 0)
            found[:, place] = of_words.where(written[:, place] & ~totals[rows].isneginf(), found[:, place])
        return found

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
        **others: Any,
    ) -> dict[str, Any]:
        """The arguments of the next forward. With a cache, only the words [B, L] that it does not hold."""
        past = past_key_values.get_seq_length() if past_key_values else 0
        words = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
        given = {words: input_ids[:, past:], "attention_mask": attention_mask, "past_key_values": past_key_values}
        return {**given, "use_cache": use_cache, **others}

    def _seed(self, seed: int | Sequence[int] | None) -> int | Sequence[int]:
        return int(torch.randint(2**62, ())) if seed is None else seed

    def _start(self, inputs: Tensor | None, settings: GenerationConfig, given: dict[str, Any]) -> Start:
        """What the search begins with."""
        if given["decoder_input_ids"] is not None:
            raise UsageError("decoder_input_ids are for an EncoderDecoderModel: pass the prompt as input_ids.")
        if given["encoder_outputs"] is not None:
            raise UsageError("encoder_outputs are for an EncoderDecoderModel: pass encoder_hidden_states.")
        if inputs is None:
            if settings.bos_token_id is None:
                raise UsageError(
                    "generate received no prompt: pass input_ids, or bos_token_id to begin with this word."
                )
            inputs = torch.tensor([[settings.bos_token_id]], device=self.device)
        mask = mask_of(inputs, given["attention_mask"], settings)
        if mask is not None and not bool(mask[:, -1].all()):
            logger.warning(
                "A prompt has padding on the right, after which words are written: type tokenizer.padding_side = 'left'."
            )
        types = given["token_type_ids"]
        return Start(self, inputs, mask, types, given["encoder_hidden_states"], given["encoder_attention_mask"])


class TorchDecoder:
    """The steps of a PyTorch model for a search. times: how many texts each prompt begins; its states are computed once."""

    def __init__(self, start: Start, times: int, longest: int, use_cache: bool) -> None:
        self.at, self.times, self.longest = start, times, longest
        self.model, self.use_cache = for_few_rows(start.model), use_cache and start.model.config.is_decoder
        self.cache: Cache | None = None
        self.inputs = np.arange(len(start.prompt)).repeat(times)  # of each row, [R]
        keeps = "logits_to_keep" in inspect.signature(start.model.forward).parameters  # a class of yours may lack it
        self.options: dict[str, Any] = {"logits_to_keep": 1} if keeps else {}

    def start(self) -> Scores:
        """The logits after the prompt."""
        logits, cache = self._forward(self.at.prompt)
        if self.times > 1:
            rows = torch.arange(len(logits), device=self.at.prompt.device).repeat_interleave(self.times)
            self.at, cache = self.at.take(rows), cache and cache.reorder(rows)
        self.cache = cache and with_room(cache, self.longest)
        return logits.repeat(self.times, 0)

    def step(self, words: Words, rows: Words) -> Scores:
        """Add a word to some rows. Returns their logits."""
        device = self.at.prompt.device
        new, kept = torch.from_numpy(words).to(device)[:, None], torch.from_numpy(rows).to(device)
        if len(rows) < len(self.inputs) or not np.array_equal(rows, np.arange(len(rows))):
            inputs = self.inputs[rows]
            moved = not np.array_equal(inputs, self.inputs)  # else beams changed places with others of the same input
            self.at = self.at.take(kept) if moved else self.at._replace(prompt=self.at.prompt.index_select(0, kept))
            if self.cache is not None:
                take_rows(self.cache, kept, with_encoder=moved)
            self.inputs = inputs
        mask, types = self.at.mask, self.at.types
        self.at = self.at._replace(
            prompt=torch.cat([self.at.prompt, new], 1),
            mask=None if mask is None else torch.cat([mask, mask.new_ones(len(new), 1)], 1),
            types=None if types is None else torch.cat([types, types[:, -1:]], 1),
        )
        return self._forward(new if self.use_cache else self.at.prompt)[0]

    def _forward(self, words: Tensor) -> tuple[Scores, Cache | None]:
        """The logits after some words [R, L], and the new cache."""
        mask = places = shown = self.at.mask
        if mask is not None:
            places = (mask.cumsum(1) - 1).masked_fill(~mask, 1)[:, -words.shape[1] :]  # of the words without padding
            shown = mask if mask[:, -1].all() else mask[:, None] & mask.new_ones(2 * mask.shape[1:]).tril()
        output = self.model(
            words,
            attention_mask=None if shown is None else shown.long(),
            token_type_ids=None if self.at.types is None else self.at.types[:, -words.shape[1] :],
            position_ids=places,
            encoder_hidden_states=self.at.encoder_states,
            encoder_attention_mask=self.at.encoder_mask,
            past_key_values=self.cache,
            use_cache=self.use_cache,
            return_dict=True,
            **self.options,
        )
        return output.logits[:, -1].float().cpu().numpy(), output.past_key_values if self.use_cache else None


def are_words(given: object) -> bool:
    """Whether a value is a tensor of whole numbers."""
    return isinstance(given, Tensor) and not given.is_floating_point()


def _listed(name: str, functions: Any) -> list[Any]:
    """The functions of a caller, in a list."""
    if functions is None or (hasattr(functions, "__iter__") and all(map(callable, functions))):
        return list(functions or ())
    raise UsageError(f"{name} is {described(functions)}, and must be a list of functions: {name}=[function].")


def _change(processor: Processor, device: torch.device) -> Change:
    def change(words: Words, scores: Scores) -> Scores:
        found = processor(torch.from_numpy(words).to(device), torch.from_numpy(scores).to(device))
        if not isinstance(found, Tensor) or found.shape != scores.shape:
            raise UsageError(
                f"A function of logits_processor returned {found.shape if isinstance(found, Tensor) else described(found)}, and "
                f"must return the changed scores, {[*scores.shape]}."
            )
        changed: Scores = found.float().cpu().numpy()
        return changed

    return change


def _stop(criterion: Criterion, device: torch.device) -> Stop:
    def stop(words: Words, scores: Scores) -> Any:
        found = criterion(torch.from_numpy(words).to(device), torch.from_numpy(scores).to(device))
        ended = found.cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
        if ended.dtype != bool or ended.shape not in ((), (len(words),)):
            raise UsageError(
                f"A function of stopping_criteria returned {described(found)}, and must return True, False, or one of them for "
                f"each of {len(words)} rows."
            )
        return ended

    return stop


def _note(streamer: Any) -> Callable[[Words], object]:
    return (lambda words: None) if streamer is None else (lambda words: streamer.put(torch.from_numpy(words)))
