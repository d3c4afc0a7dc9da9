"""Draws docs/rooms.svg: the rooms of the library from the top down, as the contract of imports in pyproject.toml has them.

python scripts/rooms.py > docs/rooms.svg
"""

from __future__ import annotations

import tomllib
from pathlib import Path

WIDTH, LEFT, GAP, BOX, ROW = 380, 44, 8, 28, 42
MOST = 3
"""Boxes beside each other: the text stays readable on a phone."""


def layers() -> list[list[str]]:
    """The rows of rooms and files, of which each imports only from those below it."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (found,) = (one["layers"] for one in contracts if one.get("containers") == ["bertkit"])
    return [row.split(" | ") for row in found if row != "__main__"]


def drawing(rows: list[list[str]]) -> str:
    """The rows as an SVG picture, with an arrow down for the imports."""
    boxes, y = [], 12
    for row in rows:
        lines = [row[at : at + MOST] for at in range(0, len(row), MOST)]
        height = ROW * len(lines) - (ROW - BOX)
        boxes.append(
            f'<rect x="{LEFT - 6}" y="{y - 4}" width="{WIDTH - LEFT}" height="{height + 8}" rx="5" fill="#eef3f8"/>'
        )
        for line in lines:
            width = (WIDTH - LEFT - 12 - GAP * (len(line) - 1)) / len(line)
            for number, name in enumerate(line):
                x = LEFT + number * (width + GAP)
                boxes += [
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX}" rx="3" fill="#ffffff" stroke="#3182bd"/>',
                    f'<text x="{x + width / 2:.1f}" y="{y + 19}" text-anchor="middle" fill="#222222">{name}</text>',
                ]
            y += ROW
    end = y - 10
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
                'font-family="sans-serif" font-size="13">'
            ),
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
            *boxes,
            f'<path d="M24 12V{end - 10}" stroke="#d95f0e" stroke-width="1.5"/>',
            f'<path d="M18 {end - 12}L24 {end}L30 {end - 12}Z" fill="#d95f0e"/>',
            (
                f'<text x="14" y="{y / 2:.0f}" transform="rotate(-90 14 {y / 2:.0f})" '
                'text-anchor="middle" fill="#222222">imports</text>'
            ),
            "</svg>",
        ]
    )


if __name__ == "__main__":
    print(drawing(layers()))
