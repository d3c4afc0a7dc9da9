"""The cache of a decoder: keys and values of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

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


class Buffer:
    """Keys or values of a layer [B, A, S, D], in memory that has room for the tokens to come.

    `append` writes into this memory, so that a step does not copy the tokens before it. Gradients are not computed.
    """

    def __init__(self, tensor: Tensor, longest: int) -> None:
        rows, heads, self.length, width = tensor.shape
        self.memory = tensor.new_empty(rows, longest, heads, width)
        self.memory[:, : self.length] = tensor.transpose(1, 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """B, A, S, D."""
        rows, _, heads, width = self.memory.shape
        return rows, heads, self.length, width

    def append(self, new: Tensor) -> Tensor:
        """Add tokens [B, L, A, D]. Returns those of all tokens, [B, S + L, A, D]."""
        end = self.length + new.shape[1]
        self.memory[:, self.length : end] = new
        self.length = end
        return self.memory[:, :end]

    def take(self, rows: Tensor) -> None:
        """Keep some rows of the batch, in another order. Only those that move are copied."""
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        used = self.memory[:, : self.length]
        used[moved] = used[rows[moved]]
        self.memory = self.memory[: len(rows)]


def with_room(cache: Cache, longest: int) -> Cache:
    """A cache whose keys and values of tokens are in buffers. Those of an encoder's states stay as they are."""
    layers: list[Any] = [(*(Buffer(own, longest) for own in layer[:2]), *layer[2:]) for layer in cache]
    return Cache(layers)


def take_rows(cache: Cache, rows: Tensor, with_encoder: bool) -> None:
    """Keep some rows of a cache of buffers, in another order; with_encoder: also of the keys and values of an encoder."""
    layers: list[Any] = cache.layers
    for number, layer in enumerate(layers):
        for buffer in layer[:2]:
            buffer.take(rows)
        if with_encoder:
            layers[number] = (*layer[:2], *(tensor.index_select(0, rows) for tensor in layer[2:]))


def cache_of(layers: Sequence[LayerCache]) -> Sequence[LayerCache]:
    """The cache that a forward returns. While tracing it is a tuple of tuples, as a graph supports no other class."""
    return tuple(layers) if torch.jit.is_tracing() else Cache(layers)  # type: ignore[attr-defined]


def joined(past: Tensor | Buffer | None, new: Tensor) -> Tensor:
    """Keys or values [B, S, A, D] of all tokens: those of the cache, [B, A, S0, D], followed by the new ones."""
    if isinstance(past, Buffer):
        return past.append(new)
    return new if past is None else torch.cat([past.transpose(1, 2), new], dim=1)
