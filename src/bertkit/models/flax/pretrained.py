"""What the nine classes share: the call, and where their parameters come from and go to.

A model is a configuration, a type of numbers and a tree of parameters. The call takes another tree as `params=`, and is then a
pure function: jax.jit, jax.grad, jax.vmap and jax.export take it as it is.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bertkit.checkpoint.dtypes import float_name
from bertkit.checkpoint.load import load_checkpoint
from bertkit.checkpoint.save import save_checkpoint
from bertkit.checkpoint.source import preferred_to
from bertkit.config import BertConfig
from bertkit.errors import UsageError, did_you_mean
from bertkit.heads import HEADS, POOLER
from bertkit.hub import locate
from bertkit.models.flax import outputs
from bertkit.models.flax.attention import Inputs
from bertkit.models.flax.model import Mode, bert, cache_of, key_of
from bertkit.models.flax.tree import Tree, draw, flat, named, nested, paths, placed, shape

logger = logging.getLogger("bertkit")


class Module:
    """A model as a function of its variables: `module.apply({"params": tree}, input_ids, ...)`."""

    def __init__(self, model: FlaxBertPreTrainedModel) -> None:
        self._model = model
        self.config, self.dtype = model.config, model.dtype

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Mapping[str, Any] | None = None,
        mutable: bool | str | Iterable[str] = False,
        deterministic: bool = True,
        output_attentions: bool | Sequence[int] = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        **named_inputs: Any,
    ) -> Any:
        """The outputs; with mutable=["cache"] a pair of these and {"cache": ...}.

        variables: "params", and for a decoder that goes on, "cache".
        inputs: in the order of the class: input_ids, attention_mask, token_type_ids, position_ids, head_mask, ...
        rngs: {"dropout": key}, needed where deterministic=False.
        """
        model = self._model
        if variables.get("cache") and not mutable:
            raise UsageError(
                'A cache grows with each step: type mutable=["cache"], and take the new one from the pair.'
            )
        given = {**dict(zip(model._order, inputs, strict=False)), **named_inputs, "cache": variables.get("cache")}
        answer = model._answer(
            variables["params"],
            model._inputs(given),
            model._mode(output_attentions, output_hidden_states, not deterministic),
            model._key((rngs or {}).get("dropout"), not deterministic),
        )
        cache = answer.pop("past_key_values", None)
        answer = answer if return_dict else answer.to_tuple()
        return (answer, {} if cache is None else {"cache": cache}) if mutable else answer

    def init(self, rngs: Any, *_: Any, init_cache: bool = False, **__: Any) -> dict[str, Any]:
        """{"params": fresh parameters}. rngs: a key, or {"params": key}."""
        rng = rngs["params"] if isinstance(rngs, Mapping) else rngs
        return {"params": self._model.init_weights(rng)}


class FlaxBertPreTrainedModel:
    """A BERT with or without a head.

    config: its shape.
    input_shape: changes nothing; no forward is needed to know the parameters.
    seed: of the parameters that are drawn.
    dtype: of the computation. The parameters keep their own, see `to_bf16`.
    _do_init: False draws no parameters: they stay outside, and every call takes them as params=.
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
    _order: ClassVar[tuple[str, ...]] = Inputs._fields[:7]

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
                f"{type(self).__name__} is not a model: take one of the nine classes, such as FlaxBertModel."
            )
        if not isinstance(config, BertConfig):
            raise UsageError(
                f"{type(self).__name__} is made of a bertkit.BertConfig, not of {config!r:.80}: for trained weights write "
                f"{type(self).__name__}.from_pretrained(name)."
            )
        self.config, self.dtype, self.input_shape = config, _type(dtype), input_shape
        self.key = jax.random.PRNGKey(seed)
        self._again, self._initialized, self._pools = gradient_checkpointing, _do_init, add_pooling_layer
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
        """The outputs of the class. Those of padding are zero; start and end logits of padding are the lowest number.

        With train=True padding comes out as it was computed: a loss is what it is with transformers, whatever labels padding has.

        input_ids, token_type_ids, position_ids: [batch, length], or [batch, choices, length] for multiple choice.
        attention_mask: [batch, length], 1 at real tokens and 0 at padding; or [batch, length, length], for each where it looks.
        head_mask: [heads] or [layers, heads], a factor for the result of each head.
        encoder_hidden_states, encoder_attention_mask: for a decoder with cross-attention.
        params: the parameters; None: those of the model.
        dropout_rng: a key, needed for train=True. The same key drops the same.
        output_attentions: True, or the numbers of the layers whose attention weights are wanted.
        past_key_values: what `init_cache` or the step before gave; attention_mask is [batch, max_length] then.
        inputs_embeds: [batch, length, hidden_size] in place of input_ids.
        segment_ids: [batch, length], where a row holds several sequences: 1, 2, ... for their tokens, 0 for padding.
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
        answer = self._answer(
            self.params if params is None else params,
            self._inputs(given),
            self._mode(
                config.output_attentions if output_attentions is None else output_attentions,
                config.output_hidden_states if output_hidden_states is None else output_hidden_states,
                train,
            ),
            self._key(dropout_rng, train),
        )
        return answer if (config.return_dict if return_dict is None else return_dict) else answer.to_tuple()

    def _answer(self, params: Tree, inputs: Inputs, mode: Mode, rng: Any) -> Any:
        """The outputs, by the table of heads: a pure function of what it is given."""
        row, config, choices = HEADS[self._head], self.config, 0
        if "group" in row.labels.values():
            choices = inputs.shape[1]
            inputs = inputs.folded()
        body = params
        if self._head != "Model":
            body, cache = params[self.base_model_prefix], inputs.cache and inputs.cache[self.base_model_prefix]
            inputs = inputs._replace(cache=cache)
        states = bert(config, body, inputs, mode, rng)
        x, pooled = states.last_hidden_state, states.pooler_output
        made = self._outputs(config, params, x, pooled, key_of(rng, config.num_hidden_layers + 1))
        found: dict[str, Any] = states._asdict()
        for name, output in made.items():
            of_row = row.outputs[name].grain == "row"
            found[name] = output if of_row else states.layout.returned(output, row.outputs[name].padding)
            found[name] = found[name].reshape(-1, choices) if choices else found[name]
        cache = states.past_key_values
        found["past_key_values"] = cache if cache is None or self._head == "Model" else {self.base_model_prefix: cache}
        kind = outputs.KINDS["Flax" + row.output.__name__]
        return kind({name: found.get(name) for name in kind.names})

    @staticmethod
    def _outputs(config: BertConfig, p: Tree, x: Any, pooled: Any, rng: Any) -> dict[str, Any]:
        """What the head makes of the states of tokens, [B, L, H], and of pooled vectors, [B, H]: its outputs, by their names."""
        raise NotImplementedError

    # What the call is given.

    def _inputs(self, given: Mapping[str, Any]) -> Inputs:
        """The arguments as arrays. What cannot be is refused, as far as shapes and numbers that are no tracers say."""
        unknown = given.keys() - set(Inputs._fields)
        if unknown:
            near = did_you_mean(min(unknown), Inputs._fields)
            raise UsageError(
                f"There is no argument {min(unknown)!r}; there are {', '.join(Inputs._fields[:-1])}.{near}"
            )
        arrays: dict[str, Any] = {name: x for name, x in given.items() if x is not None and name != "cache"}
        if ("input_ids" in arrays) == ("inputs_embeds" in arrays):
            raise UsageError("Give either input_ids or inputs_embeds.")
        for name in arrays:
            whole = name not in ("head_mask", "encoder_hidden_states", "inputs_embeds")
            arrays[name] = _integers(name, arrays[name]) if whole else jnp.asarray(arrays[name])
        inputs = Inputs(**arrays, cache=given.get("cache") or None)
        self._check_shapes(inputs)
        self._check_parts(inputs)
        return inputs

    def _check_shapes(self, inputs: Inputs) -> None:
        config, outer, cached = self.config, inputs.shape, inputs.cache is not None
        dimensions = 3 if "group" in HEADS[self._head].labels.values() else 2
        if len(outer) != dimensions:
            wanted = "[batch, choices, length]" if dimensions == 3 else "[batch, length]"
            raise UsageError(f"{type(self).__name__} takes input_ids {wanted}, not {list(outer)}.")
        if outer[-1] > config.max_position_embeddings and config.position_embedding_type == "absolute":
            raise UsageError(
                f"There are {outer[-1]} tokens, and max_position_embeddings is {config.max_position_embeddings}: shorten the "
                "text, tokenizer(..., truncation=True)."
            )
        for name in ("token_type_ids", "position_ids", "segment_ids"):
            x = getattr(inputs, name)
            if x is not None and x.shape[-1] != outer[-1]:
                raise UsageError(f"{name} has the shape {list(x.shape)}, and needs {list(outer)}, as input_ids has.")
        mask, last = inputs.attention_mask, outer[-1]
        if mask is not None and not cached and mask.shape not in (outer, (*outer, last), (outer[0], 1, last, last)):
            raise UsageError(
                f"attention_mask has the shape {list(mask.shape)}, and needs {list(outer)} or {[*outer, last]}."
            )
        shape = (config.num_hidden_layers, config.num_attention_heads)
        if inputs.head_mask is not None and inputs.head_mask.shape not in (shape, shape[1:]):
            raise UsageError(
                f"head_mask has the shape {list(inputs.head_mask.shape)}, and needs {list(shape[1:])} or {list(shape)}."
            )
        for name, size in (
            ("input_ids", config.vocab_size),
            ("token_type_ids", config.type_vocab_size),
            ("position_ids", config.max_position_embeddings),
        ):
            x = getattr(inputs, name)
            if x is None or isinstance(x, jax.core.Tracer) or not x.size:
                continue
            low, high = int(x.min()), int(x.max())
            if low < 0 or high >= size:
                raise UsageError(f"{name} are 0 to {size - 1}, and these are {low} to {high}.")

    def _check_parts(self, inputs: Inputs) -> None:
        config = self.config
        if inputs.encoder_hidden_states is not None and not config.add_cross_attention:
            raise UsageError(
                "encoder_hidden_states are for a decoder: make the model with BertConfig(is_decoder=True, "
                "add_cross_attention=True)."
            )
        if inputs.segment_ids is not None:
            if inputs.attention_mask is not None:
                raise UsageError("segment_ids say what padding is, by 0: leave attention_mask out.")
            if POOLER in HEADS[self._head].parts and self._pools:
                raise UsageError(
                    f"{type(self).__name__} pools the first token of a row, and segment_ids put several sequences into one: "
                    "take a class of tokens, such as FlaxBertForMaskedLM, or FlaxBertModel(config, add_pooling_layer=False)."
                )
        if inputs.cache is None:
            return
        if not config.is_decoder or inputs.segment_ids is not None:
            raise UsageError("past_key_values are for a decoder, BertConfig(is_decoder=True), without segment_ids.")
        cache = inputs.cache if self._head == "Model" else inputs.cache[self.base_model_prefix]
        first = cache["encoder"]["layer"]["0"]["attention"]["self"]
        batch, room = first["cached_key"].shape[:2]
        mask, length = inputs.attention_mask, inputs.shape[-1]
        if mask is not None and mask.shape != (batch, room):
            raise UsageError(
                f"With past_key_values attention_mask is {[batch, room]}, as init_cache has it: 1 for tokens that are still to "
                f"come; it has the shape {list(mask.shape)}."
            )
        index = first["cache_index"]
        if not isinstance(index, jax.core.Tracer) and int(index) + length > room:
            raise UsageError(
                f"The cache has room for {room} tokens and holds {int(index)}, and {length} more are given: type "
                f"init_cache({batch}, {int(index) + length}) or more."
            )

    def _mode(self, attentions: bool | Sequence[int], states: bool, train: bool = False) -> Mode:
        layers = self.config.num_hidden_layers
        if isinstance(attentions, (bool, type(None))):
            attentions = range(layers if attentions else 0)
        wanted = [layer + layers if layer < 0 else layer for layer in attentions]
        if not set(wanted) <= set(range(layers)):
            raise UsageError(
                f"output_attentions is {attentions!r}, and must be True, False, or numbers of layers from 0 to {layers - 1}."
            )
        return Mode(self.dtype, frozenset(wanted), bool(states), self._again, bool(train))

    def _key(self, rng: Any, train: bool) -> Any:
        """The key for dropout; None where nothing is dropped."""
        config = self.config
        chances = (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.classifier_dropout)
        if not train or not any(chances):
            return None
        if rng is None:
            raise UsageError("train=True drops at random and needs a key: dropout_rng=jax.random.PRNGKey(0).")
        return rng

    # Decoding.

    def init_cache(self, batch_size: int, max_length: int) -> dict[str, Any]:
        """An empty cache with room for max_length tokens of each row: the past_key_values of the first step."""
        config = self.config
        if not config.is_decoder:
            raise UsageError("A cache is for a decoder: make the model with BertConfig(is_decoder=True).")
        if max_length > config.max_position_embeddings:
            raise UsageError(
                f"max_length is {max_length}, and max_position_embeddings is {config.max_position_embeddings}."
            )
        width = config.hidden_size // config.num_attention_heads
        layers = []
        for number in range(config.num_hidden_layers):
            heads = config.num_attention_heads - len(config.pruned_heads.get(number, ()))
            empty = jnp.zeros((batch_size, max_length, heads, width), self.dtype)
            layers.append({"cached_key": empty, "cached_value": empty, "cache_index": jnp.array(0, jnp.int32)})
        return cache_of(layers) if self._head == "Model" else {self.base_model_prefix: cache_of(layers)}

    def enable_gradient_checkpointing(self) -> None:
        """Compute layers again in the backward pass: less memory for up to a third more work."""
        self._again = True

    # The parameters.

    @property
    def module(self) -> Module:
        """The model as a function of its variables."""
        return Module(self)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, a nested dict."""
        if not self._initialized:
            raise UsageError(
                "A model made with _do_init=False has no parameters of its own: give them to each call, params=params."
            )
        return self._params

    @params.setter
    def params(self, params: Tree) -> None:
        if not self._initialized:
            raise UsageError(
                "A model made with _do_init=False keeps no parameters: give them to each call, params=params."
            )
        leaves = flat(params)
        missing, unknown = self.required_params - leaves.keys(), leaves.keys() - self.required_params
        if missing or unknown:
            what = [
                f"{len(some)} {how}: {'/'.join(min(some))}"
                for how, some in (("missing", missing), ("unknown", unknown))
                if some
            ]
            raise UsageError(f"These are not the parameters of {type(self).__name__}; {', '.join(what)}.")
        self._params = nested(leaves)

    @property
    def required_params(self) -> set[tuple[str, ...]]:
        """The paths of all parameters."""
        return set(self._paths())

    @property
    def params_shape_tree(self) -> dict[str, Any]:
        """The tree of their shapes and types, without memory."""
        found: dict[str, Any] = jax.eval_shape(self.init_weights, self.key)
        return found

    def init_weights(
        self, rng: Any, input_shape: tuple[int, ...] = (1, 1), params: Tree | None = None
    ) -> dict[str, Any]:
        """Fresh parameters; with params, these and fresh ones for those that it lacks. input_shape changes nothing."""
        given = flat(params or {})
        return nested(
            {
                path: given[path] if path in given else draw(parameter, self.config, rng)
                for path, parameter in self._paths().items()
            }
        )

    def _paths(self) -> dict[tuple[str, ...], Any]:
        return paths(self.config, self._head, self._pools)

    def decay_mask(self) -> dict[str, Any]:
        """Which parameters training pulls towards zero, matrices yes, norms and biases no: the mask of optax.adamw."""
        return nested({path: parameter.decays for path, parameter in self._paths().items()})

    def to_bf16(self, params: Tree, mask: Tree | None = None) -> Any:
        """The parameters as bfloat16; with a mask, a tree of True and False, those where it is True."""
        return _cast(params, jnp.bfloat16, mask)

    def to_fp16(self, params: Tree, mask: Tree | None = None) -> Any:
        """The same as float16."""
        return _cast(params, jnp.float16, mask)

    def to_fp32(self, params: Tree, mask: Tree | None = None) -> Any:
        """The same as float32."""
        return _cast(params, jnp.float32, mask)

    def num_parameters(self) -> int:
        """How many numbers the model has."""
        return sum(int(np.prod(shape(parameter))) for parameter in self._paths().values())

    # Weights from files and to files.

    @classmethod
    def from_config(cls, config: BertConfig, **options: Any) -> Any:
        """A model with random weights. options: those of the class."""
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
        """A trained model; with _do_init=False the pair of a model without parameters and these.

        pretrained_model_name_or_path: a directory, a file, a Hub id or a built-in model, whose files may be of any format (see
        `load_checkpoint`).
        dtype: of the computation. The parameters keep the type that they have in the file.
        from_pt: look for files of PyTorch alone; they are found without it too.
        seed: for the parameters of a head that the file does not have. With _do_init=False they are left out: see `init_weights`.
        overrides: fields of the configuration, such as num_labels=3.

        Nothing is drawn that the file has, and each parameter is copied once, from the mapped file to the device. No code is
        ever run, whatever trust_remote_code says.

        Such as FlaxBertForMaskedLM.from_pretrained("google-bert/bert-base-uncased", dtype=jnp.bfloat16).
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
        tensors, report = load_checkpoint(
            place,
            cls._head,
            config=config,
            formats=["safetensors", "bin"] if from_pt else None,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            optional=() if add_pooling_layer else (POOLER,),
        )
        params = placed(tensors, model._paths())
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
        """Write `config.json` and `flax_model.msgpack` into a directory, which is made where there is none.

        params: the parameters to write in place of the model's own.
        safe_serialization: write `model.safetensors` instead, which the classes of all frameworks read.
        max_shard_size: "10GB"; above it safetensors are split into several files with an index.
        token changes nothing.
        """
        if push_to_hub:
            raise UsageError(
                "push_to_hub=True is not done here: to share a model, upload the directory that is written."
            )
        if self._head == "Model" and not self._pools:
            raise UsageError("A FlaxBertModel without a pooler cannot be saved: save the model that it is a part of.")
        if not safe_serialization:
            before = [name for name in preferred_to("msgpack") if (Path(save_directory) / name).exists()]
            if before:
                raise UsageError(
                    f"{os.fspath(save_directory)} holds {before[0]}, which would be read before flax_model.msgpack: type "
                    "safe_serialization=True, or another directory."
                )
        given = flat(self.params if params is None else params)
        absent = self.required_params - given.keys()
        if absent:
            raise UsageError(f"params lack {len(absent)} parameters, such as {'/'.join(min(absent))}.")
        tensors = named(nested(given), self._paths())
        config = copy.deepcopy(self.config)
        config.dtype = next(iter(tensors.values())).dtype.name
        save_checkpoint(
            save_directory,
            tensors,
            config,
            self._head,
            to="safetensors" if safe_serialization else "msgpack",
            max_shard_size=max_shard_size,
        )


def _integers(name: str, x: Any) -> Any:
    """An argument as int32. Floats below zero are what others add to scores, and no mask."""
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.int32)
    if not isinstance(array, jax.core.Tracer) and array.size and float(array.min()) < 0:
        raise UsageError(
            f"{name} is 1 and 0, for tokens that are seen and those that are not: it has {float(array.min()):g}."
        )
    return (array > 0).astype(jnp.int32) if name.endswith("mask") else array.astype(jnp.int32)


def _type(dtype: Any) -> Any:
    """A type of floating-point numbers, by itself or by its name."""
    return jnp.dtype(float_name(dtype))


def _cast(params: Tree, dtype: Any, mask: Tree | None) -> Any:
    """A tree of the same kind, with floating-point leaves in another type."""

    def cast(leaf: Any, chosen: Any = True) -> Any:
        return leaf.astype(dtype) if chosen and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, params) if mask is None else jax.tree.map(cast, params, mask)
