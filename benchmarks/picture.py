"""Draws docs/speed.svg: the speed relative to transformers, from the figures of benchmarks/attention.py.

python benchmarks/attention.py --only mix --json mix.json
python benchmarks/picture.py mix.json "AMD EPYC, 2 cores" > docs/speed.svg
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path

WIDTH, BAR, LEFT, ROW = 420, 20, 14, 52  # narrow, so that it is readable on a phone


def bars(mix: dict[str, dict[str, dict[str, float]]]) -> list[tuple[str, float]]:
    """The lines of a mix, with the speed of bertkit relative to transformers, both called in the same way."""
    return [(title.rpartition(":")[0], found["bertkit sdpa"]["faster"]) for title, found in mix.items()]


def drawing(rows: list[tuple[str, float]], machine: str) -> str:
    """The rows as an SVG picture. A line on each bar marks the speed of transformers."""
    longest = max(value for _, value in rows)
    scale = (WIDTH - LEFT - 60) / longest
    height = 64 + len(rows) * ROW
    mark = LEFT + scale
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="14">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-weight="bold" fill="#222222">Times as fast as transformers 5</text>',
        f'<text x="{LEFT}" y="44" fill="#222222">{escape(machine)}</text>',
    ]
    for number, (title, value) in enumerate(rows):
        y = 78 + number * ROW
        lines += [
            f'<text x="{LEFT}" y="{y - 5}" fill="#222222">{escape(title)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" rx="2" fill="#3182bd"/>',
            f'<text x="{LEFT + value * scale + 8:.1f}" y="{y + 15}" fill="#222222">{value:.1f}</text>',
            f'<path d="M{mark:.1f} {y - 2}v{BAR + 4}" stroke="#d95f0e" stroke-width="1.5"/>',
        ]
    lines.append("</svg>")
    return "\n".join(lines)


def main() -> None:
    """Read the figures, and print the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mix", type=Path, help="file that attention.py wrote with --json")
    parser.add_argument("machine", help="name of the CPU")
    options = parser.parse_args()
    print(drawing(bars(json.loads(options.mix.read_text(encoding="utf-8"))["mix"]), options.machine))


if __name__ == "__main__":
    main()
