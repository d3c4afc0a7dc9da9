"""`bertkit explain tokens`, `mask`, `attention`, `attribution`, `embeddings` and `training`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from bertkit import hub
from bertkit.cli.signature import Spell, check_utf8
from bertkit.data.lines import read_lines
from bertkit.errors import UsageError
from bertkit.terminal import page_of_stdout

if TYPE_CHECKING:
    from bertkit.explain import Explanation

Model = Annotated[str, "directory or Hub id of the model (default: the built-in model)"]
Tokenizer = Annotated[str, "directory or Hub id with a tokenizer (default: the built-in model)"]
Pair = Annotated[str | None, "second text of a pair"]
Texts = Annotated[list[str], "the texts (default: each line of stdin)"]


@dataclass(frozen=True, kw_only=True)
class Views:
    """files"""

    html: Annotated[str | None, "file for a page: pictures and tables, without scripts, which loads nothing"] = None
    png: Annotated[str | None, "file for a picture, which needs matplotlib"] = None
    spell: Spell = str  # formats the settings in messages

    def check(self, *given: str | None) -> None:
        """Raise UsageError for a file whose folder does not exist, and for texts that are empty or not UTF-8."""
        texts = [text for text in given if text is not None]
        for number, text in enumerate(texts, 1):
            check_utf8(text)
            if not text.strip():
                raise UsageError(f"Text {number} of {len(texts)} is empty: type a text in quotes, or leave it out.")
        for name, path in (("--html", self.html), ("--png", self.png)):
            if path is not None and not Path(path).absolute().parent.is_dir():
                raise UsageError(
                    f"{name} {path}: the folder {Path(path).parent} does not exist. Create it, or type another file."
                )

    def show(self, explanation: Explanation) -> None:
        """Print the explanation, and write its files."""
        page = page_of_stdout()
        print(explanation.text(page.columns, page.colours))
        if self.html is not None:
            print(f"bertkit: wrote {explanation.save_html(self.html)}. Open it in a browser.", file=sys.stderr)
        if self.png is not None:
            print(f"bertkit: wrote {explanation.png(self.png)}.", file=sys.stderr)


def tokens(
    text: Annotated[str, "the text"],
    *,
    model: Tokenizer = hub.DEFAULT_MODEL,
    pair: Pair = None,
    views: Views,
) -> None:
    """Show a text on its way through the tokenizer: normalized, words, pieces, ids, token types and positions."""
    from bertkit.explain import tokens

    views.check(text, pair)
    views.show(tokens(model, text, pair))


def mask(
    texts: Texts = [],  # noqa: B006
    *,
    model: Tokenizer = hub.DEFAULT_MODEL,
    causal: Annotated[bool, "as in a decoder, each token sees only itself and those before it"] = False,
    packed: Annotated[bool, "the texts are in one row, without padding"] = False,
    source: Annotated[list[str], "text that an encoder reads, for cross-attention; one for each text"] = [],  # noqa: B006
    views: Views,
) -> None:
    """Show which tokens of a batch may attend to which: padding, decoders, packed rows, cross-attention."""
    from bertkit.explain import mask

    given = _texts(texts)
    views.check(*given, *source)
    views.show(mask(model, given, causal=causal, packed=packed, sources=source or None))


def attention(
    text: Annotated[str, "the text"],
    *,
    model: Model = hub.DEFAULT_MODEL,
    pair: Pair = None,
    layer: Annotated[list[int], "number of a layer to show, from 0; may be repeated (default: all)"] = [],  # noqa: B006
    head: Annotated[list[int], "number of a head to show, from 0; may be repeated (default: all)"] = [],  # noqa: B006
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    views: Views,
) -> None:
    """Show how much each token of a text attends to each other one, in each layer and head.

    The lines show where most of the attention of each head goes. With one layer and one head, they show its weights.
    """
    from bertkit.explain import attention

    views.check(text, pair)
    views.show(attention(model, text, pair, tokenizer=tokenizer, layers=layer or None, heads=head or None))


def attribution(
    text: Annotated[str, "the text; a question; or a text with [MASK]"],
    *,
    model: Model = hub.DEFAULT_MODEL,
    pair: Annotated[str | None, "second text of a pair; the text with the answer to a question"] = None,
    target: Annotated[str | None, "label, answer or word to explain (default: the one with the best score)"] = None,
    method: Annotated[
        Literal["integrated-gradients", "attention-gradient"], "how the values are computed"
    ] = "integrated-gradients",
    steps: Annotated[
        int | None, "points between the baseline and the text (default: as many as the check needs)"
    ] = None,
    baseline: Annotated[str | None, "token that stands for each word in the baseline (default: [PAD])"] = None,
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    views: Views,
) -> None:
    """Show which tokens speak for a label, for an answer in a text, or for a word at [MASK], and which against it.

    The values of integrated gradients sum to the difference between the scores of the text and of the baseline, which is checked.
    """
    from bertkit.explain import attribution

    check_utf8(target or "")
    views.check(text, pair)
    own = {"target": target, "method": method, "steps": steps, "baseline": baseline, "tokenizer": tokenizer}
    views.show(attribution(model, text, pair, **own))  # type: ignore[arg-type]


def embeddings(
    texts: Texts = [],  # noqa: B006
    *,
    model: Model = hub.DEFAULT_MODEL,
    words: Annotated[bool, "words by the word embedding, with neighbours in the vocabulary, instead of texts"] = False,
    neighbours: Annotated[int, "number of neighbours of each"] = 3,
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model"] = None,
    views: Views,
) -> None:
    """Show a map of texts or words by their vectors, with their neighbours and similarities."""
    from bertkit.explain import embeddings

    given = _texts(texts)
    views.check(*given)
    views.show(embeddings(model, given, words=words, neighbours=neighbours, tokenizer=tokenizer))


def training(folder: Annotated[str, "output folder of finetune or pretrain"], *, views: Views) -> None:
    """Show the curves, the scores and the worst mistakes of a finished run."""
    from bertkit.explain import training

    views.check()
    views.show(training(folder))


def _texts(given: Sequence[str]) -> list[str]:
    found = list(given)
    if not found and sys.stdin is not None and not sys.stdin.isatty():
        found = list(read_lines("-"))
    if not found:
        raise UsageError("There are no texts: type each in quotes, or pipe texts into the command, one in each line.")
    return found
