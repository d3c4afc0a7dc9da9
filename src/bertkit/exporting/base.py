"""The base of exporters, and the table of formats. No framework is imported here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bertkit.config import BertConfig
from bertkit.errors import MissingExtraError, Setting, UsageError, one_of, received
from bertkit.graphs.names import has_choices
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array

Forward = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Computes the outputs of a model by name, from its inputs by name."""

PRECISIONS = ("fp32", "int8")
"""The types of numbers that a format may support."""

_SHORTEST = 3  # tokens: the special tokens of a pair of texts


@dataclass(frozen=True)
class Choices:
    """What the user chose for a format."""

    precision: str = "fp32"
    portable: bool = False  # standard operators only
    shape: tuple[int, ...] | None = None  # of the inputs; None: any


class Exporter:
    """One format, with the choices of a user. Each format is a subclass."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    options: ClassVar[tuple[str, ...]] = ()  # the fields of Choices that it supports, besides the precision
    opens: ClassVar[bool] = False  # whether `pipeline` opens its folders
    integers: ClassVar[str] = "int64"  # the type of the inputs

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.of_config: dict[str, Any] = {}  # further keys of config.json, which `write` may set

    def write(self, weights: Weights, folder: Path) -> list[Path]:
        """Write the model into a folder, and return its files."""
        raise NotImplementedError

    def open(self, folder: Path, outputs: Sequence[str]) -> Forward:
        """Open these files with their own runtime, as users do. `outputs` are the names of the model's outputs."""
        raise NotImplementedError

    def facts(self) -> str:
        """What users of the files need to know, such as the version of the format."""
        raise NotImplementedError

    def example(self, folder: str, head: str, grouped: bool) -> Sequence[str]:
        """Lines of Python that run the model on `texts` without a pipeline. `grouped`: they are the choices of one example."""
        raise NotImplementedError


class _Home(NamedTuple):
    name: str  # of the class; its module has the name of the format
    extra: str | None  # bertkit's extra that installs its packages; None: the missing module is a package to install


FORMATS = {
    "onnx": _Home("OnnxExporter", "onnx"),
    "openvino": _Home("OpenVinoExporter", "openvino"),
    "safetensors": _Home("SafetensorsExporter", None),
    "savedmodel": _Home("SavedModelExporter", "tf"),
    "torchscript": _Home("TorchScriptExporter", None),
}


def exporter_of(format: str, choices: Choices) -> Exporter:
    """Import the exporter of a format. Raises UsageError for choices that it does not support."""
    one_of("format", format, tuple(FORMATS))
    one_of("precision", choices.precision, PRECISIONS)
    own = Setting("format", format)
    try:
        kind = getattr(import_module(f"bertkit.exporting.{format}"), FORMATS[format].name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or format, FORMATS[format].extra, own) from error
    if choices.precision not in kind.precisions:
        known = ", ".join(kind.precisions)
        given = received("precision", choices.precision)
        raise UsageError(own, " does not support ", given, f": choose one of {known}.")
    for name in ("portable", "shape"):
        value = getattr(choices, name)
        if value and name not in kind.options:
            raise UsageError(
                own, " does not support ", received(name, value), ": leave it out, or choose another format."
            )
    made: Exporter = kind(choices)
    return made


def in_python(text: str) -> str:
    """A text as a string of Python in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def read_shape(given: str | Sequence[int], config: BertConfig, head: str) -> tuple[int, ...]:
    """A shape of the inputs, from text or numbers.

    >>> read_shape("1x128", BertConfig(), "ForMaskedLM"), read_shape([2, 4, 64], BertConfig(), "ForMultipleChoice")
    ((1, 128), (2, 4, 64))
    """
    parts = given.lower().split("x") if isinstance(given, str) else [str(one) for one in given]
    sizes = [int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < 8]
    named, example = ("batch, length", "1x128")
    if has_choices(head):
        named, example = ("batch, choices, length", "1x4x128")
    fits = len(sizes) == len(parts) == named.count(",") + 1 and min(sizes) > 0 and sizes[-1] >= _SHORTEST
    if not fits or sizes[-1] > config.max_position_embeddings or math.prod(sizes) > 2**24:
        most = f", with a length from {_SHORTEST} to {config.max_position_embeddings}"
        raise UsageError(
            received("shape", given),
            f" is not a shape [{named}] for this Bert{head}{most}: type for example ",
            Setting("shape", example),
            ".",
        )
    return tuple(sizes)
