"""The activations of `config.ACTIVATIONS` in NumPy. It has no erf: the exact GELU is a fit through tanh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# A gate is x (1 + tanh(x P(x²))) / 2. The first P is a fit: the gate is within 7e-8 of the exact x (1 + erf(x / √2)) / 2.
_ERF = (1.80558792e-09, -1.33445249e-07, 3.96909228e-06, -5.52400429e-05, -3.3130354e-05, 0.036334284, 0.797884216)
_TANH = (0.7978845608 * 0.044715, 0.7978845608)
_GATES = {"gelu": _ERF, "gelu_new": _TANH, "gelu_pytorch_tanh": _TANH, "silu": (0.5,), "swish": (0.5,)}


def activate(name: str, x: Array) -> Array:
    """One of `config.ACTIVATIONS`, of each number.

    >>> activate("gelu", np.array([-1.0, 0.0, 1.0])).round(4).tolist()
    [-0.1587, 0.0, 0.8413]
    """
    if name not in _GATES:
        return np.tanh(x) if name == "tanh" else np.maximum(x, 0)
    square = np.minimum(x * x, 30.25)  # the fit ends at 5.5; beyond, float32 tells no difference
    y = np.full_like(x, _GATES[name][0])
    for coefficient in _GATES[name][1:]:  # in place, as no array of a layer is larger
        y *= square
        y += coefficient
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y
