"""Which tokens speak for an answer, and which against it: integrated gradients, and attention times its gradient.

Integrated gradients go from a baseline, in which each word is [PAD], to the text, and add up what each token changes in the
score. The sum over the tokens is therefore the difference of the two scores, up to an error of the integral, which is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError, one_of, received
from bertkit.explain.markup import MARKED
from bertkit.explain.opened import inputs_of, name_of, opened, without_dropout
from bertkit.explain.targets import Score, score_of
from bertkit.explain.view import Explanation
from bertkit.tasks.base import check_integer
from bertkit.terminal import Page, bar, cut, shown, straight
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import Section, escaped, facts, number, paragraph, scrolling
from bertkit.training.report.pictures import BLUE, ORANGE

Method = Literal["integrated-gradients", "attention-gradient"]
METHODS = ("integrated-gradients", "attention-gradient")
_BATCH = 16
"""Points of the path that are computed together."""
_FEWEST, _MOST_STEPS = 32, 1024
"""The points of the path that are tried, each time twice as many, until the error is small. More take long to place."""
_MOST_BARS = 400
"""The tokens of a picture. A page and a terminal show all."""
_SMALL = 0.01
"""The largest error that is small, as a share of the difference of the scores."""


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Explanation):
    """How much each token of a text adds to the score of an answer. L: the number of tokens."""

    model: str
    method: str
    target: str  # what the score is for, such as "the label GOOD"
    tokens: tuple[str, ...]  # [L]
    values: NDArray[np.float64]  # [L]: positive where the token speaks for the target
    score: float  # the logit of the target for the text
    baseline_score: float | None = None  # the same for the baseline; None for a method without one
    steps: int | None = None  # points of the path from the baseline to the text

    @property
    def error(self) -> float | None:
        """How much the sum of the values differs from the difference of the scores; None for a method without a baseline."""
        return (
            None if self.baseline_score is None else abs(float(self.values.sum()) - (self.score - self.baseline_score))
        )

    def _check(self) -> str:
        """The check of completeness, in words."""
        total = f"The values sum to {self.values.sum():.4f}"
        if self.baseline_score is None:
            return f"{total}. This method has no baseline, so its sum is not a difference between two scores."
        difference = self.score - self.baseline_score
        exact = f"{total}, and the score minus that of the baseline is {difference:.4f}: the error is {self.error:.1e}"
        if self.is_complete:
            return f"{exact}."
        advice = f" Pass more steps than {self.steps}." if (self.steps or 0) < _MOST_STEPS else ""
        return f"{exact}, which is much.{advice}"

    @property
    def is_complete(self) -> bool:
        """Whether the values sum to the difference of the scores, with an error of at most 1%."""
        difference = self.score - (self.baseline_score or 0.0)
        return self.error is not None and self.error <= max(_SMALL * abs(difference), 1e-4)

    def _title(self) -> tuple[str, str]:
        return f"What speaks for {self.target}", f"{self.model}, {self.method}: the score (logit) is {self.score:.4f}."

    def _shares(self) -> NDArray[np.float64]:
        """[L]: the values, of which the largest is 1 or -1."""
        shares: NDArray[np.float64] = self.values / max(float(np.abs(self.values).max(initial=0)), 1e-12)
        return shares

    def _lines(self, page: Page) -> list[str]:
        title, about = self._title()
        cells = [
            (cut(shown(token), 24), f"{value:+.4f}", page.paint(bar(abs(share)), "green" if share > 0 else "red"))
            for token, value, share in zip(self.tokens, self.values.tolist(), self._shares().tolist(), strict=True)
        ]
        return [page.paint(shown(title), "bold"), shown(about), *straight(cells, right=[1]), self._check()]

    def _sections(self) -> Sequence[Section]:
        flow = "".join(
            f'<li class="{"minus" if share < 0 else "plus"}" style="--v:{MARKED * abs(share):.0f}">{escaped(token)}'
            f'<span class="hidden"> {value:+.3f}</span></li>'
            for token, value, share in zip(self.tokens, self.values.tolist(), self._shares().tolist(), strict=True)
        )
        legend = paragraph("Blue tokens speak for it, orange ones against it.", "muted")
        rows = [
            ("steps", self.steps),
            ("score", self.score),
            ("score of the baseline", self.baseline_score),
            ("sum of the values", float(self.values.sum())),
        ]
        return [
            Section("text", "Text", f'{legend}<ol class="flow" aria-label="tokens with their values">{flow}</ol>'),
            Section("values", "Values", self._bars()),
            Section(
                "check",
                "Check",
                paragraph(self._check()) + facts((name, value) for name, value in rows if value is not None),
            ),
        ]

    def _bars(self) -> str:
        rows = "".join(
            f'<tr><td dir="auto">{escaped(token)}</td><td class="number">{number(value)}</td><td><span class="bar '
            f'{"orange" if share < 0 else "blue"}" style="width:{8 * abs(share):.2f}rem"></span></td></tr>'
            for token, value, share in zip(self.tokens, self.values.tolist(), self._shares().tolist(), strict=True)
        )
        names = (("token", ""), ("value", ' class="number"'), ("size", ""))
        head = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in names)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return scrolling(table, "values")

    def _size(self) -> tuple[float, float]:
        return 5.0, 1.0 + 0.2 * min(len(self.tokens), _MOST_BARS)

    def _draw(self, figure: Any) -> None:
        axes, tokens, values = figure.subplots(), self.tokens[:_MOST_BARS], self.values[:_MOST_BARS]
        axes.barh(range(len(tokens)), values, color=[BLUE if value >= 0 else ORANGE for value in values])
        axes.set_yticks(range(len(tokens)), [shortened(token, 20) for token in tokens], fontsize=8)
        axes.set_ylim(len(tokens) - 0.4, -0.6)
        left_out = len(self.tokens) - len(tokens)
        more = f" {left_out:,} more tokens are not drawn." if left_out else ""
        axes.set_xlabel(fill(self._check() + more, 70), fontsize=7)
        axes.set_title(shortened(self._title()[0], 60), loc="left", fontsize=9)


def attribution(
    model: Any,
    text: str,
    pair: str | None = None,
    *,
    target: str | None = None,
    method: Method = "integrated-gradients",
    steps: int | None = None,
    baseline: str | None = None,
    tokenizer: Any = None,
) -> Attribution:
    """Show which tokens speak for a label, for an answer in a text, or for a word at [MASK], and which against it.

    "integrated-gradients" are those of the word embedding, from a baseline to the text. "attention-gradient" is the sum, over
    layers, heads and tokens that attend, of each attention weight times the gradient of the score by it.

    >>> from bertkit import BertConfig, BertForSequenceClassification, BertTokenizerFast
    >>> words = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"])
    >>> model = BertForSequenceClassification(BertConfig.named("tiny", vocab_size=7)).eval()
    >>> found = attribution(model, "good film", target="LABEL_1", tokenizer=words)
    >>> found.tokens, found.target, found.is_complete
    (('[CLS]', 'good', 'film', '[SEP]'), 'the label LABEL_1', True)

    Args:
        model: a folder, a Hub id, a built-in model, a PyTorch model, or a pipeline: one that classifies texts, answers
            questions, or fills masks.
        text: the text. For an answer, the question; for a word, a text with [MASK], of which the first counts.
        pair: the second text. For an answer, the text with the answer.
        target: the label, the answer as it is in the text, or the word; None: the one with the best score.
        method: "integrated-gradients" or "attention-gradient".
        steps: points of the path from the baseline to the text, at most 1,024. More are more exact; None: 32, or twice as many
            until the values sum to the difference of the scores with an error of at most 1%.
        baseline: the token that stands for each word in the baseline; None: that of padding.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
    """
    one_of("method", method, METHODS)
    check_integer("steps", steps, least=1, none=True)
    if steps is not None and steps > _MOST_STEPS:
        raise UsageError(received("steps", steps), f" is more than {_MOST_STEPS:,}: type fewer, or leave it out.")
    for option, value in (("baseline", baseline), ("steps", steps)):
        if value is not None and method == "attention-gradient":
            raise UsageError(f"attention-gradient has no {option}: leave ", Setting(option, value), " out.")
    found, words = opened(model, tokenizer)
    import torch

    tensors, tokens = inputs_of(found, words, text, pair)
    name = name_of(found)
    with without_dropout(found), torch.enable_grad():
        what, score = score_of(found, words, tensors, (text, pair), target)
        if method == "attention-gradient":
            values, own = _attention_gradient(found, tensors, score)
            return Attribution(name, method, what, tuple(tokens), values, own)
        start = _baseline(words, tensors["input_ids"], baseline)
        count = _FEWEST if steps is None else steps
        while True:
            values, own, first = _integrated(found, tensors, start, score, count)
            made = Attribution(name, method, what, tuple(tokens), values, own, first, count)
            if steps is not None or made.is_complete or count >= _MOST_STEPS:
                return made
            count *= 2


def _baseline(tokenizer: Any, ids: Any, token: str | None) -> Any:
    """[1, L]: the ids with another token in place of each that is not special, and of [UNK], which stands for a word."""
    import torch

    id_ = tokenizer.pad_token_id if token is None else tokenizer.vocab.get(token)
    if id_ is None:
        raise UsageError(
            received("baseline", token), ' is not in the vocabulary: type one of its tokens, such as "[MASK]".'
        )
    kept = [special for special in tokenizer.all_special_ids if special != tokenizer.unk_token_id]
    special = torch.tensor(kept, device=ids.device)
    return torch.where(torch.isin(ids, special), ids, id_)


def _integrated(
    model: Any, tensors: Any, baseline: Any, score: Score, steps: int
) -> tuple[NDArray[np.float64], float, float]:
    """Return the integrated gradients [L], and the scores of the text and of the baseline.

    The integral is that of Gauss and Legendre, which is exact for polynomials of the degree 2 * steps - 1.
    """
    import torch

    nodes, weights = np.polynomial.legendre.leggauss(steps)
    forward = _forward(model, tensors)
    with torch.no_grad():
        embed = model.get_input_embeddings()
        end, start = embed(tensors["input_ids"]), embed(baseline)  # [1, L, H]
        own, first = (float(score(forward(point))[0]) for point in (end, start))
    total = torch.zeros_like(end)
    for at in range(0, steps, _BATCH):
        shares, sizes = (
            torch.tensor(values[at : at + _BATCH], dtype=end.dtype, device=end.device)[:, None, None]
            for values in ((1 + nodes) / 2, weights / 2)
        )
        points = (start + shares * (end - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(forward(points)).sum(), points)
        total += (sizes * gradient).sum(0, keepdim=True)
    return ((end - start) * total).double().sum(-1)[0].cpu().numpy(), own, first


def _attention_gradient(model: Any, tensors: Any, score: Score) -> tuple[NDArray[np.float64], float]:
    """Return the attention weights times their gradients, by the token that is attended to [L], and the score of the text."""
    import torch

    points = model.get_input_embeddings()(tensors["input_ids"]).detach().requires_grad_()
    output = _forward(model, tensors)(points, output_attentions=True)
    own = score(output)[0]
    gradients = torch.autograd.grad(own, output.attentions)
    products = [
        (weights * gradient)[0].double().sum((0, 1))
        for weights, gradient in zip(output.attentions, gradients, strict=True)
    ]
    return torch.stack(products).sum(0).detach().cpu().numpy(), float(own.detach())


def _forward(model: Any, tensors: Any) -> Callable[..., Any]:
    """A function of word embeddings [n, L, H], which all have the token types of the text."""
    types = tensors.get("token_type_ids")

    def run(points: Any, **options: Any) -> Any:
        own = {} if types is None else {"token_type_ids": types.expand(len(points), -1)}
        return model(inputs_embeds=points, return_dict=True, **own, **options)

    return run
