"""Lines of JSON -> a file of any format.

A table has a row for each item of an answer, such as an entity or a label. Its column "row" has the number of the input.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from bertkit.data.json_line import line_of
from bertkit.data.parquet import import_pyarrow
from bertkit.data.records import ending
from bertkit.errors import UsageError, printable
from bertkit.hub.disk import whole_file
from bertkit.pipelines.bulk.advice import damaged
from bertkit.pipelines.bulk.vectors import Vectors, parsed
from bertkit.tasks.embedding.quantization import Precision

Lines = Callable[[], Iterable[bytes]]
"""A function that returns the lines of JSON from the first one. It may be called several times."""

_LISTED = 100
"""The most failed rows to list."""

_QUOTED = re.compile('[,"\r\n]')
"""What a cell of CSV has in quotes. The module csv writes a lone carriage return without them, which ends a row."""

_LONGEST_NAME = 240
"""The most bytes of an output's name. Most disks allow 255, and `whole_file` writes under a longer name first."""

_INTEGERS = range(-(2**63), 2**63)
"""The integers that a column of Parquet can have."""


@dataclass
class Failed:
    """The number of failed rows, and the row numbers and errors of the first ones."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, row: int, sentence: str) -> None:
        """Count a failed row."""
        self.count += 1
        if self.count <= _LISTED:
            self.first.append((row, sentence))


def is_error(line: bytes) -> bool:
    """Whether a line is the error of a row."""
    return line.startswith(b'{"error": ')


@dataclass(frozen=True)
class Layout:
    """What each line of the results has."""

    kept: Sequence[str] = ()  # columns of the input, in addition to the result
    details: bool = False  # how each text was read, too
    vectors: Precision | None = None  # the type of numbers in the output; None: the results are not vectors


def write_results(lines: Lines, name: str, layout: Layout) -> None:
    """Write the results to a file in the format of its suffix, by default JSON lines. The file appears only when complete."""
    kind, packed = _ending(name)
    vectors = None if layout.vectors is None else Vectors.of(lines(), layout.vectors)
    if vectors is not None and kind not in ("npy", "parquet"):
        lines = _with_numbers(lines, vectors)
    if layout.kept and kind in _TABLES:
        lines = _flat(lines, layout.kept)
    with ExitStack() as stack:
        raw = stack.enter_context(whole_file(name))
        file: IO[bytes] = raw
        if packed == "gz":
            file = stack.enter_context(cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=raw, mtime=0)))
        elif packed == "xz":
            file = stack.enter_context(cast(BinaryIO, lzma.LZMAFile(raw, "wb")))  # noqa: SIM115
        if vectors is not None and kind == "npy":
            vectors.write_array(lines(), file)
        elif kind == "parquet":
            _write_parquet(lines, file, vectors)
        else:
            _WRITERS.get(kind, _write_lines)(lines, file)


def check_output(name: str, layout: Layout) -> None:
    """Raises an error if the output cannot be written, before anything is computed."""
    kind, packed = _ending(name)
    suffix = Path(name.removesuffix(f".{packed}") if packed else name).suffix
    if suffix and not kind:
        raise UsageError(
            f"{name} has the unknown suffix {suffix}: end it with .jsonl, .json, .csv, .tsv or .parquet, each also "
            "followed by .gz or .xz, with .npy for vectors, or with no suffix for JSON lines."
        )
    if kind == "npy" and layout.vectors is None:
        raise UsageError(
            f"{name} is for one vector of each text, as embed computes them: choose .jsonl for other results."
        )
    if kind == "npy" and (layout.kept or layout.details):
        raise UsageError(f"{name} has only vectors: choose .parquet or .jsonl for further columns.")
    if len(os.fsencode(Path(name).name)) > _LONGEST_NAME:
        raise UsageError(
            f"The name {printable(Path(name).name, 40)} has more than {_LONGEST_NAME} bytes: choose a shorter one."
        )
    if Path(name).is_dir():
        raise UsageError(f"{name} is a folder: name a file in it.")
    if Path(name).is_symlink():
        raise UsageError(f"{name} is a link: name the file itself.")
    if Path(name).exists() and not Path(name).is_file():
        raise UsageError(f"{name} is not a regular file: name one.")
    folder = Path(name).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} for {name}: create it first, or choose another output.")
    if kind == "parquet":
        import_pyarrow(f"Writing {name}")


def _ending(name: str) -> tuple[str, str]:
    """The format of an output by its name, or "", and its compression."""
    return ("npy", "") if name.lower().endswith(".npy") else ending(name)


def _with_numbers(lines: Lines, vectors: Vectors) -> Lines:
    """The lines with their vectors as lists of numbers."""
    return lambda: vectors.json_lines(lines())


def _write_lines(lines: Lines, file: IO[bytes]) -> None:
    file.writelines(lines())


def _write_list(lines: Lines, file: IO[bytes]) -> None:
    between = b"[\n"
    for line in lines():
        file.write(between + line.rstrip(b"\n"))
        between = b",\n"
    file.write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _write_csv(lines: Lines, file: IO[bytes]) -> None:
    _write_cells(lines, file, ",")


def _write_tsv(lines: Lines, file: IO[bytes]) -> None:
    _write_cells(lines, file, "\t")


def _write_cells(lines: Lines, file: IO[bytes], delimiter: str) -> None:
    names = list(_columns(lines))
    for row in chain([dict(zip(names, names, strict=True))], _rows(lines)):
        cells = (_cell(row.get(name), delimiter) for name in names)
        file.write((delimiter.join(cells) + "\n").encode())


def _cell(value: Any, delimiter: str) -> str:
    """A cell as text. TSV has no quotes, so that its cells cannot have tabs and line ends."""
    text = (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, (list, dict))
        else str("" if value is None else value)
    )
    if delimiter == "\t":
        return " ".join(text.split()) if isinstance(value, str) else text
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.search(text) else text


def _write_parquet(lines: Lines, file: IO[bytes], vectors: Vectors | None) -> None:
    pyarrow, parquet = import_pyarrow("Writing the output")
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(), bool: pyarrow.bool_()}
    kinds[list] = pyarrow.list_(pyarrow.float64())  # numbers
    columns = {name: kind if kind in kinds else str for name, kind in _columns(lines).items()}
    types = {name: kinds[kind] for name, kind in columns.items()}
    if vectors is not None and "result" in columns:
        columns["result"] = list
        types["result"] = pyarrow.list_(pyarrow.from_numpy_dtype(vectors.dtype))
    schema = pyarrow.schema(list(types.items()))
    with parquet.ParquetWriter(file, schema) as writer:
        rows = _rows(lines)
        while some := list(islice(rows, 1024)):
            fitted = [{name: _fitted(value, columns[name]) for name, value in row.items()} for row in some]
            if vectors is not None:
                fitted = [vectors.in_row(row) for row in fitted]
            writer.write_table(pyarrow.Table.from_pylist(fitted, schema))


def _fitted(value: Any, kind: type) -> Any:
    """A value for a column of one type. Values of other types become JSON in a column of strings."""
    if value is None or (kind is str and isinstance(value, str)):
        return value
    if kind is list:
        return [float(number) for number in value] if isinstance(value, list) else value
    return json.dumps(value) if kind is str else kind(value)


_WRITERS: dict[str, Callable[[Lines, IO[bytes]], None]] = {
    "json": _write_list,
    "csv": _write_csv,
    "tsv": _write_tsv,
}


_TABLES = ("csv", "tsv", "parquet")


def _flat(lines: Lines, kept: Sequence[str]) -> Lines:
    """Lines in which each item of a result has the kept columns of the input, as the rows of a table need.

    A kept column with the name of a result's column is renamed to `input_` and its name.
    """

    def apart() -> Iterator[tuple[dict[str, Any], Any]]:
        return (_without_kept(line, kept, number) for number, line in enumerate(lines(), start=1))

    taken = {name for _, result in apart() for item in _items(result) for name in item}
    clashing, names = [name for name in kept if name in taken], {name: name for name in kept}
    taken |= names.keys()
    for name in clashing:
        while names[name] in taken:
            names[name] = f"input_{names[name]}"
        taken.add(names[name])

    def flat() -> Iterator[bytes]:
        for values, result in apart():
            columns = {names[name]: value for name, value in values.items()}
            yield line_of([{**columns, **item} for item in _items(result)])

    return flat


def _without_kept(line: bytes, kept: Sequence[str], number: int) -> tuple[dict[str, Any], Any]:
    """The kept columns of a line, and its result without them."""
    result = parsed(line, number)
    if not isinstance(result, dict) or not result.keys() >= set(kept):
        raise damaged(number)
    values = {name: result.pop(name) for name in kept}
    return values, result["result"] if list(result) == ["result"] else result


def _rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """The rows of a table."""
    for number, line in enumerate(lines(), start=1):
        for item in _items(parsed(line, number)):
            yield {"row": number, **item}


def _items(answer: Any) -> list[dict[str, Any]]:
    """The items of an answer, one dictionary each. An empty answer has one empty item, so that its input keeps a row."""
    if isinstance(answer, dict):
        return [answer]
    if _all(dict, answer):
        return cast(list[dict[str, Any]], answer)
    if _all(list, answer) and all(_all(dict, some) for some in answer):
        return [{"mask": number, **one} for number, some in enumerate(answer, start=1) for one in some]
    return [{}] if answer == [] else [{"result": answer}]


def _all(kind: type, answer: Any) -> bool:
    """Whether an answer is a list of objects of one type, and not empty."""
    return isinstance(answer, list) and bool(answer) and all(isinstance(one, kind) for one in answer)


def _columns(lines: Lines) -> dict[str, type]:
    """The columns of all rows in the order of their first use, and their types; `object` for mixed types."""
    found: dict[str, type] = {"row": int}
    for row in _rows(lines):
        for name, value in row.items():
            kind = _kind(value)
            before = found.get(name, kind)
            if {before, kind} == {int, float}:
                kind = float
            elif type(None) in (before, kind):
                kind = kind if before is type(None) else before
            elif before is not kind:
                kind = object
            found[name] = kind
    return found


def _kind(value: Any) -> type:
    """The type of a value: `list` for a list of numbers, `object` for other lists, dictionaries and very large integers."""
    if isinstance(value, list):
        return list if all(_kind(one) in (int, float) for one in value) else object
    if isinstance(value, dict) or (type(value) is int and value not in _INTEGERS):
        return object
    return type(value)
