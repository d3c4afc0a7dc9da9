"""The records of a run in its output folder: metrics.jsonl, a line for each logged step and each evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertkit.data.records import json_lines
from bertkit.errors import DataError
from bertkit.hub import parse_object
from bertkit.hub.disk import whole_file


class Journal:
    """Appends records to metrics.jsonl. After a resume, records after the checkpoint are removed first."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [record for record in records_of(folder) if record["step"] <= step] if step else []
        with whole_file(self.path) as file:
            file.writelines(map(_line, kept))
        self._file = open(self.path, "ab")  # noqa: SIM115

    def add(self, event: str, **values: Any) -> None:
        """Append a record."""
        self._file.write(_line({"event": event, **values}))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Return the valid records of a run. The last line of a killed run may be incomplete."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    found = [value for _, value in json_lines(str(path))]
    return [value for value in found if isinstance(value, dict) and type(value.get("step")) is int]


def _line(record: Mapping[str, Any]) -> bytes:
    values = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in record.items()}
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raise DataError if it is damaged."""
    return parse_object(path.read_text("utf-8"), str(path), DataError)
