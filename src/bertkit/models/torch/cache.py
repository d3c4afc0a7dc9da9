"""The cache of a decoder: keys and values of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

LayerCache: TypeAlias = tuple[Tensor, ...]
"""Keys and values [B, A, S, D] of the tokens, and with cross-attention those of the encoder's states."""


class Cache(Sequence[LayerCache]):
    """`past_key_values`: for each layer (keys, values) or (keys, values, cross keys, cross values).

    A forward returns a new, longer cache and does not change the one that is passed.
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
        """The number of tokens in the cache, S."""
        return self.layers[0][0].shape[2] if self.layers else 0

    def to_legacy_cache(self) -> tuple[LayerCache, ...]:
        """The cache as a tuple of tuples."""
        return tuple(self.layers)

    @classmethod
    def from_legacy_cache(cls, layers: Sequence[LayerCache]) -> Cache:
        """A cache from a tuple of tuples."""
        return cls(layers)

    def reorder(self, rows: Tensor) -> Cache:
        """The cache with other rows of the batch, for example the best beams. rows: [B]."""
        return Cache([tuple(tensor.index_select(0, rows) for tensor in layer) for layer in self.layers])


def cache_of(layers: Sequence[LayerCache]) -> Sequence[LayerCache]:
    """The cache that a forward returns. While tracing it is a tuple of tuples, as a graph supports no other class."""
    return tuple(layers) if torch.jit.is_tracing() else Cache(layers)  # type: ignore[attr-defined]


def joined(past: Tensor | None, new: Tensor) -> Tensor:
    """Keys or values [B, S, A, D] of all tokens: those of the cache, [B, A, S0, D], followed by the new ones."""
    return new if past is None else torch.cat([past.transpose(1, 2), new], dim=1)
