"""The outputs of a teacher, computed once for each row and kept on disk, or in each step if they are too large.

    my-model/teacher/
        logits.npy            [rows or tokens, C], float32: small, and the loss is sensitive to them
        hidden_states.npy     [tokens, K, H], float16: large, and its rounding is far below the distance to a student
        index.json            a hash of the teacher and the rows; written last, so that an incomplete cache is not used

T tokens   N rows   C classes   K layers   H width of the teacher   A heads   t tokens of a row
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertkit.data.batches import Batch, Group, Limits, Row, Target, by_length, pack
from bertkit.engines.prepared import can_prepare, prepared
from bertkit.errors import FileFormatError
from bertkit.heads import HEADS, Grain
from bertkit.hub import parse_object
from bertkit.hub.disk import whole_file
from bertkit.models.torch.arrays import array_of
from bertkit.tensors import Array
from bertkit.training.batches import Unit
from bertkit.training.distributed import Processes
from bertkit.training.objectives import device_of, inputs_of

MOST_BYTES = 4 * 2**30
"""The maximum size of the cache on disk. Larger outputs are computed in each step."""

HIDDEN, ATTENTION = "hidden_states", "attentions"
_PREFIX = "teacher."
_FOLDER, _INDEX = "teacher", "index.json"


@dataclass
class Teacher:
    """A model in evaluation mode, and the outputs that are compared with those of a student.

    It computes in float32, whatever the precision of the student, so that its outputs are the same from the cache and in a step.
    """

    model: Any
    head: str  # class suffix of the model
    outputs: tuple[str, ...]  # of the head
    layers: tuple[int, ...] = ()  # whose hidden states are compared: 0 is the embeddings, 1 the first layer
    attention: tuple[int, ...] = ()  # layers whose attention is compared, from 0
    classes: tuple[int, ...] | None = None  # the number of each of the student's labels in the teacher; None: the same

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)
        weight = next(self.model.parameters())
        can = can_prepare(weight.device, weight.dtype) and not self.attention  # which prepared models do not return
        self._runs = prepared(self.model) if can else self.model

    @property
    def grains(self) -> dict[str, Grain]:
        """The outputs that can be cached, and what each has one entry for."""
        found: dict[str, Grain] = {name: HEADS[self.head].outputs[name].grain for name in self.outputs}
        return {**found, HIDDEN: "token"} if self.layers else found

    @torch.no_grad()
    def run(self, batch: Batch) -> dict[str, Any]:
        """Return logits [N, C] or [T, C], hidden states [T, K, H], and for each layer the attention of each row [A, t, t]."""
        device = device_of(self.model)
        inputs = inputs_of(batch, self.head, device)
        with torch.autocast(device.type, enabled=False):
            outputs = self._runs(
                **inputs, output_hidden_states=bool(self.layers), output_attentions=list(self.attention) or False
            )
        found: dict[str, Any] = {name: self._in_order(outputs[name]) for name in self.outputs}
        if self.layers:
            found[HIDDEN] = torch.stack([outputs.hidden_states[layer] for layer in self.layers], dim=1)
        if self.attention:
            found[ATTENTION] = [outputs.attentions[layer] for layer in self.attention]
        return found

    def _in_order(self, logits: Tensor) -> Tensor:
        return logits if self.classes is None else logits[..., list(self.classes)]

    def of(self, batch: Batch, device: torch.device) -> dict[str, Any]:
        """Return the outputs for a batch: those of its rows in the cache, or else computed now."""
        if all(_PREFIX + name in batch.targets for name in self.grains) and not self.attention:
            return {
                name: torch.from_numpy(batch.targets[_PREFIX + name].values).to(device).float() for name in self.grains
            }
        return self.run(batch)

    def fingerprint(self, rows: Iterable[Row]) -> str:
        """Return a hash of the weights, the outputs and the rows."""
        found = hashlib.blake2b(repr((self.head, self.outputs, self.layers, self.classes)).encode(), digest_size=16)
        found.update(self.model.config.to_json_string().encode())
        for name, tensor in self.model.state_dict().items():
            found.update(name.encode())
            found.update(array_of(tensor).view(np.uint8).data)
        for row in rows:
            found.update(row.input_ids.tobytes() + row.token_type_ids.tobytes())
        return found.hexdigest()


def with_cache(
    teacher: Teacher,
    units: Sequence[Unit],
    folder: Path,
    batch_tokens: int,
    processes: Processes,
    note: Callable[[str], object],
) -> list[Unit]:
    """Return units whose rows have the teacher's outputs as targets, from the cache in the output folder of the run.

    The first process computes what the cache lacks. If the outputs are too large for it, the units are returned unchanged.
    """
    if teacher.attention:
        note("The teacher runs in each step, as its attention is too large to be kept.")
        return list(units)
    rows = list(chain.from_iterable(units))
    shapes = _shapes(teacher, rows)
    size = sum(math.prod(shape) * _type(name).itemsize for name, shape in shapes.items())
    if size > MOST_BYTES:
        note(f"The teacher runs in each step: its outputs have {size / 2**30:,.1f} GiB, too much to be kept.")
        return list(units)
    cache, fingerprint = folder / _FOLDER, teacher.fingerprint(rows)
    arrays = _read(cache, fingerprint, shapes)
    if arrays is None and processes.is_first:
        note(f"The teacher runs once on {len(rows):,} rows. Its outputs are kept in {cache} ({size / 2**20:,.1f} MiB).")
        _write(teacher, rows, cache, fingerprint, shapes, batch_tokens)
    processes.wait()
    arrays = arrays or _read(cache, fingerprint, shapes)
    if arrays is None:  # another machine, which does not share the folder
        return list(units)
    return _attached(units, arrays, teacher.grains)


def remove_cache(folder: Path) -> None:
    """Remove the cache from the output folder of a complete run."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def _shapes(teacher: Teacher, rows: Sequence[Row]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output for all rows, found with the first row."""
    counts = {"row": len(rows), "token": sum(map(len, rows))}
    first = teacher.run(_packed(rows[:1]))
    return {name: (counts[grain], *first[name].shape[1:]) for name, grain in teacher.grains.items()}


