"""The short commands: one a task, with texts on the command line, in a file or in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from bertkit.cli.job import Each, answer, say
from bertkit.cli.shared import Shared
from bertkit.cli.signature import check_utf8
from bertkit.errors import BertkitError, UsageError

Merge = Literal["mean", "max", "first", "vote"]
Pooling = Literal["auto", "cls", "mean", "max", "pooler"]
_POOLING = "of tokens to a vector; auto: as the files of sentence-transformers say, or mean without such files"
_PROMPT, _PROMPT_NAME = "stands before each text", "the name of a prompt in the files, such as query"


def fill_mask(
    texts: Annotated[list[str], "texts with [MASK]; none: the lines of stdin"] = [],  # noqa: B006
    *,
    top_k: Annotated[int, "so many fillings"] = 5,
    targets: Annotated[str | None, "the only words to choose from: good,bad"] = None,
    joint: Annotated[bool, "fill several masks together"] = False,
    shared: Shared,
) -> int:
    """Tell which words may stand where a text has [MASK]."""
    options = {"top_k": top_k, "targets": _names(targets), "joint": joint or None}
    return answer("fill-mask", shared, options, _given(texts))


def classify(
    texts: Annotated[list[str], "texts; none: the lines of stdin"] = [],  # noqa: B006
    *,
    pair: Annotated[str | None, "a second text, for a model of pairs"] = None,
    top_k: Annotated[int | None, "so many labels (default: the best; for people all)"] = None,
    function_to_apply: Annotated[
        Literal["sigmoid", "softmax", "none"] | None, "what makes scores (default: as the model tells)"
    ] = None,
    merge: Annotated[Merge | None, "how windows become one"] = None,
    shared: Shared,
) -> int:
    """Tell the label of a text, or of a pair of texts."""
    given: Sequence[Any] = _given(texts)
    if pair is not None:
        if len(given) != 1:
            raise UsageError("--pair goes with one text: type both.")
        given = [{"text": given[0], "text_pair": pair}]
    options = {"top_k": top_k, "function_to_apply": function_to_apply, "merge": merge}
    if top_k is None and _for_people(shared):
        options["top_k"] = 10
    return answer("text-classification", shared, options, given)


def ner(
    texts: Annotated[list[str], "texts; none: the lines of stdin"] = [],  # noqa: B006
    *,
    strategy: Annotated[
        Literal["none", "simple", "first", "average", "max", "words"], "how tokens become words and words entities"
    ] = "simple",
    constrained: Annotated[bool, "only sequences of labels that BIO or BIOES allows"] = False,
    is_split_into_words: Annotated[bool, "each text of the input is a list of words"] = False,
    shared: Shared,
) -> int:
    """Find names in a text, or what else the model labels words with."""
    options = {
        "aggregation_strategy": strategy,
        "constrained": constrained or None,
        "is_split_into_words": is_split_into_words or None,
        "word_from": "text",
    }
    return answer("token-classification", shared, options, _given(texts))


def qa(
    *,
    question: Annotated[str | None, "a question; without --context about each text of the input"] = None,
    context: Annotated[str | None, "the text with the answer"] = None,
    top_k: Annotated[int, "so many answers"] = 1,
    max_answer_len: Annotated[int, "tokens of an answer"] = 15,
    max_question_len: Annotated[int | None, "tokens of the question that are read (default: 64)"] = None,
    impossible: Annotated[bool, "the text may have no answer"] = False,
    shared: Shared,
) -> int:
    """Find the answer to a question in a text. A line of stdin is a question, a tab and a text."""
    options = {
        "top_k": top_k,
        "max_answer_len": max_answer_len,
        "max_question_len": max_question_len,
        "handle_impossible_answer": impossible or None,
    }
    if context is not None and question is None:
        raise UsageError("--context needs a question: type --question.")
    given = [] if context is None else [{"question": question, "context": context}]

    def asked(example: Any) -> Any:
        return example if isinstance(example, BertkitError) else {"question": question, "context": _text(example)}

    if question is None:
        return answer("question-answering", shared, options)
    return answer("question-answering", shared, options, given, Each(asked, "context", question, "--context"))


def embed(
    texts: Annotated[list[str], "texts; none: the lines of stdin"] = [],  # noqa: B006
    *,
    pooling: Annotated[Literal["auto", "cls", "mean", "max", "pooler", "none"], _POOLING] = "auto",
    normalize: Annotated[bool | None, "vectors of length 1 (default: with auto as such files say, else yes)"] = None,
    layers: Annotated[str, "which: -1 is the last, or several: --layers=-4,-3,-2,-1"] = "-1",
    combine: Annotated[Literal["concat", "mean", "sum"], "what is done with several layers"] = "concat",
    prompt: Annotated[str | None, _PROMPT] = None,
    prompt_name: Annotated[str | None, _PROMPT_NAME] = None,
    shared: Shared,
) -> int:
    """Turn each text into a vector."""
    options = {
        "pooling": None if pooling == "none" else pooling,
        "normalize": "auto" if normalize is None else normalize,
        "layers": _layers(layers),
        "combine": combine,
        "prompt": prompt,
        "prompt_name": prompt_name,
    }
    return answer("feature-extraction", shared, options, _given(texts))


def similarity(
    texts: Annotated[list[str], "a text, and those to compare it with; only one: those are read from stdin"] = [],  # noqa: B006
    *,
    pooling: Annotated[Pooling, _POOLING] = "auto",
    measure: Annotated[
        Literal["cosine", "dot", "euclidean", "manhattan"] | None,
        "of two vectors (default: as the files say, or cosine)",
    ] = None,
    prompt: Annotated[str | None, _PROMPT] = None,
    prompt_name: Annotated[str | None, _PROMPT_NAME] = None,
    shared: Shared,
) -> int:
    """Tell how near texts are to a first one, by their vectors."""
    options = {
        "pooling": pooling,
        "similarity_fn_name": measure,
        "prompt": prompt,
        "prompt_name": prompt_name,
    }
    found = _given(texts)
    given = [{"source_sentence": found[0], "sentences": found[1:]}] if len(found) > 1 else []

    def compared(example: Any) -> Any:
        if isinstance(example, BertkitError):
            return example
        return {"source_sentence": found[0], "sentences": [_text(example)]}

    if not found:
        return answer("sentence-similarity", shared, options)
    return answer("sentence-similarity", shared, options, given, Each(compared, "text", found[0], "further texts"))


def nsp(
    texts: Annotated[list[str], "two texts; none: lines of stdin, with a tab between the two"] = [],  # noqa: B006
    *,
    top_k: Annotated[int, "1: the better label, 2: both"] = 1,
    merge: Annotated[Merge, "how windows become one"] = "mean",
    shared: Shared,
) -> int:
    """Tell whether a second text goes on where a first one ends."""
    found = _given(texts)
    if len(found) not in (0, 2):
        raise UsageError(f"nsp takes two texts, not {len(found)}: type each in quotes.")
    given = [{"text": found[0], "text_pair": found[1]}] if found else []
    options = {"top_k": 2 if _for_people(shared) else top_k, "merge": merge}
    return answer("next-sentence-prediction", shared, options, given)


def choose(
    texts: Annotated[list[str], "a text and its choices; none: lines of stdin, with tabs between them"] = [],  # noqa: B006
    *,
    top_k: Annotated[int | None, "so many choices (default: all)"] = None,
    shared: Shared,
) -> int:
    """Tell which of several texts goes best with a first one."""
    found = _given(texts)
    if len(found) == 1:
        raise UsageError("choose takes a text and its choices, not one text: type the choices after it.")
    given = [{"text": found[0], "choices": found[1:]}] if found else []
    return answer("multiple-choice", shared, {"top_k": top_k}, given)


def zero_shot(
    texts: Annotated[list[str], "texts; none: the lines of stdin"] = [],  # noqa: B006
    *,
    labels: Annotated[str | None, "what to choose from: politics,sports"] = None,
    template: Annotated[str, "the sentence that a label makes"] = "This example is {}.",
    multi_label: Annotated[bool, "several labels may hold, each with a score of its own"] = False,
    shared: Shared,
) -> int:
    """Tell which of your labels a text has, by a model that tells what follows from it."""
    shared.check("zero-shot-classification")
    names, given = _names(labels), _given(texts)
    if not names:
        raise UsageError("zero-shot needs labels to choose from: type --labels politics,sports")
    if len(names) == 1 and len(given) > 1:
        say(f"there are {len(given)} texts and one label. For several labels type --labels {names[0]},{given[-1]}")
    options = {"candidate_labels": names, "hypothesis_template": template, "multi_label": multi_label}
    return answer("zero-shot-classification", shared, options, given)


def score(
    texts: Annotated[list[str], "texts; none: the lines of stdin"] = [],  # noqa: B006
    *,
    tokens: Annotated[bool, "the score of every token too"] = False,
    whole_words: Annotated[bool, "mask the later pieces of a word with the earlier ones"] = False,
    shared: Shared,
) -> int:
    """Tell how natural a masked language model finds a text."""
    return answer("sentence-scoring", shared, {"tokens": tokens, "whole_words": whole_words}, _given(texts))


def _text(example: Any) -> Any:
    """The text of an example that has one column."""
    return next(iter(example.values()), None) if isinstance(example, Mapping) else example


def _given(texts: Sequence[str]) -> list[str]:
    """The texts of a command line, none of them empty; - stands for no texts."""
    if list(texts) == ["-"]:
        return []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise UsageError(f"Text {number} of {len(texts)} is empty: type one, in quotes.")
        check_utf8(text)
    return list(texts)


def _names(given: str | None) -> list[str] | None:
    """Words with commas between them."""
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


def _layers(given: str) -> int | list[int]:
    try:
        found = [int(number) for number in given.split(",")]
    except ValueError as error:
        raise UsageError(f"--layers {given!r} is no number or several: type --layers=-4,-3,-2,-1") from error
    return found[0] if len(found) == 1 else found


def _for_people(shared: Shared) -> bool:
    return shared.output is None and not shared.json and sys.stdout.isatty()
