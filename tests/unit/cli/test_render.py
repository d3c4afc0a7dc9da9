"""Answers as text for a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from bertkit.cli.render import render
from bertkit.terminal import Page, bar, cut, width

NARROW = Page(60)

PAGES: list[tuple[str, Any, Any, str]] = [
    (
        "fill-mask",
        "Plants [MASK] light.",
        [{"score": 0.75, "token_str": "need"}, {"score": 0.00001, "token_str": "光"}],
        """
Plants [MASK] light.
  need  0.7500  ███████████████
  光     1e-05
""",
    ),
    (
        "fill-mask",
        "[MASK] [MASK]",
        [[{"score": 0.5, "token_str": "a"}], [{"score": 0.25, "token_str": "b"}]],
        """
[MASK] [MASK]
  mask 1
  a  0.5000  ██████████
  mask 2
  b  0.2500  █████
""",
    ),
    (
        "fill-mask",
        "[MASK] [MASK]",
        [{"score": 0.5, "token_str": ["New", "York"]}],
        """
[MASK] [MASK]
  New … York  0.5000  ██████████
""",
    ),
    (
        "text-classification",
        {"text": "Good", "text_pair": "Bad"},
        {"label": "GOOD", "score": 0.975},
        """
Good | Bad
  GOOD  0.9750  ███████████████████▌
""",
    ),
    (
        "text-classification",
        "Five stars",
        [{"label": "STARS", "score": 4.0}, {"label": "OTHER", "score": -1.0}],
        """
Five stars
  STARS   4.0000  ████████████████████
  OTHER  -1.0000
""",
    ),
    (
        "token-classification",
        "Anna was in Oslo.",
        [
            {"entity_group": "PER", "score": 0.99, "word": "Anna", "start": 0, "end": 4},
            {"entity": "B-LOC", "score": 0.5, "word": "Oslo", "start": 12, "end": 16},
        ],
        """
Anna was in Oslo.
  PER  Anna  0.9900  0-4
  LOC  Oslo  0.5000  12-16
""",
    ),
    ("token-classification", "Nobody.", [], "\nNobody.\n  no entities found\n"),
    (
        "question-answering",
        {"question": "Who?", "context": "x" * 150 + "Anna" + "y" * 150},
        {"score": 0.9, "start": 150, "end": 154, "answer": "Anna"},
        f"\nWho?\n  0.9000  …{'x' * 100}>>Anna<<{'y' * 100}…\n",
    ),
    (
        "question-answering",
        {"question": "Who?", "context": "I."},
        [{"score": 0.5, "start": 0, "end": 0, "answer": ""}, {"score": 0.25, "start": 0, "end": 1, "answer": "I"}],
        "\nWho?\n  0.5000  no answer\n  0.2500  >>I<<.\n",
    ),
    (
        "zero-shot-classification",
        "Rain",
        {"sequence": "Rain", "labels": ["weather", "food"], "scores": [0.9, 0.1]},
        """
Rain
  weather  0.9000  ██████████████████
  food     0.1000  ██
""",
    ),
    (
        "multiple-choice",
        {"text": "Who?", "choices": ["I", "you"]},
        [{"score": 0.5, "index": 1, "choice": "you"}],
        "\nWho?\n  you  0.5000  ██████████\n",
    ),
    (
        "sentence-similarity",
        {"source_sentence": "Plants", "sentences": ["copper", "trees"]},
        [-0.1, 0.5],
        """
Plants
   0.5000  ██████████            trees
  -0.1000                        copper
""",
    ),
    (
        "feature-extraction",
        "Text",
        [0.6, 0.8, 0.0, 0.0, 0.0],
        "\nText\n  5 numbers, length 1.0000:  0.6000  0.8000  0.0000  0.0000  …\n",
    ),
    ("feature-extraction", "Text", [[[0.5, 0.5], [0.1, 0.2]]], "\nText\n  2 tokens, 2 numbers each\n"),
    (
        "sentence-scoring",
        "Text",
        {"log_likelihood": -3.5, "perplexity": 1234.5, "n_tokens": 1, "tokens": [{"token": "text", "log_prob": 0.0}]},
        """
Text
  perplexity 1,234.50, log-likelihood -3.50, 1 token
  text  1.0000  ████████████████████
""",
    ),
    (
        "next-sentence-prediction",
        {"text": "a", "text_pair": "b"},
        {"result": [{"label": "IsNext", "score": 1.0}], "truncated": False, "windows": 1, "n_tokens": 5},
        """
a | b
  IsNext  1.0000  ████████████████████
  truncated False, windows 1, n_tokens 5
""",
    ),
]


@pytest.mark.parametrize(("task", "example", "answer", "page"), PAGES)
def test_pages(task: str, example: Any, answer: Any, page: str) -> None:
    assert "\n" + "\n".join(render(task, example, answer, NARROW)) + "\n" == page


def test_colours_change_no_column() -> None:
    for task, example, answer, _ in PAGES:
        if task == "question-answering":
            continue
        plain = render(task, example, answer, NARROW)
        painted = render(task, example, answer, NARROW._replace(colours=True))
        assert [_unpainted(line) for line in painted] == plain


def _unpainted(line: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()


def test_an_answer_is_painted_where_there_are_colours() -> None:
    answer = {"score": 0.9, "start": 0, "end": 1, "answer": "I"}
    lines = render("question-answering", {"question": "Who?", "context": "I."}, answer, Page(80, True))
    assert lines[1] == "  0.9000  \x1b[1;30;43mI\x1b[0m."


def test_texts_cannot_move_the_cursor() -> None:
    assert render("fill-mask", "a\x1b[2J\rb", [{"score": 1.0, "token_str": "\x07"}], NARROW) == [
        r"a\x1b[2J\rb",
        r"  \x07  1.0000  ████████████████████",
    ]


def test_bars_and_cuts() -> None:
    assert [len(bar(share)) for share in (-1, 0, 0.5, 1, 7)] == [0, 0, 10, 20, 20]
    assert cut("한국어 문장", 7) == "한국어…" and width(cut("한국어 문장", 7)) == 7
    assert cut("short", 5) == "short"
