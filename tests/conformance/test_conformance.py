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
from conformance.cases import Arrays, Case, cases

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
    """Every answer of theirs, which have zeros at padding: ours has to have them by itself."""
    has = {output.split("/")[0].split()[0] for output in got}
    for output, theirs in wanted.items():
        kind = output.split("/")[0].split()[0]
        if kind in ("gradient", "cached") and kind not in has:
            continue  # the backend has no gradients, or no cache
        if output == "pooler_output":
            theirs = pooled(case, wanted)
        size = max(1, np.abs(theirs).max()) if kind == "gradient" else 1  # float32 tells seven digits, however large
        np.testing.assert_allclose(got[output], theirs, rtol=1e-5, atol=1e-5 * size, err_msg=f"{case.name}: {output}")


def pooled(case: Case, wanted: Arrays) -> np.ndarray:
    """Ours pools the first real token, theirs the first position: what they would have made of it, and zeros if there is none."""
    real, weights = case.real, case.weights
    first = wanted["last_hidden_state"][np.arange(len(real)), real.argmax(1)]
    made = (
        np.tanh(first @ weights["bert.pooler.dense.weight"].T + weights["bert.pooler.dense.bias"])
        * real.any(1)[:, None]
    )
    if case.pools_first:
        np.testing.assert_allclose(made, wanted["pooler_output"], atol=1e-5)
    return made
