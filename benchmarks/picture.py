"""Draws docs/speed.svg: the speed on texts of real lengths relative to transformers, from the figures of benchmarks/inference.py.

python benchmarks/inference.py --workloads mix --json mix.json
python benchmarks/picture.py mix.json "AMD EPYC, 2 cores" > docs/speed.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, BAR, LEFT, ROW = 420, 16, 14, 42  # narrow, so that it is readable on a phone
TITLES = {
    "bertkit openvino int8": "bertkit, int8, OpenVINO",
    "bertkit torch int8": "bertkit, int8, PyTorch",
    "bertkit torch bf16": "bertkit, bf16, PyTorch",
    "bertkit torch fp32": "bertkit, float32, PyTorch",
    "openvino int8": "OpenVINO, int8 by nncf",
    "onnxruntime int8": "ONNX Runtime, int8",
    "transformers bf16": "transformers, bf16",
    "transformers": "transformers, float32",
}
"""Contestant -> its title, in the order of the picture."""


def bars(paths: Sequence[Path]) -> list[tuple[str, float]]:
    """The contestants with their speed relative to transformers in the same run. In several runs, the first one counts."""
    found: dict[str, float] = {}
    for path in paths:
        rows = json.loads(path.read_text(encoding="utf-8"))["workloads"]["mix"]
        for name, row in rows.items():
            found.setdefault(name, row["tokens_per_second"] / rows["transformers"]["tokens_per_second"])
    return [(title, found[name]) for name, title in TITLES.items() if name in found]


def drawing(rows: list[tuple[str, float]], machine: str) -> str:
    """The rows as an SVG picture, those of bertkit in blue."""
    scale = (WIDTH - LEFT - 60) / max(value for _, value in rows)
    height = 64 + len(rows) * ROW
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
        y = 74 + number * ROW
        colour = "#3182bd" if title.startswith("bertkit") else "#8c959f"
        lines += [
            f'<text x="{LEFT}" y="{y - 5}" fill="#222222">{escape(title)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + value * scale + 8:.1f}" y="{y + 13}" fill="#222222">{value:.1f}</text>',
        ]
    lines.append("</svg>")
    return "\n".join(lines)


def main() -> None:
    """Read the figures, and print the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mix", type=Path, nargs="+", help="file that inference.py wrote with --json, or several")
    parser.add_argument("machine", help="model, texts and CPU, as the second line of the picture")
    options = parser.parse_args()
    print(drawing(bars(options.mix), options.machine))


if __name__ == "__main__":
    main()
