"""The commands for one task each, such as `bertkit fill-mask`. Texts are on the command line, in a file or on stdin."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from bertkit.cli.job import Combination, answer, print_message
from bertkit.cli.shared import Shared
from bertkit.cli.signature import check_utf8
from bertkit.errors import BertkitError, UsageError

Merge = Literal["mean", "max", "first", "vote"]
Pooling = Literal["auto", "cls", "mean", "max", "pooler"]
_POOLING = (
    "how to combine the vectors of the tokens; auto: as the model's sentence-transformers files specify, else mean"
)
_PROMPT, _PROMPT_NAME = "text to put before each text", "name of a prompt in the model's files, such as query"
_TEXTS = "texts (default: the lines of stdin)"
_MERGE = "how to combine the results of a long text's windows"


def fill_mask(
    texts: Annotated[list[str], "texts with [MASK] (default: the lines of stdin)"] = [],  # noqa: B006
    *,
    top_k: Annotated[int, "number of predictions to show"] = 5,
    targets: Annotated[str | None, "score only these words, for example good,bad"] = None,
    joint: Annotated[bool, "find the best combination of words for several masks"] = False,
    shared: Shared,
) -> int:
    """Predict the words at [MASK] in a text."""
    options = {"top_k": top_k, "targets": _names(targets), "joint": joint or None}
    return answer("fill-mask", shared, options, checked_texts(texts))


def classify(
    texts: Annotated[list[str], _TEXTS] = [],  # noqa: B006
    *,
    pair: Annotated[str | None, "second text of a pair, for a model trained on pairs"] = None,
    top_k: Annotated[int | None, "number of labels (default: 1, or 10 on a terminal)"] = None,
    function_to_apply: Annotated[
        Literal["sigmoid", "softmax", "none"] | None,
        "function from logits to scores (default: from the model's configuration)",
    ] = None,
    threshold: Annotated[
        str | None, "show all labels with higher scores; auto: the thresholds that are stored with the model, else 0.5"
    ] = None,
    merge: Annotated[Merge | None, _MERGE] = None,
    shared: Shared,
) -> int:
    """Predict the label of a text or of a pair of texts."""
    given: Sequence[Any] = checked_texts(texts)
    if pair is not None:
        if len(given) != 1:
            raise UsageError(f"--pair needs one text, not {len(given)}: type one text and --pair with the second text.")
        given = [{"text": given[0], "text_pair": pair}]
    options = {
        "top_k": top_k,
        "function_to_apply": function_to_apply,
        "merge": merge,
        "threshold": None if threshold is None else _threshold(threshold),
    }
    if top_k is None and threshold is None and _shows_tables(shared):
        options["top_k"] = 10
    return answer("text-classification", shared, options, given)


def ner(
    texts: Annotated[list[str], _TEXTS] = [],  # noqa: B006
    *,
    strategy: Annotated[
        Literal["none", "simple", "first", "average", "max", "words"],
        "how to group tokens into words, and words into entities",
    ] = "simple",
    constrained: Annotated[bool, "predict only label sequences that the BIO or BIOES scheme allows"] = False,
    is_split_into_words: Annotated[bool, "each input text is a list of words"] = False,
    shared: Shared,
) -> int:
    """Find names in a text, or other entities that the model has labels for."""
    options = {
        "aggregation_strategy": strategy,
        "constrained": constrained or None,
        "is_split_into_words": is_split_into_words or None,
        "word_from": "text",
    }
    return answer("token-classification", shared, options, checked_texts(texts))


def qa(
    *,
    question: Annotated[str | None, "the question; without --context, it is answered from each input text"] = None,
    context: Annotated[str | None, "the text that contains the answer"] = None,
    top_k: Annotated[int, "number of answers"] = 1,
    max_answer_len: Annotated[int, "maximum tokens of an answer"] = 15,
    max_question_len: Annotated[int | None, "tokens after which the question is cut (default: 64)"] = None,
    impossible: Annotated[bool, "allow that the text has no answer"] = False,
    shared: Shared,
) -> int:
    """Find the answer to a question in a text. Each line of stdin is a question, a tab and a text."""
    options = {
        "top_k": top_k,
        "max_answer_len": max_answer_len,
        "max_question_len": max_question_len,
        "handle_impossible_answer": impossible or None,
    }
    if context is not None and question is None:
        raise UsageError("--context needs a question: type --question.")
    given = [] if context is None else [{"question": question, "context": context}]

    def combine(example: Any) -> Any:
        return example if isinstance(example, BertkitError) else {"question": question, "context": _text(example)}

    if question is None:
        return answer("question-answering", shared, options)
    return answer("question-answering", shared, options, given, Combination(combine, "context", question, "--context"))


def embed(
    texts: Annotated[list[str], _TEXTS] = [],  # noqa: B006
    *,
    pooling: Annotated[Literal["auto", "cls", "mean", "max", "pooler", "none"], _POOLING] = "auto",
    normalize: Annotated[
        bool | None, "scale vectors to length 1 (default: with --pooling auto as the files specify, else yes)"
    ] = None,
    layers: Annotated[str, "hidden layers to use: -1 is the last; several: --layers=-4,-3,-2,-1"] = "-1",
    combine: Annotated[Literal["concat", "mean", "sum"], "how to combine several layers"] = "concat",
    prompt: Annotated[str | None, _PROMPT] = None,
    prompt_name: Annotated[str | None, _PROMPT_NAME] = None,
    output_dtype: Annotated[
        Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"],
        "type of the numbers in --output: float32, float16, int8, uint8, binary, ubinary",
    ] = "float32",
    shared: Shared,
) -> int:
    """Compute a vector (an embedding) for each text."""
    options = {
        "pooling": None if pooling == "none" else pooling,
        "normalize": "auto" if normalize is None else normalize,
        "layers": _layers(layers),
        "combine": combine,
        "prompt": prompt,
        "prompt_name": prompt_name,
    }
    return answer("feature-extraction", shared, options, checked_texts(texts), output_dtype=output_dtype)


def similarity(
    texts: Annotated[list[str], "a text and others to compare it with; without others, they are read from stdin"] = [],  # noqa: B006
    *,
    pooling: Annotated[Pooling, _POOLING] = "auto",
    measure: Annotated[
        Literal["cosine", "dot", "euclidean", "manhattan"] | None,
        "similarity of two vectors (default: as the model's files specify, else cosine)",
    ] = None,
    prompt: Annotated[str | None, _PROMPT] = None,
    prompt_name: Annotated[str | None, _PROMPT_NAME] = None,
    shared: Shared,
) -> int:
    """Compare a text with other texts by the similarity of their vectors."""
    options = {
        "pooling": pooling,
        "similarity_fn_name": measure,
        "prompt": prompt,
        "prompt_name": prompt_name,
    }
    found = checked_texts(texts)
    given = [{"source_sentence": found[0], "sentences": found[1:]}] if len(found) > 1 else []

    def combine(example: Any) -> Any:
        if isinstance(example, BertkitError):
            return example
        return {"source_sentence": found[0], "sentences": [_text(example)]}

    if not found:
        return answer("sentence-similarity", shared, options)
    pair = Combination(combine, "text", found[0], "further texts")
    return answer("sentence-similarity", shared, options, given, pair)


def nsp(
    texts: Annotated[list[str], "two texts (default: the lines of stdin, with a tab between two texts)"] = [],  # noqa: B006
    *,
    top_k: Annotated[int, "1: only the more likely label; 2: both"] = 1,
    merge: Annotated[Merge, _MERGE] = "mean",
    shared: Shared,
) -> int:
    """Predict whether a second text follows a first one."""
    found = checked_texts(texts)
    if len(found) not in (0, 2):
        raise UsageError(f"nsp takes two texts, not {len(found)}: type each in quotes.")
    given = [{"text": found[0], "text_pair": found[1]}] if found else []
    options = {"top_k": 2 if _shows_tables(shared) else top_k, "merge": merge}
    return answer("next-sentence-prediction", shared, options, given)


def choose(
    texts: Annotated[list[str], "a text and its choices (default: the lines of stdin, with tabs between them)"] = [],  # noqa: B006
    *,
    top_k: Annotated[int | None, "number of choices to show (default: all)"] = None,
    shared: Shared,
) -> int:
    """Choose which of several texts best fits a first one."""
    found = checked_texts(texts)
    if len(found) == 1:
        raise UsageError("choose needs a text and its choices, not one text: type the choices after it.")
    given = [{"text": found[0], "choices": found[1:]}] if found else []
    return answer("multiple-choice", shared, {"top_k": top_k}, given)


def zero_shot(
    texts: Annotated[list[str], _TEXTS] = [],  # noqa: B006
    *,
    labels: Annotated[str | None, "labels to choose from, for example politics,sports"] = None,
    template: Annotated[str, "sentence to make from each label, which replaces {}"] = "This example is {}.",
    multi_label: Annotated[bool, "score each label independently, as several may be true"] = False,
    shared: Shared,
) -> int:
    """Classify texts with labels of your choice, by a model for natural language inference."""
    shared.check("zero-shot-classification")
    names, given = _names(labels), checked_texts(texts)
    if not names:
        raise UsageError("zero-shot needs labels to choose from: type --labels politics,sports")
    if len(names) == 1 and len(given) > 1:
        advice = f"For several labels, type --labels {names[0]},{given[-1]}"
        print_message(f"received {len(given)} texts and one label. {advice}")
    options = {"candidate_labels": names, "hypothesis_template": template, "multi_label": multi_label}
    return answer("zero-shot-classification", shared, options, given)


def score(
    texts: Annotated[list[str], _TEXTS] = [],  # noqa: B006
    *,
    tokens: Annotated[bool, "also show the score of each token"] = False,
    whole_words: Annotated[bool, "together with a piece of a word, mask the pieces after it"] = False,
    shared: Shared,
) -> int:
    """Compute how likely a text is according to a language model."""
    return answer("sentence-scoring", shared, {"tokens": tokens, "whole_words": whole_words}, checked_texts(texts))


def _text(example: Any) -> Any:
    """The only text of an example."""
    return next(iter(example.values()), None) if isinstance(example, Mapping) else example


def checked_texts(texts: Sequence[str]) -> list[str]:
    """The texts on the command line; none if they are only `-`. Raises UsageError for an empty text."""
    if list(texts) == ["-"]:
        return []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise UsageError(f"Text {number} of {len(texts)} is empty: type a text in quotes.")
        check_utf8(text)
    return list(texts)


def _names(given: str | None) -> list[str] | None:
    """The words of a comma-separated list."""
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


def _threshold(given: str) -> float | str:
    try:
        return given if given == "auto" else float(given)
    except ValueError as error:
        raise UsageError(f"--threshold {given!r} is invalid: type a number, as in --threshold 0.5, or auto") from error


def _layers(given: str) -> int | list[int]:
    try:
        found = [int(number) for number in given.split(",")]
    except ValueError as error:
        raise UsageError(f"--layers {given!r} is invalid: type numbers, as in --layers=-4,-3,-2,-1") from error
    return found[0] if len(found) == 1 else found


def _shows_tables(shared: Shared) -> bool:
    return shared.output is None and not shared.json and sys.stdout.isatty()