def _type(name: str) -> np.dtype[Any]:
    return np.dtype(np.float16 if name == HIDDEN else np.float32)


def _packed(rows: Sequence[Row]) -> Batch:
    """Pack rows without their targets and groups. The choices of a question are computed one by one."""
    return pack([replace(row, targets={}, positions=None, group=Group(1)) for row in rows])


def _read(cache: Path, fingerprint: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array] | None:
    """Return the arrays of a complete cache of this teacher and these rows as views of the mapped files, or None."""
    try:
        index = parse_object((cache / _INDEX).read_text("utf-8"), str(cache / _INDEX), FileFormatError)
        arrays = {name: np.asarray(np.load(cache / f"{name}.npy", mmap_mode="r")) for name in shapes}
    except (OSError, ValueError):  # missing or damaged
        return None
    is_own = index.get("fingerprint") == fingerprint
    return arrays if is_own and {name: array.shape for name, array in arrays.items()} == shapes else None


def _write(
    teacher: Teacher,
    rows: Sequence[Row],
    cache: Path,
    fingerprint: str,
    shapes: dict[str, tuple[int, ...]],
    batch_tokens: int,
) -> None:
    """Compute the outputs for all rows and write the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / _INDEX).unlink(missing_ok=True)
    arrays = {
        name: np.lib.format.open_memmap(cache / f"{name}.npy", mode="w+", dtype=_type(name), shape=shape)
        for name, shape in shapes.items()
    }
    lengths = np.array([len(row) for row in rows])
    starts = np.cumsum(lengths) - lengths
    for numbers in by_length(rows_alone := [replace(row, group=None) for row in rows], Limits(tokens=batch_tokens)):
        found = teacher.run(_packed([rows_alone[number] for number in numbers]))
        tokens = np.concatenate([np.arange(starts[number], starts[number] + lengths[number]) for number in numbers])
        for name, grain in teacher.grains.items():
            arrays[name][numbers if grain == "row" else tokens] = found[name].cpu().numpy()
    for array in arrays.values():
        array.flush()
    with whole_file(cache / _INDEX) as file:
        file.write(json.dumps({"fingerprint": fingerprint}).encode())


def _attached(units: Sequence[Unit], arrays: dict[str, Array], grains: dict[str, Grain]) -> list[Unit]:
    """Return units whose rows have their parts of arrays as targets."""
    found: list[Unit] = []
    at_row = at_token = 0
    for unit in units:
        found.append([])
        for row in unit:
            end = at_token + len(row)
            own = {
                _PREFIX + name: Target(arrays[name][at_row] if grain == "row" else arrays[name][at_token:end], grain)
                for name, grain in grains.items()
            }
            found[-1].append(replace(row, targets={**row.targets, **own}))
            at_row, at_token = at_row + 1, end
    return found
