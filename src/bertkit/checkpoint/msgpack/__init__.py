"""MessagePack files (`flax_model.msgpack`), as far as Flax uses the format: `layout` describes it."""

from bertkit.checkpoint.msgpack.reader import read
from bertkit.checkpoint.msgpack.writer import write

__all__ = ["read", "write"]
