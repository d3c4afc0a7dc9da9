"""What a tokenizer returns: the columns that a model takes, by name, and the ways between tokens, words and characters."""

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
    """`text[start:end]`."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """`tokens[start:end]`."""

    start: int
    end: int


class BatchEncoding(_Dict):
    """The columns of a batch (`input_ids`, `attention_mask`, ...), as keys and as attributes: `model(**encoded)`.

    An index gives a row with all that is known of its tokens (`Encoding`). The methods below answer for a row of the
    batch, `encoded.char_to_token(row, char)`, or, with one argument less, for the first one: `encoded.char_to_token(char)`.
    For the second text of a pair they take `sequence_index=1`.
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
        self._rows = [encoding] if isinstance(encoding, Encoding) else encoding  # or what makes them, when asked for
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs, None where it is not known."""
        if self._n_sequences is None and self.encodings:
            self._n_sequences = self.encodings[0].n_sequences
        return self._n_sequences

    @property
    def encodings(self) -> Sequence[Encoding] | None:
        """The rows with all that is known of their tokens; None where the columns did not come from text."""
        if callable(self._rows):
            self._rows = self._rows()
        return self._rows

    @property
    def is_fast(self) -> bool:
        """Whether the ways between tokens, words and characters are known. They are for both classes of tokenizers."""
        return self._rows is not None

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if self.encodings is not None:
            return self.encodings[item]
        if isinstance(item, slice):
            return {name: column[item] for name, column in self.data.items()}
        raise KeyError(
            f"{item!r} is no column ({', '.join(self.data)}), and rows are known only where the input was text."
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("data", "_rows") and name in self.data:
            return self.data[name]
        raise AttributeError(f"There is no column or method {name!r}.")

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self.encodings, "n_sequences": self.n_sequences}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data, self._rows = state["data"], state["encodings"]
        self._n_sequences = state["n_sequences"]

    def __copy__(self) -> BatchEncoding:
        return BatchEncoding(self.data, self._rows, n_sequences=self._n_sequences)

    def copy(self) -> BatchEncoding:
        """Another one with the same columns."""
        return copy.copy(self)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word; None for special tokens and padding."""
        return self._row(batch_index).word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The same as `word_ids`."""
        return self._row(batch_index).word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row 0 or 1, for the first or second text; None for special tokens and padding."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """0 or 1, for a token of the first or second text; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word of a token; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token in its text; None for special tokens and padding."""
        row, token = self._at(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word; None where the row has nothing of it."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word in its text; None where the row has nothing of it."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that has a character of the text; None for a blank, and for what the row has not."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that has a character of the text; None for a blank."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Turn the columns, in place, into tensors: "np", "pt", "tf" or "jax"."""
        kind = tensor_kind(tensor_type)
        if kind is not None:
            for name, column in self.data.items():
                if not is_tensor(column):
                    self.data[name] = to_tensor(_array(name, [column] if prepend_batch_axis else column), kind)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move PyTorch's tensors, in place, to a device: "cuda", "cuda:1", 0 or a torch.device."""
        if not isinstance(device, (str, int)) and type(device).__name__ != "device":
            raise UsageError(f'{device!r} is no device: type encoded.to("cuda") or encoded.to("cpu").')
        for name, column in self.data.items():
            if callable(getattr(column, "to", None)):
                self.data[name] = column.to(device=device, non_blocking=non_blocking)
        return self

    def _row(self, index: int) -> Encoding:
        rows = self.encodings
        if rows is None:
            raise UsageError(
                "These columns did not come from text, so that nothing is known of words and characters: call "
                "tokenizer(text) rather than prepare_for_model, pad or lists of ids."
            )
        if not -len(rows) <= index < len(rows):
            raise UsageError(f"There is no row {index}: the batch has {len(rows)}.")
        return rows[index]

    def _at(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """The row and the index in it that one or two numbers mean."""
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
        raise UsageError(f"The column {name} holds more than numbers, so that it cannot become a tensor.")
    return array if array.size else array.astype(np.int64)
