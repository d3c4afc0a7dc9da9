"""What the pictures show: functions that draw arrays on the axes of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.metrics.calibration import Bin
from bertkit.training.report.pictures import BLUE, INK, LINE, MUTED, ORANGE

Points = tuple[Sequence[float], Sequence[float]]

_MOST_POINTS = 1_500
_LINES = (BLUE, ORANGE, MUTED, INK)
_DASHES = ("-", "--", ":", "-.")
_STRONGEST = 0.55
"""The opacity of the fullest cell. Text in the colour of ink stays readable on it, on a light and on a dark page."""


def loss(axes: Any, steps: Points, evaluations: Points) -> None:
    """Draw the loss of each logged step, its running mean, and the loss of each evaluation."""
    places, values = thinned(*steps)
    if len(places) > 30:
        axes.plot(places, values, color=BLUE, alpha=0.3, linewidth=0.8)
        axes.plot(places, running_mean(values, len(values) // 15), color=BLUE, label="training, running mean")
    elif len(places):
        axes.plot(places, values, color=BLUE, label="training", marker="." if len(places) < 15 else "")
    if len(evaluations[0]):
        axes.plot(*evaluations, color=ORANGE, marker="o", markersize=4, label="evaluation")
    _finish(axes, "step", "loss")


def lines(axes: Any, curves: Mapping[str, Points], y: str) -> None:
    """Draw a line for each name."""
    for number, (name, points) in enumerate(curves.items()):
        colour, dash = _LINES[number % len(_LINES)], _DASHES[number // len(_LINES) % len(_DASHES)]
        axes.plot(
            *points,
            color=colour,
            linestyle=dash,
            marker="o" if len(points[0]) < 30 else "",
            markersize=4,
            label=shortened(name, 22),
        )
    _finish(axes, "step", y, legend=len(curves) > 1)


def _finish(axes: Any, x: str, y: str, legend: bool = True) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if legend and axes.get_legend_handles_labels()[0]:
        _legend_above(axes)


def _legend_above(axes: Any) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.03), ncols=2, fontsize=8, borderaxespad=0)


def thinned(places: Sequence[float], values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most 1,500 points, each the mean of neighbours.

    >>> [part.tolist() for part in thinned([1, 2], [0.5, 0.4])]
    [[1.0, 2.0], [0.5, 0.4]]
    """
    both = np.asarray([places, values], np.float64)
    size = -(-both.shape[1] // _MOST_POINTS)
    if size > 1:
        both = both[:, : both.shape[1] // size * size].reshape(2, -1, size).mean(axis=2)
    return both[0], both[1]


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and its neighbours. Values that are not finite are left out.

    >>> running_mean(np.array([1.0, 2.0, 6.0]), 3).tolist()
    [1.5, 3.0, 4.0]
    """
    is_finite = np.isfinite(values)
    ones = np.ones(max(window, 1))
    total = np.convolve(np.where(is_finite, values, 0), ones, "same")
    count = np.convolve(is_finite.astype(float), ones, "same")
    means: NDArray[np.float64] = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means


def confusion(axes: Any, counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw a matrix of counts [truth, answer]. The colour is the share of the row."""
    from matplotlib.patches import Rectangle

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shortened(label, 16) for label in labels]
    for (row, column), count in np.ndenumerate(counts):
        opacity = _STRONGEST * float(shares[row, column])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUE, alpha=opacity, linewidth=0))
        if count:
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8)
    axes.grid(False)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    turned = max(map(len, names)) * len(names) > 34
    axes.set_xticks(
        range(len(labels)),
        names,
        rotation=40 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(labels)), names)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    axes.set_xlabel("answer of the model")
    axes.set_ylabel("truth")


def scatter(axes: Any, truths: NDArray[np.float64], answers: NDArray[np.float64]) -> None:
    """Draw the truth against the answer, with the line on which both are equal."""
    low, high = float(min(truths.min(), answers.min())), float(max(truths.max(), answers.max()))
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle="--")
    axes.plot(truths, answers, "o", color=BLUE, alpha=0.4, markersize=3.5, markeredgewidth=0)
    axes.set_xlabel("truth")
    axes.set_ylabel("answer of the model")


def reliability(axes: Any, bins: Sequence[Bin]) -> None:
    """Draw the accuracy of each bin of confidence, and the line of a perfect calibration."""
    filled = [each for each in bins if each.size]
    axes.bar(
        [each.low for each in filled],
        [each.accuracy for each in filled],
        [each.high - each.low for each in filled],
        align="edge",
        color=BLUE,
        alpha=0.45,
        edgecolor=BLUE,
    )
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    axes.plot(
        [each.confidence for each in filled],
        [each.accuracy for each in filled],
        "o",
        color=ORANGE,
        markersize=4,
        label="mean of a bin",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    _legend_above(axes)


def histogram(axes: Any, names: Sequence[str], files: Mapping[str, Sequence[float]]) -> None:
    """Draw the share of examples in each bin, for each file."""
    width = 0.8 / len(files)
    for number, (file, counts) in enumerate(files.items()):
        shares = 100 * np.asarray(counts, float) / max(sum(counts), 1)
        places = np.arange(len(names)) + (number - (len(files) - 1) / 2) * width
        axes.bar(places, shares, width, color=_LINES[number % len(_LINES)], alpha=0.7, label=file)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("tokens")
    axes.set_ylabel("examples (%)")
    _legend_above(axes)


def bars(axes: Any, values: Mapping[str, float], x: str) -> None:
    """Draw a horizontal bar from 0 to 1 for each name, the first at the top."""
    names = [shortened(name, 22) for name in values]
    axes.barh(range(len(names)), list(values.values()), color=BLUE, alpha=0.6, height=0.7)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(x)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(LINE)


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters, on one line. An empty text would be an invisible label.

    >>> shortened("a very long label", 8)
    'a very …'
    """
    line = " ".join(text.split()) or "(empty)"
    return line if len(line) <= most else f"{line[: most - 1]}…"
