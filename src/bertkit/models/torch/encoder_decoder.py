"""EncoderDecoderModel: one BERT reads a text, and another one writes, attending to the states of the first.

B batch   S length of the text that is read   L length of what is written   H hidden width   V vocabulary
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.arguments import without_defaults
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import load_source
from bertkit.checkpoint.save import byte_count, save_safetensors
from bertkit.checkpoint.source import Source, open_source
from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.errors import LoadError, UsageError, described, did_you_mean
from bertkit.heads import IGNORED, POOLER
from bertkit.hub import Place, locate
from bertkit.models.torch import loading
from bertkit.models.torch.arrays import array_of, dtype_of, tensor_of
from bertkit.models.torch.cache import LayerCache
from bertkit.models.torch.generation import Generates, Start, are_words
from bertkit.models.torch.heads import BertLMHeadModel, cross_entropy
from bertkit.models.torch.model import BertModel
from bertkit.models.torch.pretrained import attention_of
from bertkit.models.torch.shared import SharedMethods
from bertkit.outputs import Seq2SeqLMOutput
from bertkit.search.generate import check_prompt, mask_of
from bertkit.search.settings import FILE, GenerationConfig

_PROJECTION = "enc_to_dec_proj."


class EncoderDecoderModel(Generates, SharedMethods):
    """A BertModel as encoder, and a BertLMHeadModel with cross-attention as decoder.

    >>> from bertkit import BertConfig
    >>> tiny = BertConfig.named("tiny")
    >>> model = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(tiny, tiny)).eval()
    >>> ids = torch.tensor([[101, 7592, 102]])
    >>> model(ids, decoder_input_ids=ids).logits.shape
    torch.Size([1, 3, 30522])
    """

    config_class = EncoderDecoderConfig
    base_model_prefix = "encoder_decoder"
    main_input_name = "input_ids"

    def __init__(self, config: EncoderDecoderConfig | None = None, encoder: Any = None, decoder: Any = None) -> None:
        super().__init__()
        if config is None:
            if encoder is None or decoder is None:
                raise UsageError("EncoderDecoderModel needs a config, or an encoder and a decoder.")
            own: Any = (getattr(part, "config", None) for part in (encoder, decoder))
            config = EncoderDecoderConfig.from_encoder_decoder_configs(*own)
        if not isinstance(config, EncoderDecoderConfig):
            raise UsageError(
                f"The configuration is a {type(config).__name__}, and must be an EncoderDecoderConfig: type "
                "EncoderDecoderConfig.from_encoder_decoder_configs(encoder_config, decoder_config)."
            )
        self.config, self.name_or_path = config, config._name_or_path
        self.encoder = BertModel(config.encoder) if encoder is None else encoder
        self.decoder = BertLMHeadModel(config.decoder) if decoder is None else decoder
        if not isinstance(self.encoder, BertModel) or not isinstance(self.decoder, BertLMHeadModel):
            raise UsageError(
                f"The encoder is a {type(self.encoder).__name__}, and must be a BertModel; the decoder is a "
                f"{type(self.decoder).__name__}, and must be a BertLMHeadModel."
            )
        config.encoder, config.decoder = self.encoder.config, self.decoder.config
        config.validate()
        widths = config.encoder.hidden_size, config.decoder.hidden_size
        wanted = getattr(config.decoder, "cross_attention_hidden_size", None)
        if wanted not in (None, widths[0]):
            raise UsageError(
                f"cross_attention_hidden_size of the decoder is {wanted!r:.80}, and the encoder's states have the width "
                f"{widths[0]}: leave it out."
            )
        if widths[0] != widths[1]:
            self.enc_to_dec_proj = nn.Linear(*widths)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Share the parameters that the configurations tie."""
        self.decoder.tie_weights()
        if not self.config.tie_encoder_decoder:
            return
        of_encoder = dict(self.encoder.named_parameters())
        for path, parameter in self.decoder.bert.named_parameters():
            if path not in of_encoder:
                continue
            if parameter.shape != of_encoder[path].shape:
                raise UsageError(
                    f"tie_encoder_decoder needs two parts of the same sizes, and {path} is {[*of_encoder[path].shape]} in the "
                    f"encoder and {[*parameter.shape]} in the decoder."
                )
            module, _, leaf = path.rpartition(".")
            setattr(self.encoder.get_submodule(module), leaf, parameter)

    def get_encoder(self) -> Any:
        """The BertModel."""
        return self.encoder

    def get_decoder(self) -> Any:
        """The BertLMHeadModel."""
        return self.decoder

    def get_input_embeddings(self) -> nn.Module:
        """The word embedding of the encoder."""
        found: Any = self.encoder.get_input_embeddings()
        return found

    def get_output_embeddings(self) -> nn.Module:
        """The vocabulary projection of the decoder."""
        found: Any = self.decoder.get_output_embeddings()
        return found

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embedding of the encoder, and that of the decoder if the parts are tied."""
        self.encoder.set_input_embeddings(value)
        if self.config.tie_encoder_decoder:
            self.decoder.set_input_embeddings(value)

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the vocabulary projection of the decoder."""
        self.decoder.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *sizes: Any, **options: Any) -> nn.Embedding:
        """Raise UsageError, as each part has a vocabulary of its own."""
        raise UsageError(
            "An EncoderDecoderModel has two vocabularies: type model.encoder.resize_token_embeddings(len(tokenizer)), "
            "model.decoder.resize_token_embeddings(len(tokenizer)), and then model.tie_weights()."
        )

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Set the attention implementation of both parts, "sdpa" or "eager", also in their configurations."""
        for part in (self.encoder, self.decoder):
            part.set_attn_implementation(attn_implementation)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Sequence[LayerCache] | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_type_ids: Tensor | None = None,
        lengths: Sequence[int] | Tensor | None = None,
    ) -> Seq2SeqLMOutput | tuple[Any, ...]:
        """Compute the scores of the next word at each place of the decoder.

        input_ids: [B, S], or inputs_embeds [B, S, H]; or encoder_outputs, as the encoder returned them.
        attention_mask: [B, S], 0 at padding.
        decoder_input_ids: [B, L]. By default the labels, shifted to the right.
        labels: [B, L], the words to write, -100 where there is no loss.
        token_type_ids: [B, S], of the text that is read.
        lengths: of packed texts that are read. input_ids are [T] then, and so are the states of the encoder, [T, H].
        """
        encoded: Any = encoder_outputs
        if encoded is None:
            encoded = self.encoder(
                input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                inputs_embeds=inputs_embeds,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                lengths=lengths,
                return_dict=True,
            )
        states = _states(encoded)
        of_encoder = states
        if lengths is not None:
            states, attention_mask = _padded(states, lengths)
        if attention_mask is not None and attention_mask.shape[:2] != states.shape[:2]:
            raise UsageError(
                f"attention_mask is {list(attention_mask.shape)}, and must be {list(states.shape[:2])}, as the encoder's states."
            )
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            if decoder_attention_mask is None:
                decoder_attention_mask = _mask_of(decoder_input_ids != self.config.pad_token_id, labels)
        decoded = self.decoder(
            decoder_input_ids,
            attention_mask=decoder_attention_mask,
            inputs_embeds=decoder_inputs_embeds,
            encoder_hidden_states=self._projected(states),
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        loss = None if labels is None else cross_entropy(decoded.logits, labels)
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=decoded.logits,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=of_encoder,
            encoder_hidden_states=getattr(encoded, "hidden_states", None),
            encoder_attentions=getattr(encoded, "attentions", None),
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def _projected(self, states: Tensor) -> Tensor:
        """The encoder's states in the width of the decoder."""
        found: Tensor = self.enc_to_dec_proj(states) if hasattr(self, "enc_to_dec_proj") else states
        return found

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """The labels shifted to the right: decoder_start_token_id comes first, and -100 becomes padding. [B, L] -> [B, L]."""
        start, padding = self.config.decoder_start_token_id, self.config.pad_token_id
        for name, value in (("decoder_start_token_id", start), ("pad_token_id", padding)):
            if value is None:
                raise UsageError(
                    f"The configuration has no {name}: set it, as in model.config.{name} = tokenizer.cls_token_id."
                )
        check_prompt("labels", labels, are_words(labels), "tokenizer(texts, return_tensors='pt').input_ids")
        shifted = F.pad(labels[:, :-1], (1, 0), value=int(start or 0))
        return shifted.masked_fill(shifted == IGNORED, int(padding or 0))

    # Writing.

    def _start(self, inputs: Tensor | None, settings: GenerationConfig, given: dict[str, Any]) -> Start:
        """The decoder begins with one word, and attends to the states of the inputs."""
        encoded, mask = given["encoder_outputs"], given["attention_mask"]
        for name in ("encoder_hidden_states", "encoder_attention_mask"):
            if given[name] is not None:
                raise UsageError(f"{name} are for a BertLMHeadModel: pass encoder_outputs and attention_mask.")
        if encoded is None:
            if inputs is None:
                raise UsageError("generate received no text: pass input_ids.")
            mask = mask_of(inputs, mask, settings)
            mask = None if mask is None else mask.long()
            encoded = self.encoder(
                inputs, attention_mask=mask, token_type_ids=given["token_type_ids"], return_dict=True
            )
        states = _states(encoded)
        prompt = self._first_words(states, settings, given["decoder_input_ids"])
        return Start(self.decoder, prompt, None, None, self._projected(states), mask)

    def _first_words(self, states: Tensor, settings: GenerationConfig, prompt: Tensor | None) -> Tensor:
        """The words that the decoder begins with, [B, L]: decoder_start_token_id, and then those of the caller."""
        first = settings.bos_token_id if settings.decoder_start_token_id is None else settings.decoder_start_token_id
        if first is None:
            raise UsageError(
                "The configuration has no decoder_start_token_id: set it, as in model.config.decoder_start_token_id = "
                "tokenizer.cls_token_id."
            )
        if isinstance(first, list) and len(first) != len(states):
            raise UsageError(
                f"decoder_start_token_id has {len(first)} words, and must have one, or one for each of {len(states)} texts."
            )
        starts = torch.tensor(first, device=states.device).reshape(-1, 1).expand(len(states), 1)
        if prompt is None:
            return starts
        check_prompt("decoder_input_ids", prompt, are_words(prompt), "torch.tensor([[101]])")
        if len(prompt) != len(starts):
            raise UsageError(
                f"decoder_input_ids have {len(prompt)} rows, and must have one for each of {len(starts)} texts."
            )
        return torch.cat([starts, prompt], 1) if bool((prompt[:, :1] != starts).all()) else prompt

    # Loading and saving.

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder_pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        decoder_pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        tie_encoder_decoder: bool = False,
        **options: Any,
    ) -> EncoderDecoderModel:
        """A model of two trained BERTs. The cross-attention of the decoder, which no BERT has, is initialized at random.

        options: fields of a configuration, after "encoder_" or "decoder_": `decoder_num_hidden_layers=3`; and `encoder_model` and
        `decoder_model`, models in place of names.
        """
        own: dict[str, dict[str, Any]] = {"encoder_": {}, "decoder_": {"is_decoder": True, "add_cross_attention": True}}
        for name, value in options.items():
            prefix = next((prefix for prefix in own if name.startswith(prefix)), None)
            if prefix is None:
                raise UsageError(
                    f"from_encoder_decoder_pretrained has no {name!r}: names begin with encoder_ or decoder_."
                )
            own[prefix][name.removeprefix(prefix)] = value
        encoder, decoder = own["encoder_"].pop("model", None), own["decoder_"].pop("model", None)
        names = encoder_pretrained_model_name_or_path, decoder_pretrained_model_name_or_path
        for place, part, model in zip(names, ("encoder", "decoder"), (encoder, decoder), strict=True):
            if (place is None) == (model is None):
                raise UsageError(
                    f"from_encoder_decoder_pretrained needs the name of the {part}, or {part}_model=model."
                )
        if encoder is None:
            encoder = BertModel.from_pretrained(names[0], **own["encoder_"])
        if decoder is None:
            decoder = BertLMHeadModel.from_pretrained(names[1], **own["decoder_"])
        config = EncoderDecoderConfig.from_encoder_decoder_configs(
            encoder.config, decoder.config, tie_encoder_decoder=tie_encoder_decoder
        )
        return cls(config, encoder, decoder).eval()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | Place,
        config: EncoderDecoderConfig | None = None,
        *,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device_map: str | int | torch.device | None = None,
        revision: str = "main",
        subfolder: str = "",
        token: bool | str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        attn_implementation: str | None = None,
        variant: str | None = None,
        use_safetensors: bool | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        weights_only: bool = True,
        **overrides: Any,
    ) -> Any:
        """A trained model, in evaluation mode. overrides: fields of the configuration, such as tie_encoder_decoder=True.

        The other arguments are those of `BertModel.from_pretrained`. Without ignore_mismatched_sizes=True, which initializes
        them, parameters that the file does not have raise LoadError, too.
        """
        overrides, older_token = without_defaults(overrides)
        place = locate(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            token=older_token if token is None else token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        dtype = dtype if torch_dtype is None else torch_dtype
        config = _with_overrides(config or EncoderDecoderConfig.from_pretrained(place), overrides)
        config._name_or_path = place.name
        if attn_implementation:
            config.encoder._attn_implementation = attention_of(attn_implementation)
            config.decoder._attn_implementation = attention_of(attn_implementation)
        formats = None if use_safetensors is None else ["safetensors" if use_safetensors else "bin"]
        source = open_source(place, formats, variant) if state_dict is None else loading.of_state_dict(state_dict)
        if config.tie_encoder_decoder:
            source = replace(source, tensors=_with_encoder(source.tensors))
        device = torch.device("cpu") if device_map is None else loading.device_of(device_map)
        kind: Any = torch.float32 if dtype is None else dtype
        parts, info = _parts(source, config, kind, device, ignore_mismatched_sizes)
        model = cls(config, *parts)
        if hasattr(model, "enc_to_dec_proj"):
            _take(model.enc_to_dec_proj, source.tensors, str(source.path))
            model.enc_to_dec_proj.to(device, dtype_of(parts[0].dtype))
        if FILE in place.files:
            model.generation_config = GenerationConfig.of_files(place, config)
        return (model.eval(), info) if output_loading_info else model.eval()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load parameters, as nn.Module does. With strict=True, one name of a parameter that several parts share is enough."""
        given: Any = copy.copy(state_dict)  # with its _metadata
        if strict:
            names: dict[int, list[str]] = {}
            for name, parameter in self.named_parameters(remove_duplicate=False):
                names.setdefault(id(parameter), []).append(name)
            for own in names.values():
                known = next((given[name] for name in own if name in given), None)
                given |= {name: known for name in own if known is not None and name not in given}
        return super().load_state_dict(given, strict, assign)

    def _write(self, folder: Path, given: Mapping[str, Tensor], max_shard_size: int | str, variant: str | None) -> None:
        paths = [f"encoder.{path}" for path in loading.table_of(self.encoder)]
        paths += [f"decoder.{path}" for path in loading.table_of(self.decoder)]
        paths += [path for path in given if path.startswith(_PROJECTION)]
        tensors: Tensors = {path: array_of(given[path].detach()) for path in paths}
        config = copy.deepcopy(self.config)
        config.architectures, config.dtype = [type(self).__name__], str(self.dtype).removeprefix("torch.")
        config.save_pretrained(folder)
        self.current_settings().save_pretrained(folder)
        save_safetensors(folder, tensors, byte_count(max_shard_size), variant)


def _with_overrides(config: EncoderDecoderConfig, overrides: Mapping[str, Any]) -> EncoderDecoderConfig:
    """The configuration with other values of its fields, or of the settings of `generate`."""
    known = {*vars(config), *(one.name for one in fields(GenerationConfig))} - {"encoder", "decoder", "others"}
    for name, value in overrides.items():
        if name not in known:
            raise UsageError(f"EncoderDecoderModel.from_pretrained has no {name!r}.{did_you_mean(name, known)}")
        setattr(config, name, value)
    return config


def _parts(
    source: Source, config: EncoderDecoderConfig, dtype: Any, device: torch.device, ignore_mismatched_sizes: bool
) -> tuple[list[Any], dict[str, list[str]]]:
    """The encoder and the decoder of a file, and lists of its names, as transformers calls them."""
    parts: list[Any] = []
    missing, unexpected = [], []
    dropped = {name for name in source.tensors if not name.startswith(_PROJECTION)}
    for made, part, head in ((BertModel, "encoder", "Model"), (BertLMHeadModel, "decoder", "LMHeadModel")):
        own = config.encoder if part == "encoder" else config.decoder
        optional = (POOLER,) if head == "Model" else ()
        tensors, report = load_source(
            source,
            head,
            own,
            prefix=f"{part}.",
            optional=optional,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        absent = [name for name in report.fresh if not name.startswith(optional)]
        if absent and not ignore_mismatched_sizes:
            raise LoadError(f"{source.path} has no {', '.join(absent[:5])} of the {part}.")
        options = {"add_pooling_layer": POOLER + "dense.weight" in tensors} if head == "Model" else {}
        parts.append(loading.model_of(made, own, tensors, dtype, device, **options))
        missing += [f"{part}.{name.removeprefix('bert.') if head == 'Model' else name}" for name in absent]
        unexpected += [f"{part}.{name}" for name in report.left_out]
        dropped &= {*report.dropped}  # each part drops the tensors of the other one
    unexpected += sorted(dropped)
    return parts, {"missing_keys": missing, "unexpected_keys": unexpected, "mismatched_keys": [], "error_msgs": []}


def _with_encoder(tensors: Tensors) -> Tensors:
    """The tensors of a file, and those of the decoder by the names of the encoder that ties them, which a file may leave out."""
    prefix = "decoder.bert."
    tied = {"encoder." + name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    return {**{name: array for name, array in tied.items() if "crossattention" not in name}, **tensors}


def _states(encoded: Any) -> Tensor:
    """The states [B, S, H] of what an encoder returned."""
    states = encoded if isinstance(encoded, Tensor) else getattr(encoded, "last_hidden_state", None)
    if states is None and isinstance(encoded, (list, tuple)):
        states = next(iter(encoded), None)
    if not isinstance(states, Tensor):
        raise UsageError(
            f"encoder_outputs are {described(encoded)}, and must be what model.encoder(input_ids) returns."
        )
    return states


def _padded(states: Tensor, lengths: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
    """Packed states [T, H] -> [B, S, H], and their mask [B, S]."""
    counts = torch.as_tensor(lengths, device=states.device)
    rows = torch.nn.utils.rnn.pad_sequence(list(states.split(counts.tolist())), batch_first=True)
    return rows, (torch.arange(rows.shape[1], device=states.device) < counts[:, None]).long()


def _mask_of(real: Tensor, labels: Tensor) -> Tensor:
    """The decoder's mask: real words [B, L]; or the pairs that attend [B, L, L], if padding has labels and must be computed."""
    if not bool(((labels != IGNORED) & ~real).any()):
        return real.long()
    return (real[:, None] & torch.ones(2 * real.shape[1:], dtype=torch.bool, device=real.device).tril()).long()


def _take(layer: nn.Linear, tensors: Tensors, path: str) -> None:
    """Load the projection of the encoder's states."""
    for name, parameter in layer.named_parameters():
        array = tensors.get(_PROJECTION + name)
        if array is None or array.shape != tuple(parameter.shape):
            found = "is absent" if array is None else f"has the shape {list(array.shape)}"
            raise LoadError(f"{_PROJECTION}{name} of {path} {found}, and {list(parameter.shape)} is expected.")
        parameter.data.copy_(tensor_of(array))
