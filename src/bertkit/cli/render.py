"""Answers as text for a terminal: aligned tables with bars, entities in colours, answers marked in their context."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertkit.terminal import BAR, Page, bar, cut, shown, straight

_AROUND = 100
"""The number of characters of the context to show on each side of an answer."""
_ENTITY_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")


def render(task: str, example: Any, answer: Any, page: Page) -> list[str]:
    r"""The lines for an example and its answer.

    >>> print("\n".join(render("fill-mask", "A [MASK].", [{"score": 0.75, "token_str": "plant"}], Page())))
    A [MASK].
      plant  0.7500  ███████████████
    """
    if isinstance(answer, Mapping) and "result" in answer:  # the form of --details
        details = ", ".join(f"{name} {value}" for name, value in answer.items() if name != "result")
        return [*render(task, example, answer["result"], page), page.paint(f"  {details}", "dim")]
    return _RENDERERS[task](example, answer, page)


def _text(example: Any, page: Page) -> str:
    """The texts of an example in one line."""
    if isinstance(example, Mapping):
        texts = [text for text in example.values() if isinstance(text, str)]
    elif isinstance(example, (list, tuple)):
        texts = [" ".join(map(str, example))]
    else:
        texts = [str(example)]
    return page.paint(cut(" | ".join(texts), page.columns), "bold")


def _bars(rows: Sequence[tuple[str, float]], page: Page, widest: float = 1.0) -> list[str]:
    """Aligned lines of names, scores and bars."""
    room = max(page.columns - BAR - 14, 12)
    cells = [
        (cut(name, room), _number(score), page.paint(bar(score / widest if widest else 0.0), "green"))
        for name, score in rows
    ]
    return straight(cells, right=[1])


def _number(score: float) -> str:
    return f"{score:.4f}" if score == 0 or abs(score) >= 0.00005 else f"{score:.0e}"


def _fillings(example: Any, answer: Any, page: Page) -> list[str]:
    lists = answer if isinstance(answer[0], list) else [answer]
    lines = [_text(example, page)]
    for number, fillings in enumerate(lists, start=1):
        if len(lists) > 1:
            lines.append(page.paint(f"  mask {number}", "dim"))
        lines += _bars([(_word(one["token_str"]), one["score"]) for one in fillings], page)
    return lines


def _word(given: Any) -> str:
    return given if isinstance(given, str) else " … ".join(given)


def _labels(example: Any, answer: Any, page: Page) -> list[str]:
    found = answer if isinstance(answer, list) else [answer]
    if not found:
        return [_text(example, page), page.paint("  no label with a score above its threshold", "dim")]
    widest = max(1.0, *(one["score"] for one in found))  # scores without softmax may be above 1
    return [_text(example, page), *_bars([(one["label"], one["score"]) for one in found], page, widest)]


def _zero_shot(example: Any, answer: Any, page: Page) -> list[str]:
    rows = list(zip(answer["labels"], answer["scores"], strict=True))
    return [page.paint(cut(answer["sequence"], page.columns), "bold"), *_bars(rows, page)]


def _choices(example: Any, answer: Any, page: Page) -> list[str]:
    text = next(value for value in example.values() if isinstance(value, str))
    return [_text(text, page), *_bars([(one["choice"], one["score"]) for one in answer], page)]


def _near(example: Any, answer: Any, page: Page) -> list[str]:
    """Lines of sentences, the most similar first. A negative similarity has no bar."""
    if isinstance(example, Mapping):
        source, sentences = example["source_sentence"], example["sentences"]
    else:
        source, sentences = example[0], [example[1]]
    rows = sorted(zip(sentences, answer, strict=True), key=lambda row: -row[1])
    cells = [
        (_number(score), page.paint(f"{bar(score):<{BAR}}", "green"), cut(text, page.columns - BAR - 12))
        for text, score in rows
    ]
    return [_text(source, page), *straight(cells, right=[0])]


def _entities(example: Any, answer: Any, page: Page) -> list[str]:
    names = [_kind(one) for one in answer]
    colours = {name: _ENTITY_COLOURS[n % len(_ENTITY_COLOURS)] for n, name in enumerate(sorted(set(names)))}
    lines = [_painted(example, answer, colours, page) if isinstance(example, (str, Mapping)) else _text(example, page)]
    if not answer:
        return [*lines, page.paint("  no entities found", "dim")]
    cells = [
        (page.paint(name, colours[name]), shown(one["word"]), _number(one["score"]), f"{one['start']}-{one['end']}")
        for name, one in zip(names, answer, strict=True)
    ]
    return [*lines, *straight(cells, right=[2])]


def _kind(one: Mapping[str, Any]) -> str:
    """The name of an entity, without B- and I-."""
    name = str(one.get("entity_group", one.get("entity")))
    return name[2:] if name[:2] in ("B-", "I-", "E-", "S-") else name


def _painted(example: Any, answer: Any, colours: Mapping[str, str], page: Page) -> str:
    """A text with its entities in colours."""
    text = example if isinstance(example, str) else example["text"]
    parts, at = [], 0
    for one in sorted(answer, key=lambda one: int(one["start"])):
        if one["start"] >= at and (name := _kind(one)) != "O":
            parts += [shown(text[at : one["start"]]), page.paint(shown(text[one["start"] : one["end"]]), colours[name])]
            at = one["end"]
    return "".join([*parts, shown(text[at:])])


def _answers(example: Any, answer: Any, page: Page) -> list[str]:
    found = answer if isinstance(answer, list) else [answer]
    context = example["context"]
    lines = [page.paint(shown(example["question"]), "bold")]
    for one in found:
        if not one["answer"]:
            lines.append(f"  {_number(one['score'])}  no answer")
            continue
        start, end = one["start"], one["end"]
        before = ("…" if start > _AROUND else "") + context[max(start - _AROUND, 0) : start]
        after = context[end : end + _AROUND] + ("…" if end + _AROUND < len(context) else "")
        lines.append(f"  {_number(one['score'])}  {shown(before)}{_marked(context[start:end], page)}{shown(after)}")
    return lines


def _marked(text: str, page: Page) -> str:
    return page.paint(shown(text), "marked") if page.colours else f">>{shown(text)}<<"


def _vector(example: Any, answer: Any, page: Page) -> list[str]:
    if answer and isinstance(answer[0], list):
        shape = f"{len(answer[0])} tokens, {len(answer[0][0])} numbers each"
        return [_text(example, page), f"  {shape}"]
    length = math.sqrt(sum(number * number for number in answer))
    first = "  ".join(f"{number:.4f}" for number in answer[:4])
    return [_text(example, page), f"  {len(answer)} numbers, length {length:.4f}:  {first}  …"]


def _score(example: Any, answer: Any, page: Page) -> list[str]:
    count = f"{answer['n_tokens']} token" + "s" * (answer["n_tokens"] != 1)
    summary = f"  perplexity {answer['perplexity']:,.2f}, log-likelihood {answer['log_likelihood']:.2f}, {count}"
    rows = [(one["token"], math.exp(one["log_prob"])) for one in answer.get("tokens", ())]
    return [_text(example, page), summary, *(_bars(rows, page) if rows else [])]


def _written(example: Any, answer: Any, page: Page) -> list[str]:
    return [_text(example, page), *(f"  {shown(text)}" for one in answer for text in one.values())]


_RENDERERS: dict[str, Callable[[Any, Any, Page], list[str]]] = {
    "fill-mask": _fillings,
    "text-classification": _labels,
    "token-classification": _entities,
    "question-answering": _answers,
    "zero-shot-classification": _zero_shot,
    "multiple-choice": _choices,
    "next-sentence-prediction": _labels,
    "feature-extraction": _vector,
    "sentence-similarity": _near,
    "sentence-scoring": _score,
    "text-generation": _written,
    "text2text-generation": _written,
    "summarization": _written,
}
