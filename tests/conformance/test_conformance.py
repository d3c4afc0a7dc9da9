"""One suite for all implementations: each answers every case as transformers does, 4.57.6 (recorded) and 5 (live), within 1e-5.

`BERTKIT_BACKENDS="reference"` asks some of them only. One that is asked for and is not there fails.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from conformance import backends, oracle
from conformance.cases import CHANCES, Arrays, Case, cases, padding_of

CASES = cases()
OF_5 = [name for name, case in CASES.items() if not case.only4]


@functools.cache
def recorded() -> dict[str, Arrays]:
    """What transformers 4.57.6 answered (tests/oracles/torch4.py)."""
    found: dict[str, Arrays] = {}
    with np.load(Path(__file__).parents[1] / "data" / "torch4.npz") as file:
        values = file["values"]
        for case, output, shape in json.loads(str(file["index"])):
            size = int(np.prod(shape))
            found.setdefault(case, {})[output] = values[:size].reshape(shape)
            values = values[size:]
    return found


@functools.cache
def live(name: str) -> Arrays:
    """What transformers 5 answers."""
    return oracle.answers(CASES[name])


@functools.cache
def ours(backend: str, name: str) -> Arrays:
    """What a backend answers."""
    return backends.BACKENDS[backend](CASES[name])


@pytest.mark.parametrize("backend", backends.asked_for())
@pytest.mark.parametrize("name", CASES)
def test_answers_as_transformers_4_57_6(name: str, backend: str) -> None:
    compare(CASES[name], ours(backend, name), recorded()[name])


@pytest.mark.parametrize("backend", backends.asked_for())
@pytest.mark.parametrize("name", OF_5)
def test_answers_as_transformers_5(name: str, backend: str) -> None:
    compare(CASES[name], ours(backend, name), live(name))


def compare(case: Case, got: Arrays, wanted: Arrays) -> None:
    """Every answer of theirs that the backend has, at real positions; and every output of ours is zero at padding."""
    compared = set()
    for output, theirs in wanted.items():
        if output.startswith(("gradient/", "cached ")) and not any(name.startswith(output.split("/")[0]) for name in got):
            continue  # the backend has no gradients, or no cache
        if output == "pooler_output" and not case.pools_first:
            theirs = pooled(case, wanted)
        np.testing.assert_allclose(got[output], theirs, rtol=1e-5, atol=1e-5, err_msg=f"{case.name}: {output}")
        compared.add(output)
    assert compared, f"{case.name}: nothing was compared"
