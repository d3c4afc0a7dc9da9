"""The curves and the worst mistakes of a finished run of training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.explain.view import Explanation
from bertkit.terminal import Page, cut, shown, straight
from bertkit.training.record import Prediction, Record, is_number, read_record
from bertkit.training.report import drawings
from bertkit.training.report.markup import Section, number
from bertkit.training.report.mistakes import answer_in_words, inputs, mistakes, worst_first
from bertkit.training.report.overview import curves, points, score_names, scores
from bertkit.training.report.page import summary
from bertkit.training.report.pictures import Pictures

_LEVELS = "▁▂▃▄▅▆▇█"
_MOST = 5
"""Mistakes in the view for a terminal."""


@dataclass(frozen=True, eq=False, repr=False)
class Training(Explanation):
    """A run of fine-tuning or pretraining: what it wrote to its folder."""

    record: Record

    @property
    def worst(self) -> list[Prediction]:
        """The mistakes on the evaluation examples, the worst first."""
        return worst_first(self.record)

    def _title(self) -> tuple[str, str]:
        return f"{self.record.folder.resolve().name}: {self.record.task}", summary(self.record)

    def _lines(self, page: Page) -> list[str]:
        title, about = self._title()
        width = max(min(page.columns - 40, 60), 10)
        rows = [("", "first", "last", ""), *self._curves(width)]
        found = [page.paint(shown(title), "bold"), shown(about), *straight(rows, right=(1, 2))]
        final = {name: value for name, value in self.record.part("scores").items() if is_number(value)}
        if final:
            found += ["scores:", *straight([(shown(name), number(value)) for name, value in final.items()], right=[1])]
        worst = self.worst
        if worst:
            found.append(f"worst mistakes, {min(len(worst), _MOST)} of {len(worst):,}:")
        for one in worst[:_MOST]:
            texts = " | ".join(text for _, text, _ in inputs(one.input))
            sides = [
                f"{name} {cut(answer_in_words(self.record, one, value), 30)}"
                for name, value in (("truth", one.truth), ("answer", one.answer))
            ]
            found += [f"  {cut(texts, page.columns - 2)}", page.paint(f"    {', '.join(sides)}", "dim")]
        return found

    def _curves(self, width: int) -> list[tuple[str, str, str, str]]:
        """A line for each curve: its name, its first and last value, and its shape."""
        lines = [
            ("training loss", points(self.record.steps, "loss")),
            ("evaluation loss", points(self.record.evaluations, "loss")),
        ]
        names = score_names(self.record)
        lines += [(name, points(self.record.evaluations, name)) for name in (*names["one"], *names["hundred"])]
        return [
            (shown(name), number(values[0]), number(values[-1]), curve(values, width))
            for name, (_, values) in lines
            if values
        ]

    def _sections(self) -> Sequence[Section]:
        pictures = Pictures(None)
        return [section for make in (scores, curves, mistakes) for section in make(self.record, pictures)]

    def _size(self) -> tuple[float, float]:
        return 4.8, 6.4

    def _draw(self, figure: Any) -> None:
        above, below = figure.subplots(2, 1)
        drawings.loss(above, points(self.record.steps, "loss"), points(self.record.evaluations, "loss"))
        names = score_names(self.record)
        found = {name: points(self.record.evaluations, name) for name in names["one"] or names["hundred"]}
        if found:
            drawings.lines(below, found, "score")
        else:
            drawings.lines(below, _of_steps(self.record.steps), "learning rate")


def _of_steps(steps: Sequence[Mapping[str, Any]]) -> dict[str, drawings.Points]:
    found = points(steps, "learning_rate")
    return {"learning rate": found} if found[0] else {}


def curve(values: Sequence[float], width: int) -> str:
    """Return values as a line of at most so many blocks, each the mean of neighbours.

    >>> curve([0.0, 1.0, 2.0, 3.0], 10), curve([4.0, 2.0, 1.0, 1.0], 2)
    ('▁▃▆█', '█▁')
    """
    finite = np.array([value for value in values if np.isfinite(value)])
    means = (
        np.array([part.mean() for part in np.array_split(finite, min(width, len(finite)))]) if len(finite) else finite
    )
    span = float(np.ptp(means)) if len(means) else 0.0
    shares = (means - means.min()) / span if span else np.zeros(len(means))
    return "".join(_LEVELS[round(share * (len(_LEVELS) - 1))] for share in shares.tolist())


def training(folder: str | os.PathLike[str]) -> Training:
    r"""Show the curves and the worst mistakes of a finished run.

    >>> import tempfile
    >>> from pathlib import Path
    >>> run = Path(tempfile.mkdtemp()) / "run"
    >>> run.mkdir()
    >>> size = (run / "run.json").write_text('{"task": "text-classification", "model": "tiny", "scores": {"f1": 0.9}}')
    >>> logged = ['{"event": "step", "step": 1, "loss": 0.7}', '{"event": "step", "step": 2, "loss": 0.5}']
    >>> lines = (run / "metrics.jsonl").write_text("\n".join(logged))
    >>> print(training(run))
    run: text-classification
    Fine-tuned from tiny.
                      first    last
      training loss  0.7000  0.5000  █▁
    scores:
      f1  0.9000

    Args:
        folder: the output folder of `bertkit finetune` or `pretrain`.
    """
    return Training(read_record(folder))
