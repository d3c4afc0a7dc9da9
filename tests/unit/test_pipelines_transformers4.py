"""Our pipelines answer as those of transformers 4.57.6 do: keys, order and types alike, scores within 1e-5."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import pipeline_cases
import pytest
from pipeline_models import ours

DATA = Path(__file__).parents[1] / "data" / "pipelines_transformers4.json.xz"


@cache
def recorded() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = json.loads(lzma.decompress(DATA.read_bytes()))
    return found


def differences(got: Any, wanted: Any, where: str = "") -> list[str]:
    """Where two answers differ."""
    if type(got) is not type(wanted):
        return [f"{where}: {type(got).__name__} {got!r} rather than {type(wanted).__name__} {wanted!r}"]
    if isinstance(wanted, float):
        return [] if got == pytest.approx(wanted, rel=1e-5, abs=1e-5) else [f"{where}: {got} rather than {wanted}"]
    if isinstance(wanted, dict):
        if list(got) != list(wanted):
            return [f"{where}: keys {list(got)} rather than {list(wanted)}"]
        return [text for key in wanted for text in differences(got[key], wanted[key], f"{where}.{key}")]
    if isinstance(wanted, list):
        if len(got) != len(wanted):
            return [f"{where}: {len(got)} rather than {len(wanted)}: {got!r:.300} rather than {wanted!r:.300}"]
        return [text for i in range(len(wanted)) for text in differences(got[i], wanted[i], f"{where}[{i}]")]
    return [] if got == wanted else [f"{where}: {got!r} rather than {wanted!r}"]


@pytest.mark.parametrize("task", pipeline_cases.TASKS)
@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_answers(task: str, engine: str) -> None:
    wrong, compared = [], 0
    for seed, wanted in enumerate(recorded()[task]):
        if wanted is None:
            continue
        compared += 1
        name, args, options = pipeline_cases.case(task, seed)
        found = differences(ours(task, name, engine)(*args, **options), wanted)
        if found:
            wrong.append(f"{seed} {options}: {found[0]}")
    assert not wrong, "\n".join([f"{len(wrong)} of {compared} differ", *wrong[:10]])
    assert compared > 290
