"""One suite for all backends: the outputs of each case are those of transformers 4.57.6 (recorded) and 5 (live), within 1e-5.

BERTKIT_BACKENDS="reference,flax" runs only these backends. A backend that is not installed fails.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from conformance import backends, oracle
from conformance.cases import Arrays, Case, cases

from bertkit.heads import HEADS

CASES = cases()
REAL_ONLY = ("torch-packed",)  # the softmax over positions of answers is over real tokens


@functools.cache
def recorded(oracle: str = "torch_transformers4") -> dict[str, Arrays]:
    """Outputs of transformers 4.57.6. oracle: the script in tests/oracles that recorded them."""
    found: dict[str, Arrays] = {}
    with np.load(Path(__file__).parents[1] / "data" / f"{oracle}.npz") as file:
        values = file["values"]
        for case, output, shape in json.loads(str(file["index"])):
            size = int(np.prod(shape))
            found.setdefault(case, {})[output] = values[:size].reshape(shape)
            values = values[size:]
    return found


@functools.cache
def live(name: str) -> Arrays:
    """Outputs of transformers 5."""
    return oracle.answers(CASES[name])


@functools.cache
def ours(backend: str, name: str) -> Arrays:
    """Outputs of a backend."""
    return backends.BACKENDS[backend](CASES[name])


RUNS = [(name, backend) for name in CASES for backend in backends.selected() if backends.takes(backend, CASES[name])]


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_outputs_as_transformers_4_57_6(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), recorded()[name])


@pytest.mark.parametrize(("name", "backend"), [pair for pair in RUNS if not CASES[pair[0]].only4])
def test_outputs_as_transformers_5(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), live(name))


@pytest.mark.parametrize(
    ("name", "backend"),
    [pair for pair in RUNS if pair[1].startswith("flax") and pair[0] in recorded("flax_transformers4")],
)
def test_outputs_as_the_flax_classes_of_transformers_4_57_6(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), recorded("flax_transformers4")[name])


def compare(case: Case, backend: str, got: Arrays, wanted: Arrays) -> None:
    """Compare a backend's outputs with those of transformers, in which padding is set to the values that bertkit must have."""
    has = {kind_of(output) for output in got}
    for output, theirs in wanted.items():
        kind = kind_of(output)
        if kind not in has and kind in backends.MAY_LACK.get(backend, ()):
            continue
        if output == "pooler_output":
            theirs = pooled(case, wanted)
        if output == "loss" and backend in REAL_ONLY and case.head == "ForQuestionAnswering":
            theirs = loss_of_real_tokens(case, wanted)
        theirs = with_padding(case, output, theirs)
        size = max(1, np.abs(terms(output, wanted)).max()) if kind == "gradient" else 1  # float32 has 7 digits
        tolerance, name = backends.TOLERANCES.get(backend, 1e-5), f"{case.name}: {output}"
        np.testing.assert_allclose(got[output], theirs, rtol=tolerance, atol=tolerance * size, err_msg=name)


def with_padding(case: Case, output: str, theirs: np.ndarray) -> np.ndarray:
    """An output with the value of the table of heads at padding."""
    known = HEADS[case.head].outputs.get(output)
    if known is None or not known.padding:
        return theirs
    return np.where(case.real, theirs, np.float32(max(known.padding, np.finfo(np.float32).min)))


def terms(output: str, wanted: Arrays) -> np.ndarray:
    """The array whose size sets the tolerance of a gradient: the gradient, but for the bias of a key that of the key's weight.

    The bias of a key adds the same number to all scores of a position, which softmax cancels. Its gradient is exactly zero, and
    the computed one is the rounding error of terms as large as those of the key's weight.
    """
    return wanted[output.removesuffix("bias") + "weight"] if output.endswith(".self.key.bias") else wanted[output]


def kind_of(output: str) -> str:
    """The name of an output without its layer or parameter."""
    return output.split("/")[0].split()[0]


def loss_of_real_tokens(case: Case, wanted: Arrays) -> np.ndarray:
    """The loss of answers with a softmax over real tokens only, as for packed tokens. That of transformers includes padding."""
    losses = []
    for side in ("start", "end"):
        logits, positions = wanted[f"{side}_logits"], case.inputs[f"{side}_positions"].reshape(-1).clip(0)
        rows = [row for row, position in enumerate(positions) if position < logits.shape[1]]
        exponents = np.where(case.real, np.exp(logits), 0)[rows]
        losses.append(np.mean(np.log(exponents.sum(1)) - logits[rows, positions[rows]]))
    return np.mean(losses)


def pooled(case: Case, wanted: Arrays) -> np.ndarray:
    """pooler_output of the first real token, as in bertkit, zeros for a row of padding. transformers pools the first position."""
    real, weights = case.real, case.weights
    first = wanted["last_hidden_state"][np.arange(len(real)), real.argmax(1)]
    made = (
        np.tanh(first @ weights["bert.pooler.dense.weight"].T + weights["bert.pooler.dense.bias"])
        * real.any(1)[:, None]
    )
    if case.pools_first:
        np.testing.assert_allclose(made, wanted["pooler_output"], atol=1e-5)
    return made
