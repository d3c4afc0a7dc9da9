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

from bertkit.heads import HEADS

CASES = cases()
REAL_ALONE = ("torch-packed",)  # whose loss of a span is over real tokens


@functools.cache
def recorded(oracle: str = "torch_transformers4") -> dict[str, Arrays]:
    """Answers of transformers 4.57.6: tests/oracles/torch_transformers4.py, and flax_transformers4.py for its Flax classes."""
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
    """What transformers 5 answers."""
    return oracle.answers(CASES[name])


@functools.cache
def ours(backend: str, name: str) -> Arrays:
    """What a backend answers."""
    return backends.BACKENDS[backend](CASES[name])


ASKED = [(name, backend) for name in CASES for backend in backends.asked_for() if backends.takes(backend, CASES[name])]


@pytest.mark.parametrize(("name", "backend"), ASKED)
def test_answers_as_transformers_4_57_6(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), recorded()[name])


@pytest.mark.parametrize(("name", "backend"), [pair for pair in ASKED if not CASES[pair[0]].only4])
def test_answers_as_transformers_5(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), live(name))


@pytest.mark.parametrize(
    ("name", "backend"),
    [pair for pair in ASKED if pair[1].startswith("flax") and pair[0] in recorded("flax_transformers4")],
)
def test_answers_as_the_flax_classes_of_transformers_4_57_6(name: str, backend: str) -> None:
    compare(CASES[name], backend, ours(backend, name), recorded("flax_transformers4")[name])


def compare(case: Case, backend: str, got: Arrays, wanted: Arrays) -> None:
    """Every answer of theirs, in which padding holds what ours has to have there by itself."""
    has = {kind_of(output) for output in got}
    for output, theirs in wanted.items():
        kind = kind_of(output)
        if kind not in has and kind in backends.MAY_LACK.get(backend, ()):
            continue
        if output == "pooler_output":
            theirs = pooled(case, wanted)
        if output == "loss" and backend in REAL_ALONE and case.head == "ForQuestionAnswering":
            theirs = loss_of_real_tokens(case, wanted)
        theirs = held_at_padding(case, output, theirs)
        size = max(1, np.abs(terms(output, wanted)).max()) if kind == "gradient" else 1  # float32 has seven digits
        near, name = backends.WITHIN.get(backend, 1e-5), f"{case.name}: {output}"
        np.testing.assert_allclose(got[output], theirs, rtol=near, atol=near * size, err_msg=name)


def held_at_padding(case: Case, output: str, theirs: np.ndarray) -> np.ndarray:
    """An output as it was recorded, with zeros at padding, or with what the table of heads has there."""
    known = HEADS[case.head].outputs.get(output)
    if known is None or not known.padding:
        return theirs
    return np.where(case.real, theirs, np.float32(max(known.padding, np.finfo(np.float32).min)))


def terms(output: str, wanted: Arrays) -> np.ndarray:
    """What the size of a gradient's rounding error follows: the gradient itself, but for a key's bias.

    That moves all scores of a position alike, which softmax does not see: its gradient is a sum that cancels to zero, and what is
    left is the rounding of terms as large as those of the key's weight.
    """
    return wanted[output.removesuffix("bias") + "weight"] if output.endswith(".self.key.bias") else wanted[output]


def kind_of(output: str) -> str:
    """What an output is, without the layer or the parameter that it is of."""
    return output.split("/")[0].split()[0]


def loss_of_real_tokens(case: Case, wanted: Arrays) -> np.ndarray:
    """Of a span: theirs takes the softmax over padding too, which packed tokens do not have."""
    losses = []
    for side in ("start", "end"):
        logits, positions = wanted[f"{side}_logits"], case.inputs[f"{side}_positions"].reshape(-1).clip(0)
        rows = [row for row, position in enumerate(positions) if position < logits.shape[1]]
        exponents = np.where(case.real, np.exp(logits), 0)[rows]
        losses.append(np.mean(np.log(exponents.sum(1)) - logits[rows, positions[rows]]))
    return np.mean(losses)


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
