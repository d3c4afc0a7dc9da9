"""Feature extraction: the hidden states of a text, one vector for each token or one for the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bertkit.data.batches import Array
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Options, Outputs, Task, one_of, text_of
from bertkit.tasks.windows import Windows, encode_texts, reading_places

Pooling = Literal["cls", "mean", "max", "pooler"]
POOLINGS = ("cls", "mean", "max", "pooler")


@dataclass(frozen=True)
class FeatureOptions(Options):
    """The options of feature extraction."""

    pooling: Pooling | None = None  # None: a vector for each token; "pooler": BERT's own, of [CLS]
    normalize: bool = False  # vectors of length 1
    layers: int | Sequence[int] = -1  # -1 is the last, 0 the embedding
    combine: Literal["concat", "mean", "sum"] = "concat"  # how several layers become one vector
    return_tensors: bool | str = False  # arrays instead of lists: True or "np"; "pt"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling is not None:
            one_of("pooling", self.pooling, POOLINGS)
        one_of("combine", self.combine, ("concat", "mean", "sum"))
        numbers = [self.layers] if isinstance(self.layers, int) else self.layers
        if not isinstance(numbers, Sequence) or not numbers or not all(type(number) is int for number in numbers):
            last, last_four = Setting("layers", -1), Setting("layers", [-4, -3, -2, -1])
            raise UsageError(received("layers", self.layers), " is no layer: type ", last, ", or ", last_four, ".")


class FeatureExtraction(Task[FeatureOptions]):
    """A text -> vectors."""

    name = "feature-extraction"
    head = "Model"
    takes = "a text"
    options_type = FeatureOptions

    def encode(self, examples: Sequence[Any], options: FeatureOptions) -> list[Encoded]:
        """The rows of texts."""
        self._layers(options)
        texts = [text_of(example, self.name) for example in examples]
        return encode_texts(self.tokenizer, texts, None, options, self.row_length(options))

    def wanted(self, options: FeatureOptions) -> Ask:
        """The hidden states of the layers, or BERT's own vector of a row."""
        return Ask(pooled=True) if options.pooling == "pooler" else Ask(layers=tuple(self._layers(options)))

    def decode(self, encoded: Encoded, outputs: Outputs, options: FeatureOptions) -> Any:
        """`[1][tokens][H]` numbers, or with `pooling` one vector `[H]`."""
        if options.pooling is None:
            found = self.tokens(encoded.memory, outputs, options)[None]
            if options.normalize:
                found = unit(found)
        else:
            found = self.vector(encoded, outputs, options)
        if options.return_tensors is False:
            return found.tolist()
        if options.return_tensors in (True, "np", "numpy"):
            return found
        from bertkit.text.call import tensor_kind, to_tensor

        kind = tensor_kind(options.return_tensors)
        return to_tensor(found, kind) if kind else found

    def vector(self, encoded: Encoded, outputs: Outputs, options: FeatureOptions) -> Array:
        """One vector for a text [H]: that of its windows, weighted by their tokens."""
        pooled = np.stack([self._pooled(output, options) for output in outputs])
        weights = np.array([len(row) for row in encoded.rows], np.float32)
        found: Array = pooled.max(axis=0) if options.pooling == "max" else weights @ pooled / weights.sum()
        return unit(found) if options.normalize else found.astype(np.float32)

    def _pooled(self, output: Mapping[str, Array], options: FeatureOptions) -> Array:
        if options.pooling == "pooler":
            return np.asarray(output["pooler_output"])
        states = self._states(output, options)
        pooled: Array = states[0]
        if options.pooling in ("max", "mean"):
            pooled = states.max(axis=0) if options.pooling == "max" else states.mean(axis=0)
        return pooled

    @staticmethod
    def _states(output: Mapping[str, Array], options: FeatureOptions) -> Array:
        """The hidden states of a row, those of several layers combined: [t, K, H] -> [t, H], or [t, K * H]."""
        states = output["hidden_states"]
        if options.combine == "concat":
            return states.reshape(len(states), -1)
        combined: Array = states.mean(axis=1) if options.combine == "mean" else states.sum(axis=1)
        return combined

    def tokens(self, windows: Windows, outputs: Outputs, options: FeatureOptions) -> Array:
        """A vector for each token of a text [t, H], each from the window that shows most around it."""
        states = [self._states(output, options) for output in outputs]
        if len(states) == 1:
            return states[0]
        places = reading_places(windows)
        first, last = places[0], places[-1]
        places[0] = range(first.stop)  # with the special tokens at the start and at the end
        places[-1] = range(last.start, len(states[-1]))
        return np.concatenate([some[place.start : place.stop] for some, place in zip(states, places, strict=True)])

    def _layers(self, options: FeatureOptions) -> list[int]:
        count = self.config.num_hidden_layers
        given = [options.layers] if isinstance(options.layers, int) else list(options.layers)
        layers = [layer + count + 1 if layer < 0 else layer for layer in given]
        for layer, name in zip(layers, given, strict=True):
            if not 0 <= layer <= count:
                raise UsageError(f"layers has {name}, and the model has layers 1 to {count}, with 0 for the embedding.")
        return layers


def unit(vectors: Array) -> Array:
    """Vectors of length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
