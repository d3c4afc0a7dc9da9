"""The calling conventions of transformers' pipelines: arguments, names of options, forms of answers.

A task takes single examples, and options by bertkit's names. The classes here convert calls to these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from bertkit.errors import UsageError, described
from bertkit.search.settings import NEUTRAL, GenerationConfig
from bertkit.tasks import task_class
from bertkit.tasks.base import TaskOptions
from bertkit.tasks.writing import SETTINGS

ALIASES = {"stride": "overlap", "doc_stride": "overlap"}
_IDLE = ("padding", "pad_to_multiple_of", "return_tensors", "return_attention_mask", "return_token_type_ids", "verbose")
"""Options of a tokenizer that have no effect here, as rows are not padded."""


class Calls:
    """The calling convention of a task."""

    def __init__(self, task: Any) -> None:
        self.task = task  # the task's class

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """The arguments of a call -> (an example or an iterable of examples, whether it is one example).

        Named arguments that contain examples are removed from `given`, so that it has only options.
        """
        name = next((name for name in ("inputs", "text", "texts", "text_inputs") if name in given), None)
        if len(args) + (name is not None) != 1:
            task = self.task
            raise UsageError(f"{task.name} takes one argument and options: {task.takes}, or a list or stream of these.")
        inputs = args[0] if name is None else given.pop(name)
        return inputs, isinstance(inputs, (str, dict))

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """Convert the answer to one example, or the list of answers to a list, to the result of the call."""
        return answers

    def options(self, given: Mapping[str, Any]) -> TaskOptions:
        """Check the options of a call, and return them."""
        options: TaskOptions = self.task.options(self.own(given))
        return options

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises UsageError for an unknown option."""
        self.task.check(self.own(given))

    def own(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options by bertkit's names. None means the default for an option without None among its values."""
        values: dict[str, Any] = {}
        for name, value in self.translate(dict(given)).items():
            own = ALIASES.get(name, name)
            if own in values:
                raise UsageError(f"{own} was passed twice, also under its other name {name!r}: leave one of them out.")
            values[own] = value
        defaults = {field.name for field in fields(self.task.options_type) if "None" not in str(field.type)}
        return {name: value for name, value in values.items() if value is not None or name not in defaults}

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Convert options of transformers and of tokenizers, such as `truncation=True`, to those of the task."""
        found = {name: value for name, value in given.items() if name not in _IDLE}
        if found.pop("truncation", None) not in (False, None, "do_not_truncate"):
            found.setdefault("on_long", "truncate")
        return found


class _FillMask(Calls):
    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """For a list of one text, returns its answer without a list."""
        return answers[0] if isinstance(inputs, list) and len(inputs) == 1 else answers

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Accepts `tokenizer_kwargs`. top_k=None means the default."""
        found = {**super().translate(pop_options("tokenizer_kwargs", given)), **given}
        if found.get("top_k", 0) is None:
            del found["top_k"]
        return found


class _TextClassification(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts `text_pair=` beside a text, too."""
        inputs, one = super().read(args, given)
        if isinstance(inputs, str) and "text_pair" in given:
            return {"text": inputs, "text_pair": given.pop("text_pair")}, True
        return inputs, one

    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """For one string, returns a list of one answer. With `top_k` or `threshold` the answer is a list already."""
        one = isinstance(inputs, str) or "text_pair" in given
        listed = "top_k" in given or given.get("threshold") is not None
        return [answers] if one and not listed else answers

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Accepts `function_to_apply` in upper case, too."""
        return _lower("function_to_apply", super().translate(given))


class _TokenClassification(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """With `is_split_into_words`, reads a flat list of words as a list of one text."""
        inputs, one = super().read(args, given)
        words = given.get("is_split_into_words") and isinstance(inputs, (list, tuple)) and len(inputs) > 0
        if words and all(isinstance(item, str) for item in inputs):
            inputs = [inputs]
        return inputs, one

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Accepts a strategy in upper case, and the flags `grouped_entities` and `ignore_subwords` instead of it."""
        strategy = given.get("aggregation_strategy")
        given["aggregation_strategy"] = getattr(strategy, "value", strategy)  # an enumeration of transformers
        grouped, whole = given.pop("grouped_entities", None), given.pop("ignore_subwords", None)
        if grouped is not None or whole is not None:
            given["aggregation_strategy"] = ("first" if whole else "simple") if grouped else "none"
        return _without_none(_lower("aggregation_strategy", given))


class _QuestionAnswering(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts `question=` and `context=`, each a text or a list; one dictionary or several; or two strings."""
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
        """Accepts `topk` for `top_k`, and ignores `padding`. None means the default."""
        found = _without_none({**given, "padding": None})
        if "topk" in found:
            found.setdefault("top_k", found.pop("topk"))
        return found


class _ZeroShot(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts the labels as the second argument, too."""
        if len(args) == 2 and "candidate_labels" not in given:
            given["candidate_labels"] = args[1]
            args = args[:1]
        if "sequences" in given:
            args = (*args, given.pop("sequences"))
        return super().read(args, given)

    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Accepts `multi_class`, the older name of `multi_label`."""
        found = super().translate(given)
        if "multi_class" in found:
            found.setdefault("multi_label", bool(found.pop("multi_class")))
        return found


class _MultipleChoice(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts one dictionary or several, or a text and `choices=[...]`."""
        if "choices" in given and len(args) == 1 and isinstance(args[0], str):
            return {"text": args[0], "choices": given.pop("choices")}, True
        return super().read(args, given)


class _TwoTexts(Calls):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts one or several dictionaries or tuples of two texts, or two texts as two arguments."""
        if len(args) == 2 and all(isinstance(text, str) for text in args):
            return args, True
        inputs, one = super().read(args, given)
        return inputs, one or (isinstance(inputs, tuple) and all(isinstance(text, str) for text in inputs))


class _Features(Calls):
    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Accepts `tokenize_kwargs`. `return_tensors` has an effect for this task."""
        tensors = given.pop("return_tensors", None)
        found = super().translate({**pop_options("tokenize_kwargs", given), **given})
        return found if tensors is None else {**found, "return_tensors": tensors}


class _Similarity(_Features):
    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """Accepts one dictionary or several, or a text and another text or a list of texts."""
        if len(args) == 2 and isinstance(args[0], str):
            others = [args[1]] if isinstance(args[1], str) else args[1]
            return {"source_sentence": args[0], "sentences": others}, True
        if not args and "source_sentence" in given:
            return {name: given.pop(name, None) for name in ("source_sentence", "sentences")}, True
        return super().read(args, given)


class _Writing(Calls):
    def translate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Collects the settings of `generate`. Accepts `handle_long_generation="hole"`, which is `on_long="truncate"`."""
        if "settings" in given:
            raise UsageError("Pass the settings of generate as options, each by its own name.")
        tensors, hole = given.pop("return_tensors", None), given.pop("handle_long_generation", None)
        if given.pop("return_text", None) is False and not tensors:
            raise UsageError("return_text=False leaves no answer: type return_tensors=True, or leave it out.")
        if hole not in (None, "hole"):
            raise UsageError(f'handle_long_generation is {hole!r:.80}, and must be "hole", or left out.')
        found = super().translate(given)
        neutral = {name: found.pop(name) for name in list(found) if name in NEUTRAL}
        GenerationConfig().with_options(neutral)
        may_be_none = {one.name for one in fields(GenerationConfig) if "None" in str(one.type)}
        settings = {name: found.pop(name) for name in list(found) if name in SETTINGS}
        settings = {name: value for name, value in settings.items() if value is not None or name in may_be_none}
        found |= {"return_tensors": bool(tensors)} if tensors is not None else {}
        found |= {"on_long": "truncate"} if hole else {}
        return {**found, "settings": settings} if settings else found


class _Answering(_Writing):
    def finish(self, inputs: Any, answers: Any, given: Mapping[str, Any]) -> Any:
        """For a list of texts with one answer to each, returns a list of these answers."""
        several = isinstance(inputs, list) and all(isinstance(one, str) for one in inputs)
        return [answer[0] for answer in answers] if several and all(len(one) == 1 for one in answers) else answers


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
    "text-generation": _Writing,
    "text2text-generation": _Answering,
    "summarization": _Answering,
}
"""Task -> its calling convention. Other tasks have that of `Calls`."""


def calls_of(task: Any) -> Calls:
    """The calling convention of a task, which is a name or a class."""
    found = task_class(task) if isinstance(task, str) else task
    return _OF_TASKS.get(found.name, Calls)(found)


def options_of(task: Any, given: Mapping[str, Any]) -> TaskOptions:
    """Check the options of a call, and return them. The task is a name or a class.

    >>> options_of("ner", {"stride": 3, "aggregation_strategy": "SIMPLE"}).overlap
    3
    """
    return calls_of(task).options(given)


def pop_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Remove a dictionary of options, such as `tokenizer_kwargs`, from `given`, and return it."""
    found = given.pop(name, None)
    if found is not None and not isinstance(found, Mapping):
        raise UsageError(f"{name}={found!r} is not a dictionary of options: pass one, or leave it out.")
    return dict(found or {})


def _lower(name: str, given: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given.get(name), str):
        given[name] = given[name].lower()
    return given


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _pairs(questions: Any, contexts: Any) -> list[dict[str, str]]:
    """Pairs of questions and contexts. A single question or context is paired with all of the others."""
    count = next((len(texts) for texts in (questions, contexts) if isinstance(texts, (list, tuple))), 1)
    both = [[texts] * count if isinstance(texts, str) else texts for texts in (questions, contexts)]
    if not all(isinstance(texts, (list, tuple)) for texts in both):
        raise UsageError(
            f"question is {described(questions)} and context is {described(contexts)}: type a text or a list of texts for each."
        )
    if len(both[0]) != len(both[1]):
        raise UsageError(
            f"{len(both[0])} questions were passed with {len(both[1])} contexts: pass one for each, or one text for all."
        )
    return [{"question": question, "context": context} for question, context in zip(*both, strict=True)]
