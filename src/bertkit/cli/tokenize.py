"""`bertkit tokenize`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from bertkit import hub
from bertkit.cli.signature import check_utf8
from bertkit.data.lines import read_lines
from bertkit.terminal import shown, straight


class Tokenized(Protocol):
    """The part of BatchEncoding that this command uses, for one text or pair."""

    def __getitem__(self, key: str) -> Any: ...
    def tokens(self) -> list[str]: ...
    def sequence_ids(self) -> list[int | None]: ...


class TokenRow(NamedTuple):
    """A token. start and end are its offsets in the first (sequence 0) or second text (1). Special tokens have sequence None."""

    token: str
    id: int
    type: int
    start: int
    end: int
    sequence: int | None


def tokenize(
    text: Annotated[str, "the text (default: each line of stdin)"] = "-",
    *,
    model: Annotated[str, "directory or Hub id with a tokenizer (default: the built-in model)"] = hub.DEFAULT_MODEL,
    pair: Annotated[str | None, "second text of a pair"] = None,
    format: Annotated[Literal["table", "json", "ids"], "a table, JSON lines, or only the ids"] = "table",
    revision: Annotated[str, "branch, tag or commit of a Hub id"] = "main",
) -> None:
    """Show the tokens of a text with their ids, types (0: first text, 1: second) and offsets (start and end character)."""
    for given in (text, pair or ""):
        check_utf8(given)
    tokenizer = _load(model, revision)
    for number, one in enumerate(read_lines("-") if text == "-" else [text]):
        found = rows(tokenizer(one, pair, return_offsets_mapping=True))
        if number and format == "table":
            print()
        print(render(found, [one] if pair is None else [one, pair], format))


def _load(model: str, revision: str) -> Callable[..., Tokenized]:
    from bertkit.text.auto import AutoTokenizer

    tokenizer: Callable[..., Tokenized] = AutoTokenizer.from_pretrained(model, revision=revision)
    return tokenizer


def rows(encoding: Tokenized) -> list[TokenRow]:
    """The tokens of the encoding of one text or pair."""
    offsets = encoding["offset_mapping"]
    columns = (encoding.tokens(), encoding["input_ids"], encoding["token_type_ids"], offsets, encoding.sequence_ids())
    return [
        TokenRow(token, int(id_), int(type_), int(start), int(end), sequence)
        for token, id_, type_, (start, end), sequence in zip(*columns, strict=True)
    ]


def render(found: Sequence[TokenRow], texts: Sequence[str], format: Literal["table", "json", "ids"]) -> str:
    """The tokens of `texts` as a table, as one line of JSON, or as ids separated by spaces."""
    if format == "ids":
        return " ".join(str(row.id) for row in found)
    return _json(found, texts) if format == "json" else table(found, texts)


def _json(found: Sequence[TokenRow], texts: Sequence[str]) -> str:
    page = {
        **dict(zip(("text", "pair"), texts, strict=False)),
        "tokens": [row.token for row in found],
        "ids": [row.id for row in found],
        "types": [row.type for row in found],
        "offsets": [[row.start, row.end] for row in found],
    }
    return json.dumps(page, ensure_ascii=False)


def table(found: Sequence[TokenRow], texts: Sequence[str]) -> str:
    """Tokens in columns that are straight in a terminal, in any script.

    >>> print(table([TokenRow("[CLS]", 101, 0, 0, 0, None), TokenRow("日", 1864, 0, 0, 1, 0)], ["日"]))
    token    id  type  offsets  text
    [CLS]   101     0
    日     1864     0  0-1      日
    """
    cells = [("token", "id", "type", "offsets", "text"), *(_cells(row, texts) for row in found)]
    return "\n".join(straight(cells, right=(1, 2), indent=""))


def _cells(row: TokenRow, texts: Sequence[str]) -> tuple[str, ...]:
    if row.sequence is None:
        return shown(row.token), str(row.id), str(row.type), "", ""
    source = texts[row.sequence][row.start : row.end]
    return shown(row.token), str(row.id), str(row.type), f"{row.start}-{row.end}", shown(source)
