"""ROUGE: how many words, pairs of words and sequences of words a summary shares with a reference, by the rules of rouge-score.

Words are runs of a-z and 0-9 in lower case; all other characters separate them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from bertkit.errors import MissingExtraError
from bertkit.metrics.inputs import same_length

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class RougeScore(NamedTuple):
    """One kind of ROUGE of one summary."""

    precision: float
    recall: float
    f1: float


def rouge_of(prediction: str, reference: str | Sequence[str], *, stemming: bool = False) -> dict[str, RougeScore]:
    """Return all kinds of ROUGE of a summary.

    >>> found = rouge_of("The cat sat.", "The cat slept and the cat sat.")
    >>> found["rouge1"], round(found["rougeL"].f1, 2)
    (RougeScore(precision=1.0, recall=0.42857142857142855, f1=0.6), 0.6)

    Args:
        prediction: the summary.
        reference: a good summary, or several, of which the one with the best F1 counts for each kind.
        stemming: whether words of one stem are equal, such as "cat" and "cats" (needs nltk, which rouge-score installs).
    """
    if not isinstance(reference, str):
        each = [rouge_of(prediction, one, stemming=stemming) for one in reference]
        return {name: max((own[name] for own in each), key=lambda score: score.f1) for name in NAMES}
    lines, wanted_lines = ([_words(line, stemming) for line in text.split("\n")] for text in (prediction, reference))
    words, wanted = ([word for line in text for word in line] for text in (lines, wanted_lines))
    return {
        "rouge1": _of_sequences(words, wanted, 1),
        "rouge2": _of_sequences(words, wanted, 2),
        "rougeL": _score(_lengths(wanted, words)[-1][-1], len(words), len(wanted)),
        "rougeLsum": _score(_of_lines(lines, wanted_lines), len(words), len(wanted)),
    }


def rouge_scores(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], *, stemming: bool = False
) -> dict[str, float]:
    """Return the mean F1 of each kind: words, pairs of words, longest common sequence, and that of lines.

    >>> rouge_scores(["The cat sat."], ["The cat sat."])
    {'rouge1': 1.0, 'rouge2': 1.0, 'rougeL': 1.0, 'rougeLsum': 1.0}

    Args:
        predictions: summaries.
        references: for each of them a good summary, or several, of which the best match counts.
        stemming: as in `rouge_of`.
    """
    scores = Rouge(stemming=stemming)
    scores.update(predictions, references)
    return scores.compute()


class Rouge:
    """ROUGE of a stream of batches. It keeps one sum for each kind.

    Args:
        stemming: as in `rouge_of`.
    """

    def __init__(self, *, stemming: bool = False) -> None:
        self._stemming, self._count, self._sums = stemming, 0, dict.fromkeys(NAMES, 0.0)

    def update(self, predictions: Sequence[str], references: Sequence[str | Sequence[str]], /) -> None:
        """Add one batch."""
        same_length(predictions, references, "summaries")
        for prediction, reference in zip(predictions, references, strict=True):
            for name, score in rouge_of(prediction, reference, stemming=self._stemming).items():
                self._sums[name] += score.f1
            self._count += 1

    def compute(self) -> dict[str, float]:
        """Return the mean F1 of each kind; 0 without summaries."""
        return {name: value / max(self._count, 1) for name, value in self._sums.items()}


def _words(text: str, stemming: bool) -> list[str]:
    found = re.findall("[a-z0-9]+", text.lower())
    return [_stem()(word) if len(word) > 3 else word for word in found] if stemming else found


@cache
def _stem() -> Callable[[str], str]:
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise MissingExtraError("rouge-score", None, "stemming=True") from error
    stem: Callable[[str], str] = PorterStemmer().stem
    return stem


def _score(shared: int, predicted: int, wanted: int) -> RougeScore:
    """The score of some shared items, of those of the summary and of the reference."""
    precision, recall = shared / max(predicted, 1), shared / max(wanted, 1)
    return RougeScore(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def _of_sequences(words: list[str], wanted: list[str], length: int) -> RougeScore:
    """The score of all sequences of a number of words."""
    first, second = (Counter(zip(*(text[at:] for at in range(length)), strict=False)) for text in (words, wanted))
    return _score((first & second).total(), first.total(), second.total())


def _lengths(first: list[str], second: list[str]) -> list[list[int]]:
    """The length of the longest common sequence of the first i and the first j words, [i][j]."""
    table = [[0] * (len(second) + 1)]
    for word in first:
        above, row = table[-1], [0]
        for j, other in enumerate(second):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
        table.append(row)
    return table


def _common(wanted: list[str], words: list[str]) -> set[int]:
    """The places in `wanted` of the longest common sequence. Of several, the one that rouge-score takes."""
    table, found = _lengths(wanted, words), set()
    i, j = len(wanted), len(words)
    while i and j:
        if wanted[i - 1] == words[j - 1]:
            i, j = i - 1, j - 1
            found.add(i)
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return found


def _of_lines(lines: list[list[str]], wanted: list[list[str]]) -> int:
    """The number of words of the reference that are in a common sequence of its line and any line of the summary.

    A word counts at most as often as the summary has it.
    """
    left, shared = Counter(word for line in lines for word in line), 0
    for line in wanted:
        for place in sorted(set().union(*(_common(line, own) for own in lines))):
            shared += left[line[place]] > 0
            left[line[place]] -= 1
    return shared
