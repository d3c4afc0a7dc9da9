"""The card of an exported model, README.md: its inputs and outputs, how to run it, and how far it is from the original."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from bertkit import __version__
from bertkit.exporting.base import Exporter, in_python
from bertkit.exporting.parity import HEADER, Difference, Parity
from bertkit.graphs.names import INPUTS, has_choices
from bertkit.heads import HEADS, tasks_of


def card_of(name: str, source: str, format: str, head: str, exporter: Exporter, parity: Parity) -> str:
    """The text of the card. `name` is that of the folder, `source` that of the original model."""
    about = f"Bert{head} in the format {format} and in {exporter.choices.precision}, exported by bertkit {__version__}"
    sections = (
        f"---\nlibrary_name: bertkit\ntags: [bert, {format}]\n---",
        f"# {_plain(name)}",
        f"{about} from {_plain(source)}. {exporter.facts()}",
        _arguments(head, exporter.integers, parity),
        "## How to use it",
        *_examples(name, head, exporter),
        "## Difference from fp32",
        f"On {parity.texts:,} texts with {parity.tokens:,} tokens, compared with the original in fp32:",
        _table(HEADER, [one.row() for one in parity.differences]),
    )
    return "\n\n".join(sections) + "\n"


def _arguments(head: str, integers: str, parity: Parity) -> str:
    """The inputs and the outputs, with their types and shapes."""
    sizes = "batch, choices, length" if has_choices(head) else "batch, length"
    rows = [(one, integers, f"[{sizes}]") for one in INPUTS]
    rows += [(one.output, "float32", f"[{_sizes(head, one)}]") for one in parity.differences]
    return _table(("input or output", "type", "shape"), rows)


def _sizes(head: str, one: Difference) -> str:
    """The dimensions of an output."""
    later = "choices" if has_choices(head) else "" if HEADS[head].outputs[one.output].grain == "row" else "length"
    named = ["batch", later] if later else ["batch"]
    return ", ".join([*named, *map(str, one.shape[len(named) :])])


def _examples(name: str, head: str, exporter: Exporter) -> Iterator[str]:
    """Code that runs the model, with bertkit and without."""
    if exporter.opens:
        yield _python("from bertkit import pipeline", f'model = pipeline("{tasks_of(head)[0]}", {in_python(name)})')
        yield "Without bertkit's pipeline:"
    shape = exporter.choices.shape
    texts = '["The museum opens at nine.", "Is this seat taken?"]'
    if shape is not None:
        texts = f'["The museum opens at nine."] * {math.prod(shape[:-1])}'
    yield _python(
        "from bertkit import AutoTokenizer  # or from transformers",
        f"tokenizer = AutoTokenizer.from_pretrained({in_python(name)})",
        f"texts = {texts}",
        *exporter.example(name, head, has_choices(head)),
    )


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _plain(text: str) -> str:
    r"""Escape a name for Markdown.

    >>> print(_plain("my_bert"))
    my\_bert
    """
    return re.sub(r"([\\`*_\[\]|#<>&])", r"\\\1", " ".join(text.split()))
