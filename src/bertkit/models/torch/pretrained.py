"""The base of the nine classes: loading, saving, embeddings, pruning."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from bertkit.arguments import without_defaults
from bertkit.checkpoint.save import byte_count, save_checkpoint, save_safetensors
from bertkit.checkpoint.source import open_source
from bertkit.config import ATTENTION, BertConfig
from bertkit.errors import UsageError, did_you_mean
from bertkit.hub import locate
from bertkit.models.torch import loading, surgery
from bertkit.models.torch.arrays import array_of
from bertkit.models.torch.shared import SharedMethods
from bertkit.search.settings import FILE as GENERATION_FILE
from bertkit.search.settings import GenerationConfig


class BertPreTrainedModel(SharedMethods):
    """A BERT with or without a head: loading, saving, resizing, pruning.

    The nine classes set `_head`, the class suffix in the table of heads. The parameter table gives their parameters names,
    initial values and names in each kind of checkpoint. Your own subclass has a `bert` and further modules:

    >>> from bertkit import BertModel
    >>> class Tagger(BertPreTrainedModel):
    ...     def __init__(self, config):
    ...         super().__init__(config)
    ...         self.bert = BertModel(config)
    ...         self.tagger = nn.Linear(config.hidden_size, 5)
    ...         self.post_init()
    ...
    ...     def forward(self, **inputs):
    ...         return self.tagger(self.bert(**inputs).last_hidden_state)
    >>> Tagger(BertConfig.named("tiny"))(input_ids=torch.tensor([[101, 102]])).shape
    torch.Size([1, 2, 5])
    """

    config_class = BertConfig
    base_model_prefix = "bert"
    main_input_name = "input_ids"
    _no_split_modules: ClassVar = ["BertEmbeddings", "BertLayer"]  # for accelerate's sharding
    _keys_to_ignore_on_save = None
    _head: ClassVar[str | None] = None

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config if isinstance(config, BertConfig) else BertConfig.of(config, type(self).__name__)
        self.config.validate()
        self.name_or_path = self.config._name_or_path
        self.num_labels = len(self.config.id2label)

    def post_init(self) -> None:
        """Tie shared parameters and initialize the others. Call it at the end of a subclass's __init__."""
        self.tie_weights()
        self.register_load_state_dict_pre_hook(loading.agree)
        self.register_load_state_dict_post_hook(loading.tie_again)
        if getattr(self.config, "gradient_checkpointing", False):
            self.gradient_checkpointing_enable()
        device = torch.get_default_device()
        if device.type != "meta" and not loading.FROM_FILES.get():
            loading.take(self, {}, torch.get_default_dtype(), device)
            if "_head" not in vars(type(self)):
                loading.initialize_own(self, loading.own_parts(self))

    init_weights = post_init

    # Loading and saving.

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        config: BertConfig | str | os.PathLike[str] | None = None,
        *,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
        attn_implementation: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        use_safetensors: bool | None = None,
        from_tf: bool = False,
        from_flax: bool = False,
        variant: str | None = None,
        subfolder: str = "",
        revision: str = "main",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        state_dict: Mapping[str, Tensor] | None = None,
        trust_remote_code: bool = False,
        weights_only: bool = True,
        low_cpu_mem_usage: bool = True,
        max_memory: Mapping[Any, Any] | None = None,
        offload_folder: str | os.PathLike[str] | None = None,
        key_mapping: Mapping[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        **overrides: Any,
    ) -> Any:
        """A trained model, in evaluation mode.

        pretrained_model_name_or_path: a folder, a file, a Hub id or a built-in model, in any format that `load_checkpoint` reads.
        dtype (torch_dtype): type of the parameters, default float32; "auto" takes the type of the file.
        device_map: "auto" (a GPU if there is one), "cpu", 0, "cuda:0", a device, or {"": one of these}.
        attn_implementation: "sdpa" (fused, the default) or "eager".
        output_loading_info: return (model, names that were missing, unexpected or of another shape).
        state_dict: weights to use in place of the file. The name may then be None if config is a configuration.
        overrides: fields of the configuration, such as num_labels=3.

        The parameters are views of the mapped file if its type is the requested one: nothing is copied. trust_remote_code,
        weights_only, low_cpu_mem_usage, max_memory and offload_folder have no effect: no code of a model is ever run, memory is
        always saved, and a model is on one device. Other options of transformers are accepted with their default values.

        For example BertForMaskedLM.from_pretrained("google-bert/bert-base-uncased", dtype="bfloat16").
        """
        name: Any = pretrained_model_name_or_path
        place: Any = None
        if overrides or key_mapping or proxies:
            wishes = {**overrides, "key_mapping": key_mapping, "proxies": proxies}
            overrides, older_token = without_defaults(wishes)
            token = older_token if token is None else token
        if name is None or isinstance(name, nn.Module):
            loading.check_without_name(name, cls.__name__, config, state_dict)
        else:
            place = locate(
                name,
                revision=revision or "main",
                subfolder=subfolder or "",
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        own = {key: overrides.pop(key) for key in list(overrides) if key in inspect.signature(cls.__init__).parameters}
        if config is None or isinstance(config, (str, os.PathLike)):
            config = BertConfig.from_pretrained(config or place, **overrides)
        else:
            config = BertConfig.from_dict(BertConfig.of(config, cls.__name__).to_dict(), **overrides)
        config._name_or_path = place.name if place else ""
        if attn_implementation:
            config._attn_implementation = attention_of(attn_implementation)
        formats = ["google", "h5"] if from_tf else ["msgpack"] if from_flax else None
        if use_safetensors is not None:
            formats = ["safetensors"] if use_safetensors else ["bin"]
        source = loading.of_state_dict(state_dict) if state_dict is not None else open_source(place, formats, variant)
        device = torch.device("cpu") if device_map is None else loading.device_of(device_map)
        kind = dtype if torch_dtype is None else torch_dtype
        model, report = loading.load(cls, source, config, own, kind, device, ignore_mismatched_sizes)
        model.eval()
        if place and GENERATION_FILE in place.files and cls.can_generate():
            model.generation_config = GenerationConfig.of_files(place, model.config)
        return (model, report.loading_info()) if output_loading_info else model

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load parameters, as nn.Module does. With strict=True, one of the two names of a tied parameter is enough."""
        given = loading.with_both_names(self, state_dict) if strict else state_dict
        return super().load_state_dict(given, strict, assign)

    def initialize(self, paths: Sequence[str]) -> None:
        """Initialize the parameters of these paths, as `Parameter.initial` defines."""
        table = loading.table_of(self)
        with torch.no_grad():
            for path in paths:
                initial, tensor = table[path].initial(self.config), self.get_parameter(path)
                if initial.deviation:
                    tensor.normal_(0, initial.deviation)
                else:
                    tensor.fill_(initial.mean)
                if initial.zero_row is not None:
                    tensor[initial.zero_row] = 0
        if type(self)._init_weights is not BertPreTrainedModel._init_weights:
            loading.initialize_own(self, paths)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialize the parameters of one module: `layer.apply(model._init_weights)`. Subclasses may override it."""
        with torch.no_grad():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, (nn.LayerNorm, nn.GroupNorm, _BatchNorm)):
                    parameter.fill_(name == "weight")
                elif isinstance(module, nn.LSTM) and "weight" in name:
                    nn.init.xavier_uniform_(parameter)
                elif isinstance(module, (nn.Linear, nn.Embedding, _ConvNd)) and name == "weight":
                    parameter.normal_(0, self.config.initializer_range)
                elif isinstance(module, (nn.Linear, _ConvNd, nn.LSTM)):
                    parameter.zero_()
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0

    def _write(self, folder: Path, given: Mapping[str, Tensor], max_shard_size: int | str, variant: str | None) -> None:
        if "_generation_config" in vars(self):  # it was set, or read from a file
            vars(self)["_generation_config"].save_pretrained(folder)
        config = copy.deepcopy(self.config)
        config.dtype = str(self.dtype).removeprefix("torch.")
        own = loading.own_parts(self)
        without_pooler = self._head == "Model" and getattr(self, "pooler", None) is None
        if own or self._head is None or without_pooler:
            config.architectures = [type(self).__name__]
            config.save_pretrained(folder)
            paths = (*loading.table_of(self, self._head or "Model"), *own)
            tensors = {path: array_of(given[path]) for path in paths}
            save_safetensors(folder, tensors, byte_count(max_shard_size), variant)
            return
        tensors = {parameter.name: array_of(given[path]) for path, parameter in loading.table_of(self).items()}
        save_checkpoint(folder, tensors, config, self._head, max_shard_size=max_shard_size, variant=variant)

    def tie_weights(self) -> None:
        """Share the parameters that the configuration ties: the vocabulary projection with the word embedding."""
        predictions = getattr(getattr(self, "cls", None), "predictions", None)
        if predictions is None:
            return
        if self.config.tie_word_embeddings:
            predictions.decoder.weight = getattr(self, self.base_model_prefix).embeddings.word_embeddings.weight
        predictions.decoder.bias = predictions.bias

    # Properties.

    @property
    def attn_implementation(self) -> str:
        """The attention implementation: "sdpa" or "eager"."""
        return self.config._attn_implementation or "sdpa"

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Set the attention implementation, "sdpa" or "eager", also in the configuration."""
        self.config._attn_implementation = attention_of(attn_implementation)

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: tuple[int, ...],
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """A mask of 1 and 0 as it is added to scores: 0 where a position may attend, else the lowest number of the type.

        [B, L] -> [B, 1, 1, L], in a decoder [B, 1, L, L] with a causal mask; [B, L, L] -> [B, 1, L, L].
        """
        if attention_mask.dim() not in (2, 3):
            shape = list(attention_mask.shape)
            raise UsageError(
                f"attention_mask is {shape}, and must be [batch, length] or [batch, length, length] of 1 and 0."
            )
        dtype = self.dtype if dtype is None else dtype
        mask = attention_mask[:, None] if attention_mask.dim() == 3 else attention_mask[:, None, None]
        if attention_mask.dim() == 2 and self.config.is_decoder:
            length, source = input_shape[-1], attention_mask.shape[1]
            before = torch.ones(length, source, device=mask.device).tril(source - length)
            mask = mask * before
        return (1 - mask.to(dtype)) * torch.finfo(dtype).min

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embedding."""
        embedding: nn.Embedding = self.base_model.embeddings.word_embeddings
        return embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embedding."""
        self.base_model.embeddings.word_embeddings = value
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The vocabulary projection; None for a class without one."""
        predictions = getattr(getattr(self, "cls", None), "predictions", None)
        return getattr(predictions, "decoder", None)

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the vocabulary projection; a missing bias is zeros. Sets `config.tie_word_embeddings`."""
        decoder = new_embeddings
        if decoder.bias is None:
            decoder.bias = nn.Parameter(decoder.weight.new_zeros(decoder.out_features))
        predictions = self.get_submodule("cls.predictions")
        predictions.decoder, predictions.bias = decoder, decoder.bias
        self.config.tie_word_embeddings = decoder.weight is self.get_input_embeddings().weight

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the size of the vocabulary, for example to `len(tokenizer)` after `tokenizer.add_tokens(...)`.

        pad_to_multiple_of: round the size up; matrix products are faster with a multiple of 8 or 64.
        mean_resizing: initialize new rows with the mean of the old ones, else at random.
        The first rows are kept. The vocabulary projection, its bias and `config.vocab_size` change, too.
        """
        return surgery.resize_vocabulary(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    def prune_heads(self, heads_to_prune: Mapping[int, Sequence[int]]) -> None:
        """Remove attention heads: {layer: [heads]}, numbered as in the model before any pruning."""
        surgery.prune_heads(self, heads_to_prune)


def attention_of(name: str) -> str:
    """The name of an implementation of attention. Raises UsageError for an unknown one."""
    if name not in ATTENTION:
        raise UsageError(
            f"attn_implementation is {name!r}, and must be 'sdpa' or 'eager'.{did_you_mean(name, ATTENTION)}"
        )
    return name
