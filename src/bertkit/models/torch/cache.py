"""What a decoder keeps between steps: the keys and values of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

LayerCache: TypeAlias = tuple[Tensor, ...]
"""Keys and values [B, A, S, D] of the tokens, and where there is cross-attention those of the encoder's states."""


class Cache(Sequence[LayerCache]):
    """`past_key_values`: of each layer (keys, values) or (keys, values, cross keys, cross values).

    A forward does not change the cache that it is given: it returns a longer one.
    """

    def __init__(self, layers: Sequence[LayerCache] = ()) -> None:
        self.layers = list(layers)

    def __getitem__(self, layer):  # type: ignore[no-untyped-def]
        """The keys and values of a layer."""
        return self.layers[layer]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self.layers)

    def get_seq_length(self) -> int:
        """S, the number of tokens that it holds."""
        return self.layers[0][0].shape[2] if self.layers else 0

    def to_legacy_cache(self) -> tuple[LayerCache, ...]:
        """The same as plain tuples."""
        return tuple(self.layers)

    @classmethod
    def from_legacy_cache(cls, layers: Sequence[LayerCache]) -> Cache:
        """Of plain tuples."""
        return cls(layers)

    def reorder(self, rows: Tensor) -> Cache:
        """The cache of other rows of the batch, such as the best beams. rows: [B]."""
        return Cache([tuple(tensor.index_select(0, rows) for tensor in layer) for layer in self.layers])


def cache_of(layers: Sequence[LayerCache]) -> Sequence[LayerCache]:
    """The cache that a forward returns: while it is traced the plain tuples, which are all that a graph can have."""
    return tuple(layers) if torch.jit.is_tracing() else Cache(layers)  # type: ignore[attr-defined]


def joined(past: Tensor | None, new: Tensor) -> Tensor:
    """Keys or values [B, S, A, D] of all tokens, out of those before, [B, A, S0, D], and the new ones."""
    return new if past is None else torch.cat([past.transpose(1, 2), new], dim=1)
