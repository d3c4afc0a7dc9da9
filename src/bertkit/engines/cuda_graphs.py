"""Small batches on a GPU: the forward is recorded once for each shape, and replayed.

A GPU computes a small batch faster than Python starts its kernels. A CUDA graph starts all of them at once, but always on the
same memory. So a batch is copied into a rectangle of one of a few shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from bertkit.models.torch.model import States
from bertkit.models.torch.packing import Arranged, Packed, Rectangle, visible

_MOST_ROWS, _MOST_LENGTH = 8, 128
_LEAST_LENGTH = 16

Record = Callable[[Callable[[], States], torch.device], tuple[States, Callable[[], object]]]
"""Calls a function of a device, and returns its result and a function that computes it again, into the same tensors."""

_RECORDING = Lock()
"""One recording at a time in this process."""


def recorded(run: Callable[[], States], device: torch.device) -> tuple[States, Callable[[], object]]:
    """Record the kernels of a function as a CUDA graph."""
    with _RECORDING, torch.cuda.device(device):
        found, graph = _recorded(run)

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return found, replay


def _recorded(run: Callable[[], States]) -> tuple[States, torch.cuda.CUDAGraph]:
    """On the current device. Other threads may use the GPU meanwhile."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries allocate and choose their kernels in the first calls
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        found = run()
    return found, graph


@dataclass(frozen=True)
class _Held:
    """The memory of one shape [B, L], and how to compute its states again."""

    ids: Tensor
    types: Tensor
    real: Tensor  # True at real tokens
    states: States
    replay: Callable[[], object]


class Replayed:
    """The body of a model, which replays small batches, and runs others. Threads wait for each other in small batches."""

    def __init__(self, body: Any, record: Record = recorded) -> None:
        self.pooler = body.pooler
        self._body, self._record, self._lock = body, record, Lock()
        self._held: dict[tuple[int, int], _Held] = {}

    def __call__(self, arranged: Arranged, output_hidden_states: bool, output_attentions: bool) -> States:
        """Return what the body returns for a batch that is `Packed`."""
        layout = arranged.layout
        assert isinstance(layout, Packed)
        rows, length = layout.grid
        small = 0 < rows <= _MOST_ROWS and length <= _MOST_LENGTH and not layout.has_empty
        if small and not output_hidden_states and not output_attentions:
            return self._replay(arranged, layout)
        states: States = self._body(
            arranged=arranged, output_hidden_states=output_hidden_states, output_attentions=output_attentions
        )
        return states

    def _replay(self, inputs: Arranged, layout: Packed) -> States:
        """Copy a batch into a rectangle, replay the forward, and copy the states of its tokens."""
        assert inputs.input_ids is not None
        assert inputs.token_type_ids is not None
        rows, length = layout.grid
        most = self._body.config.max_position_embeddings
        shape = (_power_of_2(rows), min(max(_power_of_2(length), _LEAST_LENGTH), most))
        cells = layout.cells // length * shape[1] + layout.cells % length
        with self._lock:
            if shape not in self._held:
                self._held[shape] = self._hold(shape)
            held = self._held[shape]
            for memory, given in ((held.ids, inputs.input_ids), (held.types, inputs.token_type_ids)):
                memory.zero_().view(-1)[cells] = layout.pack(given)
            held.real.zero_().view(-1)[cells] = True
            held.replay()
            states = held.states.last_hidden_state.flatten(0, 1)[cells]
            pooled = held.states.pooler_output
            pooled = None if pooled is None else pooled[:rows].clone()
        states = states if inputs.wanted is None else states[inputs.wanted]
        return States(states, pooled, None, None, None, None)

    def _hold(self, shape: tuple[int, int]) -> _Held:
        """Record the forward of a shape."""
        body, device = self._body, next(self._body.parameters()).device
        ids, types = torch.zeros(2, *shape, dtype=torch.int64, device=device)
        real = torch.ones(shape, dtype=torch.bool, device=device)
        places = torch.arange(shape[1], device=device)

        def run() -> States:
            mask = visible(real, shape[1]) if body.config.is_decoder else real[:, None, None]
            inputs = Arranged(Rectangle(shape, device, mask=mask), ids, types, places, None)
            found: States = body(arranged=inputs, output_hidden_states=False, output_attentions=False)
            return found

        return _Held(ids, types, real, *self._record(run, device))


def _power_of_2(number: int) -> int:
    """The least power of 2 that is not smaller."""
    return 1 << (number - 1).bit_length()
