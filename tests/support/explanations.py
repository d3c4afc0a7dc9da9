"""An explanation of each kind, of tiny models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import finished_runs
import pipeline_models
from finished_runs import HOSTILE

from bertkit import explain
from bertkit.explain import Explanation

TEXT = "The soup was cold, the waiter was rude."


@cache
def every(folder: Path) -> dict[str, Explanation]:
    words, two = pipeline_models.tokenizer(), pipeline_models.folder("two")
    return {
        "tokens": explain.tokens(words, TEXT, "Anna moved to Zürich."),
        "hostile tokens": explain.tokens(words, HOSTILE),
        "padding": explain.mask(words, [TEXT, "Anna moved."]),
        "packed": explain.mask(words, [TEXT, "Anna moved."], packed=True, causal=True),
        "long": explain.mask(words, " ".join(["soup"] * 100)),
        "cross": explain.mask(words, "Anna moved.", sources=TEXT),
        "attention": explain.attention(two, TEXT),
        "one head": explain.attention(two, TEXT, "Anna moved.", layers=[1], heads=[0]),
        "attribution": explain.attribution(two, TEXT, steps=4),
        "attention times gradient": explain.attribution(two, HOSTILE[:40], method="attention-gradient"),
        "texts": explain.embeddings(pipeline_models.folder("plain"), [TEXT, HOSTILE[:60], "Anna moved."]),
        "words": explain.embeddings(two, ["soup", "train"], words=True),
        "run": explain.training(finished_runs.write(folder / "run", "hostile labels")),
        "pretraining": explain.training(
            finished_runs.write(folder / "bare", "two labels", task="pretraining", model=None)
        ),
    }
