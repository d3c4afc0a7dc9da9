"""How pipelines are called: the arguments, option names and kinds of answers of transformers' pipelines.

A task knows its options by its own names, and examples one by one. All else that a call may have is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from bertkit.errors import UsageError, described
from bertkit.tasks import task_class
from bertkit.tasks.base import TaskOptions

ALIASES = {"stride": "overlap", "doc_stride": "overlap"}
_IDLE = ("padding", "pad_to_multiple_of", "return_tensors", "return_attention_mask", "return_token_type_ids", "verbose")
"""TaskOptions of a tokenizer without effect, as rows are not padded."""


class Calls:
    """The calls of a task."""

    def __init__(self, task: Any) -> None:
        self.task = task  # its class

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """The arguments of a call -> (an example or an iterable of them, whether it is one example).

        Arguments by name that are no options are taken out of `given`.
        """
        name = next((name for name in ("inputs", "text", "texts", "text_inputs") if name in given), None)
        if len(args) + (name is not None) != 1:
            task = self.task
            raise UsageError(f"{task.name} takes one argument and options: {task.takes}, or a list or stream of them.")
        inputs = args[0] if name is None else given.pop(name)
        return inputs, isinstance(inputs, (str, dict))

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """What a call returns: made of the answer to its one example, or of the list of answers to its list."""
        return answers

    def options(self, given: Mapping[str, Any]) -> TaskOptions:
        """The options of a call, checked."""
        options: TaskOptions = self.task.options(self.own(given))
        return options

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises UsageError for a name that no option has."""
        self.task.check(self.own(given))

    def own(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """TaskOptions by the names of the task. None is the default of those that do not take it."""
        values: dict[str, Any] = {}
        for name, value in self.translate(dict(given)).items():
            own = ALIASES.get(name, name)
            if own in values:
                raise UsageError(f"{own} came twice, as {name!r} is another name of it: leave one of them out.")
            values[own] = value
        defaults = {field.name for field in fields(self.task.options_type) if "None" not in str(field.type)}
        return {name: value for name, value in values.items() if value is not None or name not in defaults}

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """TaskOptions of other pipelines and of tokenizers, such as `truncation=True` -> those of the task."""
        found = {name: value for name, value in given.items() if name not in _IDLE}
        if found.pop("truncation", None) not in (False, None, "do_not_truncate"):
            found.setdefault("on_long", "truncate")
        return found


class _FillMask(Calls):
    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """A list of one text gives the answer to that text."""
        return answers[0] if isinstance(inputs, list) and len(inputs) == 1 else answers

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """`tokenizer_kwargs` are valid too, and top_k=None is the default."""
        found = {**super().translate(taken_out("tokenizer_kwargs", given)), **given}
        if found.get("top_k", 0) is None:
            del found["top_k"]
        return found


class _TextClassification(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A text may have its `text_pair` beside it."""
        inputs, one = super().read(args, given)
        if isinstance(inputs, str) and "text_pair" in given:
            return {"text": inputs, "text_pair": given.pop("text_pair")}, True
        return inputs, one

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """One string gives a list, unless `top_k` is among the options of the call, which makes a list already."""
        one = isinstance(inputs, str) or "text_pair" in given
        return [answers] if one and "top_k" not in given else answers

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Functions in capitals are valid too."""
        return _in_small_letters("function_to_apply", super().translate(given))


class _TokenClassification(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A flat list of words is one text in a list."""
        inputs, one = super().read(args, given)
        words = given.get("is_split_into_words") and isinstance(inputs, (list, tuple)) and len(inputs) > 0
        if words and all(isinstance(item, str) for item in inputs):
            inputs = [inputs]
        return inputs, one

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Strategies are valid in capitals, and as the flags `grouped_entities` and `ignore_subwords`. None is the default."""
        strategy = given.get("aggregation_strategy")
        given["aggregation_strategy"] = getattr(strategy, "value", strategy)  # an enumeration of transformers
        grouped, whole = given.pop("grouped_entities", None), given.pop("ignore_subwords", None)
        if grouped is not None or whole is not None:
            given["aggregation_strategy"] = ("first" if whole else "simple") if grouped else "none"
        return _without_none(_in_small_letters("aggregation_strategy", given))


class _QuestionAnswering(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """`question=, context=`, each a text or a list; a dictionary or several; two strings."""
        if not args and "question" in given and "context" in given:
            inputs: Any = _pairs(given.pop("question"), given.pop("context"))
            one = False
        elif len(args) == 2 and all(isinstance(text, str) for text in args):
            return {"question": args[0], "context": args[1]}, True
        elif len(args) > 1:
            return list(args), False
        else:
            inputs, one = super().read((given.pop("data"),) if not args and "data" in given else args, given)
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            return inputs[0], True
        return inputs, one or hasattr(inputs, "question_text")

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """`topk` is `top_k`, padding has no effect, and None is the default."""
        found = _without_none({**given, "padding": None})
        if "topk" in found:
            found.setdefault("top_k", found.pop("topk"))
        return found


class _ZeroShot(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """The labels may be the second argument."""
        if len(args) == 2 and "candidate_labels" not in given:
            given["candidate_labels"] = args[1]
            args = args[:1]
        if "sequences" in given:
            args = (*args, given.pop("sequences"))
        return super().read(args, given)

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """`multi_class` is the older name of `multi_label`."""
        found = super().translate(given)
        if "multi_class" in found:
            found.setdefault("multi_label", bool(found.pop("multi_class")))
        return found


class _MultipleChoice(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A dictionary or several, or a text and its `choices=[...]`."""
        if "choices" in given and len(args) == 1 and isinstance(args[0], str):
            return {"text": args[0], "choices": given.pop("choices")}, True
        return super().read(args, given)


class _TwoTexts(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A dictionary, a pair (a tuple), or several of them; two texts."""
        if len(args) == 2 and all(isinstance(text, str) for text in args):
            return args, True
        inputs, one = super().read(args, given)
        return inputs, one or (isinstance(inputs, tuple) and all(isinstance(text, str) for text in inputs))


class _Features(Calls):
    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """`tokenize_kwargs` are valid too, and `return_tensors` is an option here."""
        tensors = given.pop("return_tensors", None)
        found = super().translate({**taken_out("tokenize_kwargs", given), **given})
        return found if tensors is None else {**found, "return_tensors": tensors}


class _Similarity(_Features):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """A dictionary or several, or a text and a list of others (or one)."""
        if len(args) == 2 and isinstance(args[0], str):
            others = [args[1]] if isinstance(args[1], str) else args[1]
            return {"source_sentence": args[0], "sentences": others}, True
        if not args and "source_sentence" in given:
            return {name: given.pop(name, None) for name in ("source_sentence", "sentences")}, True
        return super().read(args, given)


_OF_TASKS: dict[str, type[Calls]] = {
    "fill-mask": _FillMask,
    "text-classification": _TextClassification,
    "token-classification": _TokenClassification,
    "question-answering": _QuestionAnswering,
    "zero-shot-classification": _ZeroShot,
    "multiple-choice": _MultipleChoice,
    "next-sentence-prediction": _TwoTexts,
    "feature-extraction": _Features,
    "sentence-similarity": _Similarity,
    "pretraining": _TwoTexts,
}
"""Task -> how it is called; the others are called as the base says."""


def calls_of(task: Any) -> Calls:
    """The calls of a task, given by its name or its class."""
    found = task_class(task) if isinstance(task, str) else task
    return _OF_TASKS.get(found.name, Calls)(found)


def options_of(task: Any, given: Mapping[str, Any]) -> TaskOptions:
    """The options of a call, checked. The task is given by its name or its class.

    >>> options_of("ner", {"stride": 3, "aggregation_strategy": "SIMPLE"}).overlap
    3
    """
    return calls_of(task).options(given)


def taken_out(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options in a dictionary of their own, such as `tokenizer_kwargs`. The dictionary is taken out of `given`."""
    found = given.pop(name, None)
    if found is not None and not isinstance(found, Mapping):
        raise UsageError(f"{name}={found!r} is no dictionary of options: leave it out.")
    return dict(found or {})


def _in_small_letters(name: str, given: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given.get(name), str):
        given[name] = given[name].lower()
    return given


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _pairs(questions: Any, contexts: Any) -> list[dict[str, str]]:
    """Questions and contexts side by side; one of either goes with all of the others."""
    count = next((len(texts) for texts in (questions, contexts) if isinstance(texts, (list, tuple))), 1)
    both = [[texts] * count if isinstance(texts, str) else texts for texts in (questions, contexts)]
    if not all(isinstance(texts, (list, tuple)) for texts in both):
        raise UsageError(
            f"question is {described(questions)} and context is {described(contexts)}: type a text or a list of texts for each."
        )
    if len(both[0]) != len(both[1]):
        raise UsageError(
            f"{len(both[0])} questions came with {len(both[1])} contexts: type one for each, or one text for all."
        )
    return [{"question": question, "context": context} for question, context in zip(*both, strict=True)]
