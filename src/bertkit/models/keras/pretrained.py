"""The base of the nine classes: loading, saving, resizing, datasets."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import LoadReport, check_sizes, load_source, with_own
from bertkit.checkpoint.save import byte_count, save_checkpoint, save_safetensors
from bertkit.checkpoint.source import Source, open_source
from bertkit.config import BertConfig
from bertkit.errors import LoadError, UsageError
from bertkit.heads import PARTS, POOLER
from bertkit.hub import locate
from bertkit.models.keras.fitting import FittedModel
from bertkit.models.keras.inputs import as_arrays
from bertkit.parameters import Initial, Parameter, draw, expand, initial, transposed

logger = logging.getLogger("bertkit")

_FROM_FILES = ContextVar("from_files", default=False)
"""Whether weights from files follow, so that a new model needs no initial values."""


class BertInitializer(keras.initializers.Initializer):
    """Normal values, and zeros in the row of the padding token. All are zeros if weights from files follow."""

    def __init__(self, config: BertConfig, padding: int | None = None) -> None:
        self.initial = Initial(deviation=config.initializer_range, zero_row=padding)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """The initial values of a variable."""
        if _FROM_FILES.get():
            return keras.ops.zeros(shape, dtype)
        rng = np.random.default_rng(np.random.randint(2**31))  # as keras.utils.set_random_seed decides
        return keras.ops.convert_to_tensor(draw(self.initial, shape, rng), dtype)


class TFBertPreTrainedModel(FittedModel):
    """A BERT with or without a head, as a Keras model: loading, saving, resizing.

    The nine classes set `_head`, the class suffix in the table of heads. The parameter table gives their variables names,
    initial values and names in each kind of checkpoint. Your own subclass has a `bert` and further layers:

    >>> import keras
    >>> from bertkit import BertConfig, TFBertMainLayer
    >>> class Tagger(TFBertPreTrainedModel):
    ...     def __init__(self, config, **options):
    ...         super().__init__(config, **options)
    ...         self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
    ...         self.tagger = keras.layers.Dense(5)
    ...
    ...     def call(self, inputs, training=None):
    ...         return self.tagger(self.bert(inputs, training=training).last_hidden_state)
    >>> tuple(Tagger(BertConfig.named("tiny"))({"input_ids": [[101, 102]]}).shape)
    (1, 2, 5)
    """

    config_class = BertConfig
    base_model_prefix = "bert"
    main_input_name = "input_ids"
    _head: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("bertkit."):
            keras.saving.register_keras_serializable("bertkit")(cls)

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**{"autocast": False, **options})
        if not isinstance(config, BertConfig):
            name = type(self).__name__
            raise UsageError(
                f"{name} requires a bertkit.BertConfig, not {config!r:.80}: for trained weights type "
                f"{name}.from_pretrained(name), for a configuration of another library "
                f"{name}(BertConfig.from_dict(config.to_dict()))."
            )
        self.config = config

    def post_init(self) -> None:
        """Build the layers of BERT. Call it at the end of a subclass's __init__; else the first call builds them."""
        self.build()
        self._tracker.unlock()  # a subclass may add layers

    def build(self, input_shape: Any = None) -> None:
        """Build the layers of BERT, which have an `input_size`. Other layers are built by their first call."""
        for part in self._flatten_layers(include_self=False, recursive=False):
            if hasattr(part, "input_size"):
                part.build((None, part.input_size))

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """The same as `call`, also for nested lists of numbers."""
        if inputs:
            inputs = (as_arrays(inputs[0]), *inputs[1:])
        return super().__call__(*inputs, **named)

    # Loading and saving.

    @classmethod
    def from_config(cls, config: BertConfig | Mapping[str, Any], custom_objects: Any = None, **options: Any) -> Any:
        """A model with random weights. Keras passes what `get_config` returned, to load a saved model."""
        if isinstance(config, BertConfig):
            return cls(copy.deepcopy(config), **options)
        given = dict(config)
        return cls(BertConfig.from_dict(given.pop("config")), **given)

    def get_config(self) -> dict[str, Any]:
        """The arguments with which Keras creates a saved model again."""
        return {"config": self.config.to_dict(), "name": self.name}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *model_args: Any,
        config: BertConfig | str | os.PathLike[str] | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        variant: str | None = None,
        subfolder: str = "",
        revision: str = "main",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        **overrides: Any,
    ) -> Any:
        """Load a trained model.

        pretrained_model_name_or_path: a folder, a file, a Hub id or the name of a built-in model, in any format that
        `load_checkpoint` reads.
        from_pt: read the PyTorch file of a folder that has several files.
        use_safetensors: True reads safetensors only, False `tf_model.h5`.
        output_loading_info: return (model, names that were missing, unexpected or of another shape).
        overrides: fields of the configuration, such as num_labels=3, or the `name` of the model.

        trust_remote_code has no effect: no code of a model is ever run.

        For example TFBertForMaskedLM.from_pretrained("google-bert/bert-base-uncased").
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
        known = {"name", *inspect.signature(cls.__init__).parameters}
        own = {key: overrides.pop(key) for key in list(overrides) if key in known}
        if not isinstance(config, BertConfig):
            config = BertConfig.from_pretrained(config or place, **overrides)
        elif overrides:
            config = BertConfig.from_dict(config.to_dict(), **overrides)
        formats = ["safetensors", "bin"] if from_pt else None
        if use_safetensors is not None:
            formats = ["safetensors"] if use_safetensors else ["bin"] if from_pt else ["h5"]
        source = open_source(place, formats, variant)
        if "_head" in vars(cls):  # one of the nine: all its variables are in the table
            optional = (POOLER,) if cls._head == "Model" and own.get("add_pooling_layer") is False else ()
            tensors, report = load_source(
                source, cls._head, config, ignore_mismatched_sizes=ignore_mismatched_sizes, optional=optional
            )
            model = cls._of_tensors(config, tensors, *model_args, **own)
        else:
            check_sizes(source, config)
            model = cls._zeros(config, *model_args, **own)
            report = model._load(source, ignore_mismatched_sizes)
        return (model, report.loading_info()) if output_loading_info else model

    @classmethod
    def _of_tensors(cls, config: BertConfig, tensors: Tensors, *model_args: Any, **own: Any) -> Any:
        """A model with these arrays as its variables. own: further arguments of the class."""
        model = cls._zeros(config, *model_args, **own)
        model._take(tensors)
        return model

    @classmethod
    def _zeros(cls, config: BertConfig, *model_args: Any, **own: Any) -> Any:
        """A model whose BERT variables are zeros, before weights are loaded."""
        token = _FROM_FILES.set(True)
        try:
            model = cls(config, *model_args, **own)
            if not model.built:  # a subclass without post_init
                model.build()
        finally:
            _FROM_FILES.reset(token)
        return model

    def _load(self, source: Source, ignore_mismatched_sizes: bool) -> LoadReport:
        """Load the variables of a user's subclass, those of BERT and those of its own layers."""
        if not any(parameter.name.startswith("bert.") for _, parameter in self._table()):
            name = type(self).__name__
            raise UsageError(
                f"{name} has no layer with the name bert: type self.bert = TFBertMainLayer(config, name='bert')."
            )
        tensors, report = load_source(
            source,
            self._head or "ForPreTraining",  # the class with the most parameters: a subclass may have any of them
            self.config,
            strict=False,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            optional=() if self._head else PARTS,
        )
        self._take(tensors)
        own = self._own_variables()
        named = [parameter.name for _, parameter in self._table()]
        shapes = {name: tuple(variable.shape) for name, variable in own.items()}
        report = with_own(report, named, shapes, source.tensors, ignore_mismatched_sizes)
        if report.missing or report.mismatched or (report.unexpected and self._head):
            raise LoadError(str(report))
        for name in shapes.keys() & set(report.loaded):
            own[name].assign(source.tensors[name])
        if report.fresh:
            made = f"as {type(self).__name__} initialized them: train them before use"
            logger.warning("%s has no %s: they are %s.", report.source, ", ".join(report.fresh), made)
        return report

    def _take(self, tensors: Tensors) -> None:
        """Assign the arrays to the variables, and initialize the other variables."""
        rng = np.random.default_rng(np.random.randint(2**31))  # as keras.utils.set_random_seed decides
        for variable, parameter in self._table():
            array = tensors.get(parameter.name)
            if array is None:
                array = initial(parameter, self.config, rng)
            array = np.asarray(array, np.float32)
            variable.assign(array.T if transposed(parameter.row, "keras") else array)

    def _table(self) -> list[tuple[Any, Parameter]]:
        """The variables of the model that are in the table of parameters, in its order."""
        here = {variable.path.partition("/")[2]: variable for variable in self.variables}
        table = expand(self.config, self._head or "ForPreTraining").values()
        return [(here[path], parameter) for parameter in table if (path := parameter.path("keras")) in here]

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """A batch for the call that builds the layers of a subclass."""
        return {"input_ids": np.zeros((1, 1, 2) if self._head == "ForMultipleChoice" else (1, 2), np.int32)}

    def _own_variables(self) -> dict[str, Any]:
        """The variables of a subclass's own layers, by the attribute of the layer: "tagger/kernel"."""
        layers = self._flatten_layers(include_self=False, recursive=False)
        if not all(layer.built for layer in layers):
            self(self.dummy_inputs)
        known = {id(variable) for variable, _ in self._table()}
        layers = [layer for layer in layers if known.isdisjoint(map(id, layer.weights))]
        found: dict[str, Any] = {}
        for number, layer in enumerate(layers):
            attribute = next((name for name, part in vars(self).items() if part is layer), f"layer_{number}")
            for position, variable in enumerate(layer.weights):
                name = f"{attribute}/{variable.name}"
                found[f"{attribute}/{position}/{variable.name}" if name in found else name] = variable
        return found

    def _arrays(self) -> Tensors:
        """The variables by their names in the parameter table, with the updates of LoRA added."""
        adapted = {}
        for layer in self._flatten_layers(include_self=False):
            if getattr(layer, "lora_enabled", False):
                leaf = "kernel" if hasattr(layer, "kernel") else "embeddings"
                adapted[id(getattr(layer, f"_{leaf}"))] = getattr(layer, leaf)
        found: Tensors = {}
        for variable, parameter in self._table():
            array = np.asarray(keras.ops.convert_to_tensor(adapted.get(id(variable), variable)), np.float32)
            found[parameter.name] = array.T if transposed(parameter.row, "keras") else array
        return found

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        saved_model: bool = False,
        version: int = 1,
        push_to_hub: bool = False,
        signatures: Any = None,
        max_shard_size: int | str = "5GB",
        create_pr: bool = False,
        safe_serialization: bool = True,
        token: str | bool | None = None,
    ) -> None:
        """Write `config.json` and `model.safetensors` into a folder, which is created if it does not exist.

        The variables of your own layers have the names of their attributes there, such as "tagger/kernel".
        safe_serialization: False writes `tf_model.h5` instead, as the TensorFlow classes of transformers read it.
        saved_model: also write a SavedModel, into `saved_model/<version>`.
        max_shard_size: larger weights are split into several safetensors files with an index.
        """
        if push_to_hub or create_pr:
            raise UsageError(
                "push_to_hub and create_pr are not supported: upload the folder, or train with PushToHubCallback."
            )
        own = self._own_variables()
        without_pooler = self._head == "Model" and self.base_model.pooler is None
        if own or self._head is None or without_pooler:
            if not safe_serialization:
                raise UsageError("tf_model.h5 cannot hold layers of your own: leave out safe_serialization=False.")
            config = copy.deepcopy(self.config)
            config.architectures = [type(self).__name__]
            config.save_pretrained(save_directory)
            tensors = {**self._arrays(), **{name: np.asarray(variable) for name, variable in own.items()}}
            save_safetensors(Path(save_directory), tensors, byte_count(max_shard_size))
        else:
            save_checkpoint(
                save_directory,
                self._arrays(),
                self.config,
                str(self._head),
                to="safetensors" if safe_serialization else "h5",
                max_shard_size=max_shard_size,
            )
        if saved_model:
            self.export(Path(save_directory) / "saved_model" / str(version), input_signature=signatures)

    def export(self, filepath: str | os.PathLike[str], format: str = "tf_saved_model", **options: Any) -> None:
        """The same as keras.Model.export. By default the graph takes ids, a mask and token types of any length."""
        if options.get("input_signature") is None:
            sides = (None, None, None) if self._head == "ForMultipleChoice" else (None, None)
            names = ("input_ids", "attention_mask", "token_type_ids")
            options["input_signature"] = [
                {name: keras.InputSpec(shape=sides, dtype="int32", name=name) for name in names}
            ]
        super().export(os.fspath(filepath), format=format, **options)

    def prepare_tf_dataset(
        self,
        dataset: Any,
        batch_size: int = 8,
        shuffle: bool = True,
        tokenizer: Any = None,
        collate_fn: Callable[..., Mapping[str, Any]] | None = None,
        collate_fn_args: Mapping[str, Any] | None = None,
        drop_remainder: bool | None = None,
        prefetch: bool = True,
    ) -> Any:
        """A tf.data.Dataset for `fit`: batches of the columns that the model takes, and labels.

        dataset: a datasets.Dataset, a list of dicts, or another sequence of dicts.
        tokenizer: pads rows of different lengths.
        collate_fn: makes the columns of a list of rows in place of the tokenizer. collate_fn_args: its further arguments.
        drop_remainder: leave out a smaller last batch; None: only if `shuffle`.
        """
        from bertkit.models.keras.datasets import batches_of

        collate = collate_fn and functools.partial(collate_fn, **(collate_fn_args or {}))
        drop = shuffle if drop_remainder is None else drop_remainder
        found = batches_of(self, dataset, batch_size, shuffle, tokenizer, collate, drop)
        return found.prefetch(1) if prefetch else found

    # Properties and resizing.

    @property
    def base_model(self) -> Any:
        """The TFBertMainLayer of the model."""
        return getattr(self, self.base_model_prefix)

    def num_parameters(self, only_trainable: bool = False) -> int:
        """The number of parameters, as single numbers."""
        variables = self.trainable_variables if only_trainable else [variable for variable, _ in self._table()]
        return sum(int(np.prod(variable.shape)) for variable in variables)

    def get_input_embeddings(self) -> Any:
        """The word embedding, a keras.layers.Embedding."""
        return self.base_model.embeddings.word_embeddings

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> Any:
        """Change the size of the vocabulary, for example to `len(tokenizer)` after `tokenizer.add_tokens(...)`.

        The first rows are kept. New rows are the mean of the old ones, new biases are zero. `config.vocab_size` changes, too.
        Compile the model again.
        """
        if new_num_tokens in (None, self.config.vocab_size):
            return self.get_input_embeddings()
        shapes = expand(self.config, self._head)
        resized = self._arrays()
        for name, array in resized.items():
            if "V" in shapes[name].row.shape.split():
                more = np.zeros((max(0, new_num_tokens - len(array)), *array.shape[1:]), np.float32)
                more += array.mean(0) if array.ndim == 2 else 0
                resized[name] = np.concatenate([array, more])[:new_num_tokens]
        self.config.vocab_size = new_num_tokens
        own = {"add_pooling_layer": False} if self._head == "Model" and self.base_model.pooler is None else {}
        twin = self._of_tensors(self.config, resized, **own)
        self._tracker.unlock()
        for name, part in list(vars(self).items()):
            if hasattr(part, "input_size"):
                self._tracker.untrack(part)
                setattr(self, name, getattr(twin, name))
        self._tracker.lock()
        return self.get_input_embeddings()
