"""The part of a tokenizer that puts ids together: special tokens around them, their masks, cutting and padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bertkit.errors import UsageError
from bertkit.text.batch_encoding import BatchEncoding
from bertkit.text.call import options, padding
from bertkit.text.call.rows import Cut, Side, Spans, plan
from bertkit.text.decoding import id_list
from bertkit.text.files.customize import customize
from bertkit.text.files.description import DEFAULT_LENGTH
from bertkit.text.lookup import Lookup
from bertkit.text.wordpiece.pieces import Pieces

Ids = list[int]


class Assembly(Lookup):
    """Ids and the special tokens around them."""

    _said: set[str]

    @property
    def model_max_length(self) -> int:
        """How many tokens, special ones included, the model takes."""
        return self._files.model_max_length or DEFAULT_LENGTH

    @model_max_length.setter
    def model_max_length(self, length: int) -> None:
        customize(self._files, {"model_max_length": length})

    @property
    def model_input_names(self) -> list[str]:
        """The columns that a call returns."""
        return self._files.model_input_names

    @model_input_names.setter
    def model_input_names(self, names: Iterable[str]) -> None:
        customize(self._files, {"model_input_names": names})

    @property
    def split_special_tokens(self) -> bool:
        """Whether special tokens in a text are text."""
        return self._files.split_special_tokens

    @split_special_tokens.setter
    def split_special_tokens(self, value: bool) -> None:
        customize(self._files, {"split_special_tokens": value})

    @property
    def padding_side(self) -> Side:
        """The side, "right" or "left", on which rows are padded."""
        return self._files.padding_side

    @padding_side.setter
    def padding_side(self, side: Side) -> None:
        customize(self._files, {"padding_side": side})

    @property
    def truncation_side(self) -> Side:
        """The side, "right" or "left", on which texts are cut."""
        return self._files.truncation_side

    @truncation_side.setter
    def truncation_side(self, side: Side) -> None:
        customize(self._files, {"truncation_side": side})

    def build_inputs_with_special_tokens(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """`[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]`."""
        call = "tokenizer.build_inputs_with_special_tokens"
        row = [self.cls_token_id, *id_list(token_ids_0, call), self.sep_token_id]
        return row if token_ids_1 is None else [*row, *id_list(token_ids_1, call), self.sep_token_id]

    def create_token_type_ids_from_sequences(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """0 for `[CLS] A [SEP]`, 1 for `B [SEP]`."""
        first = [0] * (len(token_ids_0) + 2)
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + 1)

    def get_special_tokens_mask(
        self, token_ids_0: Ids, token_ids_1: Ids | None = None, already_has_special_tokens: bool = False
    ) -> Ids:
        """1 for a special token, 0 for a token of a text.

        The ids are those of texts, around which special tokens are to be put, or, with `already_has_special_tokens`, those
        of a row, among which special tokens are looked for.
        """
        if not already_has_special_tokens:
            first = [1, *[0] * len(token_ids_0), 1]
            return first if token_ids_1 is None else [*first, *[0] * len(token_ids_1), 1]
        if token_ids_1 is not None:
            raise UsageError("A row that has its special tokens holds both texts already: leave token_ids_1 out.")
        special = set(self.all_special_ids)
        return [int(index in special) for index in token_ids_0]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around a text (2), or around a pair (3)."""
        raise NotImplementedError

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a text the model takes."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of two texts together the model takes."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def truncate_sequences(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str | bool = "longest_first",
        stride: int = 0,
    ) -> tuple[Ids, Ids | None, Ids]:
        """Cut one or two lists of ids; what is left of them, and what was cut off with `stride` tokens before it."""
        strategy = options.choice("truncation_strategy", truncation_strategy, options.TRUNCATIONS)
        if num_tokens_to_remove <= 0 or strategy is None:
            return ids, pair_ids, []
        room = len(ids) + len(pair_ids or ()) - num_tokens_to_remove
        first = Pieces(np.array(ids, np.int32), np.array([len(ids)]))
        second = None if pair_ids is None else Pieces(np.array(pair_ids, np.int32), np.array([len(pair_ids)]))
        rows = plan(first, second, Cut(strategy, max(room, 0), self.truncation_side, odd_to_first=True))
        kept = _chosen(ids, rows.first)
        if rows.second is None or pair_ids is None:
            return kept, None, overflow(ids, len(kept), stride, self.truncation_side)
        kept_pair = _chosen(pair_ids, rows.second)
        if strategy == "longest_first":
            return kept, kept_pair, []
        cut_off = (ids, kept) if strategy == "only_first" else (pair_ids, kept_pair)
        return kept, kept_pair, overflow(cut_off[0], len(cut_off[1]), stride, self.truncation_side)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad what was encoded before: a dictionary of columns, or a list of examples as a data loader collects them."""
        columns, kind = _columns_of(encoded_inputs)
        asked = options.Options(
            padding=padding, truncation=False, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side, verbose=verbose,
        )  # fmt: skip
        shape = self._shape(asked)
        mask = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        columns = _pad_columns(columns, shape, _Filling(self.pad_token_id or 0), mask)
        return BatchEncoding(columns, tensor_type=return_tensors or kind)

    def _shape(self, asked: options.Options) -> options.Shape:
        """What the options of a call ask for."""
        no_length = asked.max_length is None and asked.pad_to_multiple_of is None
        usual_stride = asked.stride.__class__ is int and 0 <= asked.stride <= options.MOST
        if (
            no_length
            and usual_stride
            and asked.padding is False
            and asked.truncation is None
            and asked.padding_side is None
        ):
            return options.Shape(None, None, None, 0, self.padding_side)
        say = self._say if asked.verbose else _silent
        can_pad = self.pad_token is not None
        return options.shape_of(asked, self.model_max_length, self.padding_side, can_pad, say)

    def _say(self, kind: str, sentence: str) -> None:
        raise NotImplementedError


_columns_of, _pad_columns, _Filling = padding.columns_of, padding.pad_columns, padding.Filling


def _chosen(ids: Ids, spans: Spans) -> Ids:
    start, length = int(spans.starts[0]), int(spans.lengths[0])
    return ids[start : start + length]


def overflow(ids: Sequence[int], kept: int, stride: int, side: Side) -> Ids:
    """What was cut off a text of which `kept` ids are left, with `stride` of those that are left beside it."""
    if kept >= len(ids):
        return []
    size = min(len(ids), len(ids) - kept + stride)
    return list(ids[-size:] if side == "right" else ids[:size])


def _silent(kind: str, sentence: str) -> None:
    """Say nothing."""
