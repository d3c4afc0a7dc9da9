"""The implementations that the suite asks. Each turns a case into answers: outputs and gradients by name, as the oracle's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from conformance.cases import Arrays, Case

from bertkit import reference

Answer = Callable[[Case], Arrays]


def asked_for() -> list[str]:
    """The names of the backends to ask: all, or those that BERTKIT_BACKENDS lists."""
    named = os.environ.get("BERTKIT_BACKENDS", "")
    wanted = [name.strip() for name in named.split(",")] if named else list(BACKENDS)
    unknown = set(wanted) - set(BACKENDS)
    assert not unknown, f"BERTKIT_BACKENDS names {unknown}; there are {', '.join(BACKENDS)}."
    return wanted


def flat(outputs: Any) -> Arrays:
    """Outputs by name, those of layers numbered."""
    found = {}
    for name, value in outputs.items():
        if isinstance(value, tuple):
            found |= {f"{name}/{i}": np.asarray(layer) for i, layer in enumerate(value)}
        else:
            found[name] = np.asarray(value)
    return found


def numpy_reference(case: Case) -> Arrays:
    """`bertkit.reference`, which has no gradients and no cache."""
    return flat(reference.forward(case.config, case.weights, case.head, **case.inputs))


BACKENDS: dict[str, Answer] = {"reference": numpy_reference}
