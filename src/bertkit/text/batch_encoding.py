"""BatchEncoding, the result of a tokenizer: the inputs of a model by name, and the mapping of tokens, words and characters."""

from __future__ import annotations

import copy
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.errors import Setting, UsageError
from bertkit.tensors import is_tensor, tensor_kind, to_tensor
from bertkit.text.call.encoding import Encoding

if TYPE_CHECKING:
    _Dict = UserDict[str, Any]
else:
    _Dict = UserDict


class CharSpan(NamedTuple):
    """The start and the end of characters: `text[start:end]`."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """The start and the end of tokens: `tokens[start:end]`."""

    start: int
    end: int


class BatchEncoding(_Dict):
    """The columns of a batch (`input_ids`, `attention_mask`, ...), as keys and as attributes: `model(**encoded)`.

    An integer index returns a row as an `Encoding`, with the words and characters of its tokens. The methods below take the
    number of a row, `encoded.char_to_token(row, char)`, which is 0 by default: `encoded.char_to_token(char)`.
    `sequence_index=1` selects the second text of a pair.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | Callable[[], Sequence[Encoding]] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        self.data: dict[str, Any] = dict(data) if data is not None else {}
        # The rows, or a function that makes them.
        self._rows = [encoding] if isinstance(encoding, Encoding) else encoding
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs, None if it is not known."""
        if self._n_sequences is None and self.encodings:
            self._n_sequences = self.encodings[0].n_sequences
        return self._n_sequences

    @property
    def encodings(self) -> Sequence[Encoding] | None:
        """The rows with the words and characters of their tokens; None if the columns were not made from text."""
        if callable(self._rows):
            self._rows = self._rows()
        return self._rows

    @property
    def is_fast(self) -> bool:
        """Whether the words and characters of tokens are known: True for results from text, with both tokenizer classes."""
        return self._rows is not None

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if self.encodings is not None:
            return self.encodings[item]
        if isinstance(item, slice):
            return {name: column[item] for name, column in self.data.items()}
        raise KeyError(
            f"Unknown column {item!r}: choose one of {', '.join(self.data)}. Rows have an index only if the input was text."
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("data", "_rows") and name in self.data:
            return self.data[name]
        raise AttributeError(f"Unknown column or method {name!r}.")

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self.encodings, "n_sequences": self.n_sequences}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data, self._rows = state["data"], state["encodings"]
        self._n_sequences = state["n_sequences"]

    def __copy__(self) -> BatchEncoding:
        return BatchEncoding(self.data, self._rows, n_sequences=self._n_sequences)

    def copy(self) -> BatchEncoding:
        """Return a BatchEncoding with the same columns and rows."""
        return copy.copy(self)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of the word of each token of a row; None for special tokens and padding."""
        return self._row(batch_index).word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The same as `word_ids`."""
        return self._row(batch_index).word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row, the number of its text, 0 or 1; None for special tokens and padding."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the text that contains a token, 0 or 1; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word of a token; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The start and the end of a token in its text; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word; None if it is not in the row."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The start and the end of a word in its text; None if it is not in the row."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that contains a character of the text; None for whitespace and for characters that are not in the row."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that contains a character of the text; None for whitespace."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Convert the columns in place to tensors: "np", "pt", "tf" or "jax"."""
        kind = tensor_kind(tensor_type)
        if kind is not None:
            for name, column in self.data.items():
                if not is_tensor(column):
                    self.data[name] = to_tensor(_array(name, [column] if prepend_batch_axis else column), kind)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move PyTorch tensors in place to a device: "cuda", "cuda:1", 0 or a torch.device."""
        if not isinstance(device, (str, int)) and type(device).__name__ != "device":
            raise UsageError(f'Invalid device {device!r}: type encoded.to("cuda") or encoded.to("cpu").')
        for name, column in self.data.items():
            if callable(getattr(column, "to", None)):
                self.data[name] = column.to(device=device, non_blocking=non_blocking)
        return self

    def _row(self, index: int) -> Encoding:
        rows = self.encodings
        if rows is None:
            raise UsageError(
                "These columns were not made from text, so words and characters are not known: call tokenizer(text) instead "
                "of prepare_for_model, pad or lists of ids."
            )
        if not -len(rows) <= index < len(rows):
            raise UsageError(f"Unknown row {index}: the batch has {len(rows)} rows.")
        return rows[index]

    def _at(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """Return the row and the index in it. With one number, the row is the first one."""
        return (self._row(0), first) if second is None else (self._row(first), second)


def _array(name: str, column: Any) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        array = np.asarray(column)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"The rows of {name} differ in length, and a tensor needs rows of one length: type ",
            Setting("padding", True),
            ", and ",
            Setting("truncation", True),
            " to cut.",
        ) from error
    if array.dtype == object:
        raise UsageError(
            f"The column {name} holds more than numbers and cannot become a tensor: leave return_tensors out."
        )
    return array if array.size else array.astype(np.int64)
