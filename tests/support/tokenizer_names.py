"""The names of a class of tokenizers, and the parameters of its methods: for the comparison of two libraries."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
ATTRIBUTES = ("init_inputs", "init_kwargs", "verbose", "name_or_path", "basic_tokenizer", "wordpiece_tokenizer")


def names_of(cls: type) -> dict[str, list[str] | None]:
    """Return name -> parameters, or None for other attributes: public names, conversion methods and the constructor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(TOKENS) + "\n")
        tokenizer = cls(str(path))
    private = ("__init__", "__call__", "__len__", "_convert_token_to_id", "_convert_id_to_token")
    found: dict[str, list[str] | None] = {}
    for name in dir(tokenizer):
        if not name.startswith("_") or name in private:
            value = inspect.getattr_static(tokenizer, name, None)
            value = getattr(value, "__func__", value)
            found[name] = list(inspect.signature(value).parameters) if inspect.isfunction(value) else None
    return found
