"""The nine Flax classes, and the pure functions that they call. They require only JAX.

Read tree.py, then model.py from top to bottom, then one class of heads.py.
"""

from __future__ import annotations

from bertkit.errors import MissingExtraError

try:
    import jax as jax
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "jax", "flax", "A Flax model") from error
