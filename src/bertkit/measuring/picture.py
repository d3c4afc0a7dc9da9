"""The picture of a bench: how fast each setting is, and how much its answers agree with those of float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertkit.measuring.bench import LEAST_AGREEMENT, Bench
from bertkit.training.report.pictures import BLUE, INK, MUTED, Pictures


def draw(bench: Bench, folder: Path, model: str) -> bool:
    """Write bench.png into a folder. Returns False without matplotlib, which draws it."""
    rows = sorted(bench.figures, key=lambda one: one.tokens_per_second)
    names = [str(one.setting) for one in rows]

    def paint(axes: Any) -> None:
        sure = [one.agreement.same >= LEAST_AGREEMENT for one in rows]
        speeds = [one.tokens_per_second for one in rows]
        axes.barh(names, speeds, color=[BLUE if same else MUTED for same in sure], height=0.6)
        for place, one in enumerate(rows):
            text = f" {one.tokens_per_second:,.0f}"
            text += "" if sure[place] else f"  ({one.agreement.same:.1%} of the answers agree)"
            axes.text(one.tokens_per_second, place, text, va="center", color=INK)
        axes.set_xlim(0, max(speeds) * 1.3)
        axes.set_xlabel("tokens per second")
        axes.grid(visible=False, axis="y")
        axes.set_title(f"{bench.task} by {model}", loc="left", fontsize=9)

    return bool(Pictures(folder).draw("bench", "Speed of each setting", paint, size=(6.4, 0.9 + 0.36 * len(rows))))
