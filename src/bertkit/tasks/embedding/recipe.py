"""Compute the vector of a text from its hidden states: pooling and further steps, in NumPy.

t tokens of a row, H hidden size, D size of a vector
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np

from bertkit.errors import UsageError
from bertkit.tasks.numbers import sigmoid
from bertkit.tensors import Array


def _weighted(states: Array, first: int) -> Array:
    weights = np.arange(first + 1, len(states) + 1, dtype=np.float32)
    mean: Array = weights @ states[first:] / weights.sum()
    return mean


MODES: dict[str, Callable[[Array, int], Array]] = {
    "cls": lambda states, first: states[first],
    "max": lambda states, first: states[first:].max(axis=0),
    "mean": lambda states, first: states[first:].mean(axis=0),
    "mean_sqrt_len_tokens": lambda states, first: states[first:].sum(axis=0) / np.sqrt(len(states) - first),
    "weightedmean": _weighted,
    "lasttoken": lambda states, first: states[-1],
}
"""Mode -> function of the hidden states [t, H] and the index of the first token to pool, which returns a vector [H]."""


@dataclass(frozen=True)
class Pooling:
    """Pool hidden states to a vector. The vectors of several modes are concatenated.

    >>> Pooling(("cls", "mean"))([np.array([[1.0, 2.0], [3.0, 4.0]])]).tolist()
    [1.0, 2.0, 2.0, 3.0]
    """

    modes: tuple[str, ...]
    include_prompt: bool = True  # whether to pool the tokens of a prompt

    def __call__(self, windows: Sequence[Array], skipped: int = 0) -> Array:
        """Return the vector of a text from the hidden states [t, H] of its windows, without the first `skipped` tokens."""
        weights = np.array([len(states) for states in windows], np.float32)
        parts = []
        for mode in self.modes:
            firsts = [min(skipped, len(windows[0]) - 1), *[0] * (len(windows) - 1)]
            vectors = np.stack([MODES[mode](*pair) for pair in zip(windows, firsts, strict=True)])
            parts.append(vectors.max(axis=0) if mode == "max" else weights @ vectors / weights.sum())
        return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True)
class Normalize:
    """Scale a vector to length 1."""

    def __call__(self, vector: Array) -> Array:
        """[D] -> [D]."""
        return unit(vector)


@dataclass(frozen=True, eq=False)
class Dense:
    """Apply a dense layer and an activation function to a vector."""

    weight: Array  # [D, inputs]
    bias: Array | None  # [D]
    activation: Callable[[Array], Array]

    def __call__(self, vector: Array) -> Array:
        """[inputs] -> [D]."""
        inputs = self.weight.shape[1]
        if len(vector) != inputs:
            raise UsageError(
                f"The dense layer of this model takes vectors of size {inputs}, but pooling returned size {len(vector)}: leave "
                "out layers and combine."
            )
        product: Array = self.weight @ vector
        return self.activation(product if self.bias is None else product + self.bias)


@dataclass(frozen=True)
class Recipe:
    """How to compute the vector of a text. The default is the mean of its tokens."""

    pooling: Pooling = Pooling(("mean",))
    steps: tuple[Normalize | Dense, ...] = ()  # applied after pooling, in this order
    max_length: int | None = None  # tokens of a row; None: the model's maximum
    lower: bool = False  # lowercase texts first
    prompts: Mapping[str, str] = field(default_factory=dict)  # texts to put before each text, by name
    default_prompt: str = ""
    similarity: str = "cosine"
    width: int | None = None  # keep only the first numbers of a vector; None: all
    described: bool = False  # whether the recipe was read from files

    def digest(self) -> str:
        """Return a hash of all that determines the vectors.

        >>> Recipe().digest() == Recipe(Pooling(("cls",))).digest()
        False
        """
        found = sha256(repr(replace(self, steps=())).encode())
        for step in self.steps:
            found.update(f"{type(step).__name__}\n".encode())
            if isinstance(step, Dense):
                activation = next(name for name, function in ACTIVATIONS.items() if function is step.activation)
                found.update(activation.encode() + step.weight.tobytes())
                found.update(b"" if step.bias is None else step.bias.tobytes())
        return found.hexdigest()


def unit(vectors: Array) -> Array:
    """Scale vectors to length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def _rectified(x: Array) -> Array:
    return np.maximum(x, 0)


def _gelu(x: Array) -> Array:
    from bertkit.reference import activate

    return activate("gelu", x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.activation.Sigmoid": sigmoid,
    "torch.nn.modules.activation.ReLU": _rectified,
    "torch.nn.modules.activation.GELU": _gelu,
    "torch.nn.modules.activation.SiLU": lambda x: x * sigmoid(x),
}
"""The supported names of activation functions. No name from a file is ever imported."""
