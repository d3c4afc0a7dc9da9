"""The base of the nine classes: the call, decoding, parameters, loading and saving.

A model has a configuration, a type of numbers and a tree of parameters. A call with another tree as `params=` is a pure function,
which works with jax.jit, jax.grad, jax.vmap and jax.export.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bertkit.checkpoint.dtypes import float_name
from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.heads import HEADS
from bertkit.hub import locate
from bertkit.models.flax import arguments, loading, outputs
from bertkit.models.flax.arguments import Arguments
from bertkit.models.flax.model import Mode, bert, cache_of, key_of
from bertkit.models.flax.module import Module
from bertkit.models.flax.tree import Tree, flat, initialize, nested, paths, shape


class FlaxBertPreTrainedModel:
    """A BERT with or without a head.

    input_shape: no effect; the configuration gives the shapes of the parameters.
    seed: for random parameters.
    dtype: type of the computation. For the type of the parameters, see `to_bf16`.
    _do_init: False makes a model without parameters; pass them to each call as params=.
    gradient_checkpointing: see `enable_gradient_checkpointing`.

    >>> from bertkit import BertConfig, FlaxBertForSequenceClassification
    >>> model = FlaxBertForSequenceClassification(BertConfig.named("tiny"))
    >>> model(np.array([[101, 7592, 102]])).logits.shape
    (1, 2)
    """

    config_class = BertConfig
    base_model_prefix = "bert"
    main_input_name = "input_ids"
    framework = "flax"
    _head: ClassVar[str]
    _order: ClassVar[tuple[str, ...]] = Arguments._fields[:7]  # of the positional arguments

    def __init__(
        self,
        config: BertConfig,
        input_shape: tuple[int, ...] = (1, 1),
        seed: int = 0,
        dtype: Any = jnp.float32,
        _do_init: bool = True,
        gradient_checkpointing: bool = False,
        *,
        add_pooling_layer: bool = True,
    ) -> None:
        if not hasattr(type(self), "_head"):
            raise UsageError(
                f"{type(self).__name__} cannot be instantiated: use one of the nine classes, such as FlaxBertModel."
            )
        if not isinstance(config, BertConfig):
            raise UsageError(
                f"{type(self).__name__} takes a bertkit.BertConfig, not {config!r:.80}: for trained weights type "
                f"{type(self).__name__}.from_pretrained(name)."
            )
        self.config, self.dtype, self.input_shape = config, _type(dtype), input_shape
        self.key = jax.random.PRNGKey(seed)
        self._recomputes, self._initialized, self._has_pooler = gradient_checkpointing, _do_init, add_pooling_layer
        if _do_init:
            self._params = self.init_weights(self.key)

    # The call.

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        params: Tree | None = None,
        dropout_rng: Any = None,
        train: bool = False,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        past_key_values: Tree | None = None,
        *,
        inputs_embeds: Any = None,
        segment_ids: Any = None,
    ) -> Any:
        """Compute the outputs of the class. Outputs at padding are zero; start and end logits there are the lowest number.

        With train=True outputs at padding are returned as computed, so that losses over all positions equal transformers'.

        input_ids, token_type_ids, position_ids: [batch, length], or [batch, choices, length] for multiple choice.
        attention_mask: [batch, length], 1 at real tokens and 0 at padding; or [batch, length, length], 1 where a position may
        attend to another.
        head_mask: [heads] or [layers, heads], a factor for the result of each head.
        encoder_hidden_states, encoder_attention_mask: for a decoder with cross-attention.
        params: parameters to use in place of the model's.
        dropout_rng: a key, required for train=True. Equal keys give equal dropout.
        output_attentions: True, or the numbers of the layers whose attention weights are returned.
        past_key_values: from `init_cache` or the forward before. attention_mask is then [batch, max_length].
        inputs_embeds: [batch, length, hidden_size] in place of input_ids.
        segment_ids: [batch, length], for rows of several sequences: 1, 2, ... for their tokens, 0 for padding.
        """
        config = self.config
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "head_mask": head_mask,
            "encoder_hidden_states": encoder_hidden_states,
            "encoder_attention_mask": encoder_attention_mask,
            "inputs_embeds": inputs_embeds,
            "segment_ids": segment_ids,
            "cache": past_key_values,
        }
        output = self._answer(
            self.params if params is None else params,
            arguments.check(self, given),
            self._mode(
                config.output_attentions if output_attentions is None else output_attentions,
                config.output_hidden_states if output_hidden_states is None else output_hidden_states,
                train,
            ),
            self._dropout_key(dropout_rng, train),
        )
        return output if (config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def _answer(self, params: Tree, given: Arguments, mode: Mode, rng: Any) -> Any:
        """The output object of a forward: a pure function of its arguments."""
        row, config, choices = HEADS[self._head], self.config, 0
        if "group" in row.labels.values():
            choices = given.shape[1]
            given = given.folded()
        body = params
        if self._head != "Model":
            body, cache = params[self.base_model_prefix], given.cache and given.cache[self.base_model_prefix]
            given = given._replace(cache=cache)
        states = bert(config, body, given, mode, rng)
        x, pooled = states.last_hidden_state, states.pooler_output
        of_head = self._outputs(config, params, x, pooled, key_of(rng, config.num_hidden_layers + 1))
        found: dict[str, Any] = states._asdict()
        for name, output in of_head.items():
            of_row = row.outputs[name].grain == "row"
            found[name] = output if of_row else states.layout.unpack(output, row.outputs[name].padding)
            found[name] = found[name].reshape(-1, choices) if choices else found[name]
        cache = states.past_key_values
        found["past_key_values"] = cache if cache is None or self._head == "Model" else {self.base_model_prefix: cache}
        kind = outputs.KINDS["Flax" + row.output.__name__]
        return kind({name: found.get(name) for name in kind.names})

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Any, pooled: Any, rng: Any) -> dict[str, Any]:
        """The outputs of the head by their names, from states of tokens x [B, L, H] and pooled vectors [B, H]."""
        raise NotImplementedError

    def _mode(self, attentions: bool | Sequence[int], states: bool, train: bool = False) -> Mode:
        layers = self.config.num_hidden_layers
        if isinstance(attentions, (bool, type(None))):
            attentions = range(layers if attentions else 0)
        weights_of = frozenset(layer + layers if layer < 0 else layer for layer in attentions)
        if not weights_of <= set(range(layers)):
            raise UsageError(
                f"output_attentions is {attentions!r}, and must be True, False, or numbers of layers from 0 to {layers - 1}."
            )
        return Mode(self.dtype, weights_of, bool(states), self._recomputes, bool(train))

    def _dropout_key(self, rng: Any, train: bool) -> Any:
        """The key for dropout; None without dropout."""
        config = self.config
        rates = (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.classifier_dropout)
        if not train or not any(rates):
            return None
        if rng is None:
            raise UsageError("Dropout with train=True requires a key: type dropout_rng=jax.random.PRNGKey(0).")
        return rng

    # Decoding.

    def init_cache(self, batch_size: int, max_length: int) -> dict[str, Any]:
        """An empty cache for max_length tokens of each row, to pass to the first forward as past_key_values."""
        config = self.config
        if not config.is_decoder:
            raise UsageError("A cache requires a decoder: make the model with BertConfig(is_decoder=True).")
        if max_length > config.max_position_embeddings:
            raise UsageError(
                f"max_length is {max_length}, and must be at most {config.max_position_embeddings}, as max_position_embeddings."
            )
        width = config.hidden_size // config.num_attention_heads
        layers = []
        for number in range(config.num_hidden_layers):
            heads = config.num_attention_heads - len(config.pruned_heads.get(number, ()))
            empty = jnp.zeros((batch_size, max_length, heads, width), self.dtype)
            layers.append({"cached_key": empty, "cached_value": empty, "cache_index": jnp.array(0, jnp.int32)})
        return cache_of(layers) if self._head == "Model" else {self.base_model_prefix: cache_of(layers)}

    def enable_gradient_checkpointing(self) -> None:
        """Recompute layers in the backward pass: less memory for up to a third more time."""
        self._recomputes = True

    # Parameters.

    @property
    def module(self) -> Module:
        """The model with the call of a Flax module."""
        return Module(self)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: a nested dict."""
        if not self._initialized:
            raise UsageError(
                "A model made with _do_init=False has no parameters: pass them to each call, params=params."
            )
        return self._params

    @params.setter
    def params(self, params: Tree) -> None:
        if not self._initialized:
            raise UsageError(
                "A model made with _do_init=False stores no parameters: pass them to each call, params=params."
            )
        leaves = flat(params)
        missing, unknown = self.required_params - leaves.keys(), leaves.keys() - self.required_params
        if missing or unknown:
            which = [
                f"{len(some)} {kind}, such as {'/'.join(min(some))}"
                for kind, some in (("missing", missing), ("unknown", unknown))
                if some
            ]
            raise UsageError(f"Invalid parameters for {type(self).__name__}: {'; '.join(which)}.")
        self._params = nested(leaves)

    @property
    def required_params(self) -> set[tuple[str, ...]]:
        """The paths of all parameters."""
        return set(self._paths())

    @property
    def params_shape_tree(self) -> dict[str, Any]:
        """The tree of the shapes and types of all parameters, without their memory."""
        found: dict[str, Any] = jax.eval_shape(self.init_weights, self.key)
        return found

    def init_weights(
        self, rng: Any, input_shape: tuple[int, ...] = (1, 1), params: Tree | None = None
    ) -> dict[str, Any]:
        """Random parameters. params: a tree whose parameters are kept; only missing ones are random. input_shape: no effect."""
        given = flat(params or {})
        return nested(
            {
                path: given[path] if path in given else initialize(parameter, self.config, rng)
                for path, parameter in self._paths().items()
            }
        )

    def _paths(self) -> dict[tuple[str, ...], Any]:
        return paths(self.config, self._head, self._has_pooler)

    def decay_mask(self) -> dict[str, Any]:
        """The tree for optax.adamw(mask=...): True for parameters with weight decay, which are matrices, not norms and biases."""
        return nested({path: parameter.decays for path, parameter in self._paths().items()})

    def to_bf16(self, params: Tree, mask: Tree | None = None) -> Any:
        """The parameters as bfloat16. mask: a tree of bool, to convert only parameters where it is True."""
        return _cast(params, jnp.bfloat16, mask)

    def to_fp16(self, params: Tree, mask: Tree | None = None) -> Any:
        """The parameters as float16. mask: see `to_bf16`."""
        return _cast(params, jnp.float16, mask)

    def to_fp32(self, params: Tree, mask: Tree | None = None) -> Any:
        """The parameters as float32. mask: see `to_bf16`."""
        return _cast(params, jnp.float32, mask)

    def num_parameters(self) -> int:
        """The number of parameters, counted as single numbers."""
        return sum(int(np.prod(shape(parameter))) for parameter in self._paths().values())

    # Loading and saving.

    @classmethod
    def from_config(cls, config: BertConfig, **options: Any) -> Any:
        """A model with random weights. options: further arguments of the class."""
        return cls(copy.deepcopy(config), **options)

    _from_config = from_config

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        dtype: Any = jnp.float32,
        *,
        config: BertConfig | str | os.PathLike[str] | None = None,
        from_pt: bool = False,
        _do_init: bool = True,
        seed: int = 0,
        input_shape: tuple[int, ...] = (1, 1),
        gradient_checkpointing: bool = False,
        add_pooling_layer: bool = True,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        subfolder: str = "",
        revision: str = "main",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        **overrides: Any,
    ) -> Any:
        """A trained model. With _do_init=False, a pair of a model without parameters and the parameters.

        pretrained_model_name_or_path: a folder, a file, a Hub id or a built-in model, in any format that `load_checkpoint` reads.
        dtype: type of the computation. The parameters keep the type of the file.
        from_pt: read only files of PyTorch. Without it they are read, too.
        seed: for parameters that the file does not have. With _do_init=False they are left out: see `init_weights`.
        output_loading_info: also return the names that were missing, unexpected or of another shape.
        overrides: fields of the configuration, such as num_labels=3.

        Only missing parameters are initialized. Each parameter is copied once, from the mapped file to the device.
        trust_remote_code has no effect: no code of a model is ever run.

        For example FlaxBertForMaskedLM.from_pretrained("google-bert/bert-base-uncased", dtype=jnp.bfloat16).
        """
        place = locate(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=token,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        if not isinstance(config, BertConfig):
            config = BertConfig.from_pretrained(config or place, **overrides)
        elif overrides:
            config = BertConfig.from_dict(config.to_dict(), **overrides)
        options = {"gradient_checkpointing": gradient_checkpointing, "add_pooling_layer": add_pooling_layer}
        model = cls(config, input_shape, seed, dtype, False, **options)
        params, report = loading.load(model, place, from_pt, ignore_mismatched_sizes)
        if _do_init:
            model._params, model._initialized = model.init_weights(model.key, params=params), True
        found = (model,) if _do_init else (model, params)
        found = (*found, report.loading_info()) if output_loading_info else found
        return found if len(found) > 1 else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        params: Tree | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "10GB",
        token: str | bool | None = None,
        safe_serialization: bool = False,
    ) -> None:
        """Write `config.json` and `flax_model.msgpack` into a folder, which is created if it does not exist.

        params: parameters to write in place of the model's.
        safe_serialization: write `model.safetensors` in place of `flax_model.msgpack`; the classes of all frameworks read it.
        max_shard_size: larger safetensors are split into several files with an index.
        token has no effect.
        """
        if push_to_hub:
            raise UsageError(
                "push_to_hub=True is not supported by the Flax classes: leave it out, and upload the folder."
            )
        given = self.params if params is None else params
        loading.save(self, given, save_directory, max_shard_size, safe_serialization)


def _type(dtype: Any) -> Any:
    """The jnp.dtype of floating-point numbers, from a type or its name."""
    return jnp.dtype(float_name(dtype))


def _cast(params: Tree, dtype: Any, mask: Tree | None) -> Any:
    """The tree with its floating-point leaves in another type."""

    def cast(leaf: Any, chosen: Any = True) -> Any:
        return leaf.astype(dtype) if chosen and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, params) if mask is None else jax.tree.map(cast, params, mask)
