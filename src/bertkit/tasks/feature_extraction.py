"""Feature extraction: the hidden states of a text, as one vector for each token or one for the whole text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bertkit.errors import Setting, UsageError, did_you_mean, one_of, received
from bertkit.heads import Ask
from bertkit.tasks.base import Encoded, Outputs, Task, TaskOptions, check_boolean, text_of
from bertkit.tasks.embedding import Normalize, Pooling, Recipe, read_recipe, unit
from bertkit.tasks.windows import Windows, encode_texts, encode_whole, reading_places
from bertkit.tensors import Array

PoolingName = Literal["auto", "cls", "mean", "max", "pooler"]
POOLINGS = ("auto", "cls", "mean", "max", "pooler")


@dataclass(frozen=True)
class FeatureOptions(TaskOptions):
    """The options of feature extraction."""

    pooling: PoolingName | None = None  # None: a vector per token; "auto": the pooling in the model's files
    normalize: bool | Literal["auto"] | None = None  # None: if the model's files do; "auto": also without such files
    prompt: str | None = None  # text to put before each text
    prompt_name: str | None = None  # a prompt in the model's files; None: with pooling="auto" their default prompt
    layers: int | Sequence[int] = -1  # -1 is the last layer, 0 the embeddings
    combine: Literal["concat", "mean", "sum"] = "concat"  # how to combine several layers
    return_tensors: bool | str = False  # return arrays (True or "np") or PyTorch tensors ("pt") instead of lists

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling is not None:
            one_of("pooling", self.pooling, POOLINGS)
        if self.normalize != "auto":
            check_boolean("normalize", self.normalize, none=True)
        if self.prompt is not None and self.prompt_name is not None:
            raise UsageError(
                "prompt and prompt_name were both passed, but only one can be used: leave one of them out."
            )
        for name, prompt in (("prompt", self.prompt), ("prompt_name", self.prompt_name)):
            if not isinstance(prompt, (str, type(None))):
                example = Setting(name, {"prompt": "query: ", "prompt_name": "query"}[name])
                raise UsageError(received(name, prompt), " is not a string: type ", example, ".")
        one_of("combine", self.combine, ("concat", "mean", "sum"))
        numbers = [self.layers] if isinstance(self.layers, int) else self.layers
        if not isinstance(numbers, Sequence) or not numbers or not all(type(number) is int for number in numbers):
            last, last_four = Setting("layers", -1), Setting("layers", [-4, -3, -2, -1])
            raise UsageError(received("layers", self.layers), " is not a layer: type ", last, ", or ", last_four, ".")


class FeatureExtraction(Task[FeatureOptions]):
    """A text -> vectors."""

    name = "feature-extraction"
    head = "Model"
    takes = "a text"
    options_type = FeatureOptions

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe in the model's files: how the hidden states of a text become its vector."""
        return Recipe() if self.place is None else read_recipe(self.place)

    def encode(self, examples: Sequence[Any], options: FeatureOptions) -> list[Encoded]:
        """Return the rows of texts, each with the prompt before it."""
        prompt = self._prompt(options)
        texts = [prompt + text_of(example, self.name) for example in examples]
        if options.pooling == "auto" and self.recipe.lower:
            texts = [self._lower(text) for text in texts]
        return encode_texts(self.tokenizer, texts, None, options, self.row_length(options))

    def row_length(self, options: TaskOptions) -> int:
        """Return the maximum number of tokens in a row; with `pooling="auto"` also limited by the model's files."""
        most = super().row_length(options)
        automatic = isinstance(options, FeatureOptions) and options.pooling == "auto" and options.max_length is None
        return min(most, self.recipe.max_length or most) if automatic else most

    def wanted(self, options: FeatureOptions) -> Ask:
        """Request the hidden states of the layers, or the pooler's output. Raise UsageError for an unknown prompt or layer."""
        self._prompt(options)
        layers = tuple(self._layers(options))
        if options.pooling == "pooler":
            return Ask(pooled=True)
        self._pooling(options)
        return Ask(layers=layers)

    def has_large_answers(self, options: FeatureOptions) -> bool:
        """Return whether an answer has a vector for each token."""
        return options.pooling is None

    @staticmethod
    def has_vectors(options: FeatureOptions) -> bool:
        """Return whether an answer is one vector, as with any pooling."""
        return options.pooling is not None

    def decode(self, encoded: Encoded, outputs: Outputs, options: FeatureOptions) -> Any:
        """Return `[1][tokens][H]` numbers, or with `pooling` one vector `[H]`."""
        if options.pooling is None:
            found = self.tokens(encoded.memory, outputs, options)[None]
            if options.normalize:
                found = unit(found)
        else:
            found = self.vector(encoded, outputs, options)
        if options.return_tensors is False:
            return found.tolist()
        found = found.copy()  # a view would keep the hidden states of the whole batch in memory
        if options.return_tensors in (True, "np", "numpy"):
            return found
        from bertkit.text.call import tensor_kind, to_tensor

        kind = tensor_kind(options.return_tensors)
        return to_tensor(found, kind) if kind else found

    def vector(self, encoded: Encoded, outputs: Outputs, options: FeatureOptions) -> Array:
        """Return the vector of a text: pool all windows, weighted by their length, then apply the steps of the recipe."""
        automatic = options.pooling == "auto"
        if options.pooling == "pooler":
            weights = np.array([len(row) for row in encoded.rows], np.float32)
            found: Array = weights @ np.stack([output["pooler_output"] for output in outputs]) / weights.sum()
        else:
            pooling = self._pooling(options)
            skipped = 0 if pooling.include_prompt else self._prompt_tokens(options)
            found = pooling([self._states(output, options) for output in outputs], skipped)
        for step in self.recipe.steps if automatic else ():
            if not (isinstance(step, Normalize) and options.normalize is False):
                found = step(found)
        if automatic:
            found = found[: self.recipe.width]
        described = automatic and self.recipe.described
        if options.normalize is True or (options.normalize == "auto" and not described):
            found = unit(found)
        return found.astype(np.float32)

    def _pooling(self, options: FeatureOptions) -> Pooling:
        return self.recipe.pooling if options.pooling == "auto" else Pooling((options.pooling or "mean",))

    def _prompt(self, options: FeatureOptions) -> str:
        """Return the text to put before each text."""
        if options.prompt is not None:
            return options.prompt
        if options.prompt_name is None:
            return self.recipe.default_prompt if options.pooling == "auto" else ""
        prompts, name = self.recipe.prompts, options.prompt_name
        if name not in prompts:
            known = f"has {', '.join(map(repr, prompts))}" if prompts else "has no prompts"
            advice = Setting("prompt", "query: ")
            near = did_you_mean(str(name), prompts)
            raise UsageError(
                received("prompt_name", name), f" is unknown: this model {known}. Type one, or ", advice, f".{near}"
            )
        return prompts[name]

    def _prompt_tokens(self, options: FeatureOptions) -> int:
        """Return how many tokens at the start of a row are special tokens or belong to the prompt."""
        prompt = self._prompt(options)
        if not prompt:
            return 0
        prompt = self._lower(prompt) if self.recipe.lower else prompt
        (whole,) = encode_whole(self.tokenizer, [prompt], options.add_special_tokens)
        return min(len(whole.ids), self.row_length(options)) - whole.after

    def _lower(self, text: str) -> str:
        """Lowercase a text, except for special tokens."""
        special = "|".join(map(re.escape, self.tokenizer.all_special_tokens))
        parts = re.split(f"({special})", text) if special else [text]
        return "".join(part if number % 2 else "".join(map(str.lower, part)) for number, part in enumerate(parts))

    @staticmethod
    def _states(output: Mapping[str, Array], options: FeatureOptions) -> Array:
        """Combine the hidden states of a row over its layers: [t, K, H] -> [t, H], or [t, K * H]."""
        states = output["hidden_states"]
        if options.combine == "concat":
            return states.reshape(len(states), -1)
        combined: Array = states.mean(axis=1) if options.combine == "mean" else states.sum(axis=1)
        return combined

    def tokens(self, windows: Windows, outputs: Outputs, options: FeatureOptions) -> Array:
        """Return a vector for each token of a text [t, H], from the window with the most tokens around it."""
        states = [self._states(output, options) for output in outputs]
        if len(states) == 1:
            return states[0]
        places = reading_places(windows)
        first, last = places[0], places[-1]
        places[0] = range(first.stop)  # include the special tokens at the start and the end
        places[-1] = range(last.start, len(states[-1]))
        return np.concatenate([some[place.start : place.stop] for some, place in zip(states, places, strict=True)])

    def _layers(self, options: FeatureOptions) -> list[int]:
        count = self.config.num_hidden_layers
        given = [options.layers] if isinstance(options.layers, int) else list(options.layers)
        layers = [layer + count + 1 if layer < 0 else layer for layer in given]
        for layer, name in zip(layers, given, strict=True):
            if not 0 <= layer <= count:
                raise UsageError(f"layers has {name}, but the model has layers 1 to {count}, and 0 for the embeddings.")
            if layers.count(layer) > 1:  # of which a client of the server could send any number
                raise UsageError(f"layers has layer {layer} more than once: name each layer once.")
        return layers
