"""TFBertTokenizer: texts -> ids in a graph, with the operations of TensorFlow Text."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bertkit.errors import MissingExtraError, UsageError

try:
    import tensorflow_text as text_ops
except ModuleNotFoundError as error:
    raise MissingExtraError("tensorflow_text", "tf", "TFBertTokenizer") from error

_PADDINGS = ("longest", "max_length", False, "do_not_pad")


@keras.saving.register_keras_serializable("bertkit")
class TFBertTokenizer(keras.layers.Layer):
    """A tokenizer as a Keras layer, for use in a tf.function, a Keras model or a SavedModel.

    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "plants", "grow"]
    >>> tokenizer = TFBertTokenizer(words, do_lower_case=True)
    >>> tokenizer(["Plants grow", "grow"])["input_ids"].numpy().tolist()
    [[2, 5, 6, 3], [2, 6, 3, 0]]

    Args:
        vocab_list: the words, in the order of their ids.
        do_lower_case: convert to lower case and strip accents.
        cls_token_id, sep_token_id, pad_token_id: ids of the special tokens. Default: their positions in the vocabulary.
        padding: "longest", "max_length", or False for ragged tensors.
        truncation: shorten rows to max_length, in pairs the longer text first.
        max_length: of a row with its special tokens.
        pad_to_multiple_of: round the length up, with padding="longest".
        use_fast_bert_tokenizer: use FastBertTokenizer of TensorFlow Text, else its BertTokenizer. docs/tensorflow.md describes
            how their ids differ, also from the tokenizers in Python.
        tokenizer_kwargs: further arguments for FastBertTokenizer or BertTokenizer.
    """

    def __init__(
        self,
        vocab_list: Sequence[str],
        do_lower_case: bool,
        cls_token_id: int | None = None,
        sep_token_id: int | None = None,
        pad_token_id: int | None = None,
        padding: str | bool = "longest",
        truncation: bool = True,
        max_length: int = 512,
        pad_to_multiple_of: int | None = None,
        return_token_type_ids: bool = True,
        return_attention_mask: bool = True,
        use_fast_bert_tokenizer: bool = True,
        name: str | None = None,
        trainable: bool = False,
        dtype: Any = None,
        **tokenizer_kwargs: Any,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        words = list(vocab_list)
        self.arguments = {
            "vocab_list": words,
            "do_lower_case": do_lower_case,
            "cls_token_id": words.index("[CLS]") if cls_token_id is None else cls_token_id,
            "sep_token_id": words.index("[SEP]") if sep_token_id is None else sep_token_id,
            "pad_token_id": words.index("[PAD]") if pad_token_id is None else pad_token_id,
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "pad_to_multiple_of": pad_to_multiple_of,
            "return_token_type_ids": return_token_type_ids,
            "return_attention_mask": return_attention_mask,
            "use_fast_bert_tokenizer": use_fast_bert_tokenizer,
            **tokenizer_kwargs,
        }
        if use_fast_bert_tokenizer:
            self.tf_tokenizer = text_ops.FastBertTokenizer(
                words, token_out_type=tf.int64, lower_case_nfd_strip_accents=do_lower_case, **tokenizer_kwargs
            )
        else:
            numbers = tf.range(len(words), dtype=tf.int64)
            table = tf.lookup.StaticVocabularyTable(
                tf.lookup.KeyValueTensorInitializer(words, numbers, tf.string, tf.int64), num_oov_buckets=1
            )
            self.tf_tokenizer = text_ops.BertTokenizer(
                table, token_out_type=tf.int64, lower_case=do_lower_case, **tokenizer_kwargs
            )
        self.trimmer = text_ops.ShrinkLongestTrimmer(max_length - 3, axis=1)
        self.built = True

    def __getattr__(self, name: str) -> Any:
        """The argument of the constructor with this name, such as `max_length`."""
        given = self.__dict__.get("arguments", {})
        if name in given:
            return given[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}.")

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), **self.arguments, "vocab_list": list(self.arguments["vocab_list"])}

    @classmethod
    def from_tokenizer(cls, tokenizer: Any, **options: Any) -> TFBertTokenizer:
        """A layer with the vocabulary, casing and special tokens of a tokenizer in Python."""
        vocabulary = tokenizer.get_vocab()
        own = {
            "vocab_list": sorted(vocabulary, key=vocabulary.__getitem__),
            "do_lower_case": tokenizer.do_lower_case,
            "cls_token_id": tokenizer.cls_token_id,
            "sep_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return cls(**{**own, **options})

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *init_inputs: Any, **options: Any
    ) -> TFBertTokenizer:
        """Load the tokenizer of a folder or a Hub id. options: those of this class and of BertTokenizer.from_pretrained."""
        from bertkit.text.tokenizer import BertTokenizer

        known = inspect.signature(cls.__init__).parameters
        own = {name: options.pop(name) for name in list(options) if name in known}
        if "do_lower_case" in own:
            options["do_lower_case"] = own["do_lower_case"]
        tokenizer = BertTokenizer.from_pretrained(pretrained_model_name_or_path, *init_inputs, **options)
        return cls.from_tokenizer(tokenizer, **own)

    def __call__(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The same as `call`, also for Python strings."""
        if not keras.utils.is_keras_tensor(text):
            text = tf.convert_to_tensor(text)
        if text_pair is not None and not keras.utils.is_keras_tensor(text_pair):
            text_pair = tf.convert_to_tensor(text_pair)
        return super().__call__(text, text_pair=text_pair, **options)

    def call(
        self,
        text: tf.Tensor,
        text_pair: tf.Tensor | None = None,
        padding: str | bool | None = None,
        truncation: bool | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
    ) -> dict[str, Any]:
        """[B] texts, or [B, 2] pairs -> input_ids, attention_mask and token_type_ids, each [B, L].

        The default of each argument is that of the constructor.
        """
        given = self.arguments
        padding = given["padding"] if padding is None else padding
        if padding not in _PADDINGS:
            raise UsageError(
                f'padding is {padding!r}, and must be "longest", "max_length", or False for ragged tensors.'
            )
        if len(text.shape) == 2:
            text, text_pair = text[:, 0], text[:, 1]
        if len(text.shape) != 1 or (text_pair is not None and len(text_pair.shape) != 1):
            raise UsageError("Texts have the shape [batch], as text_pair has, or [batch, 2] for pairs.")
        if max_length is not None and text_pair is not None:
            raise UsageError("For pairs, pass max_length to the constructor: TFBertTokenizer(..., max_length=64).")
        longest = given["max_length"] if max_length is None else max_length
        segments = [self.unpaired_tokenize(text)]
        truncation = given["truncation"] if truncation is None else truncation
        if text_pair is not None:
            segments.append(self.unpaired_tokenize(text_pair))
            segments = self.trimmer.trim(segments) if truncation else segments
        elif truncation:
            segments = [segments[0][:, : longest - 2]]
        ids, types = text_ops.combine_segments(segments, given["cls_token_id"], given["sep_token_id"])
        wanted = {
            "input_ids": (ids, given["pad_token_id"], True),
            "attention_mask": (tf.ones_like(ids), 0, _default(return_attention_mask, given["return_attention_mask"])),
            "token_type_ids": (
                types,
                given["pad_token_id"],
                _default(return_token_type_ids, given["return_token_type_ids"]),
            ),
        }
        if padding in (False, "do_not_pad"):
            return {name: column for name, (column, _, returned) in wanted.items() if returned}
        multiple = given["pad_to_multiple_of"] if pad_to_multiple_of is None else pad_to_multiple_of
        length = longest
        if padding == "longest":
            length = ids.bounding_shape(axis=1)
            length = length if multiple is None else -(-length // multiple) * multiple
        return {
            name: text_ops.pad_model_inputs(column, max_seq_length=length, pad_value=filler)[0]
            for name, (column, filler, returned) in wanted.items()
            if returned
        }

    def unpaired_tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """[B] texts -> ids without special tokens."""
        if self.arguments["do_lower_case"]:
            texts = text_ops.case_fold_utf8(texts)
        return self.tf_tokenizer.tokenize(texts).merge_dims(1, -1)


def _default(value: bool | None, default: bool) -> bool:
    return default if value is None else value
