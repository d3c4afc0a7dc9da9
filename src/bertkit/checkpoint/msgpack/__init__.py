"""MessagePack files (`flax_model.msgpack`), as Flax uses the format: see `layout` for how it is built."""

from bertkit.checkpoint.msgpack.reader import read
from bertkit.checkpoint.msgpack.writer import write

__all__ = ["read", "write"]
