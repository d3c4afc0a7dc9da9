"""The model card of a trained model: README.md, with the metadata that the Hub shows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertkit.hub.disk import whole_file
from bertkit.training.record import PRETRAINING, Record, is_finite, is_number, read_record
from bertkit.training.report.markup import number
from bertkit.training.report.overview import is_interval

_PIPELINES = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "multiple-choice": "multiple-choice",
    "sentence-embedding": "sentence-similarity",
    "summarization": "summarization",
    "pretraining": "fill-mask",
}
"""Task -> the name of the task on the Hub, which has none for the next sentence."""

_METRICS = {"pearson": "pearsonr", "exact": "exact_match"}
"""The name of a score -> its name on the Hub, if it is another."""

_BERTKIT = {
    "text-classification": ("text-classification", '("A sentence to classify.")'),
    "token-classification": ("token-classification", '("A sentence with a name in it.", aggregation_strategy="words")'),
    "question-answering": ("question-answering", '(question="Who wrote it?", context="Ada wrote it in 1843.")'),
    "multiple-choice": (
        "multiple-choice",
        '({"text": "She opened the door", "choices": ["and went in.", "and was blue."]})',
    ),
    "next-sentence": ("next-sentence-prediction", '({"text": "It rained.", "text_pair": "The street was wet."})'),
    "next-sentence-prediction": (
        "next-sentence-prediction",
        '({"text": "It rained.", "text_pair": "The street was wet."})',
    ),
    "pretraining": ("fill-mask", '("Paris is the [MASK] of France.")'),
    "summarization": ("summarization", '("A long text.")'),
    "sentence-embedding": ("sentence-similarity", '("It rained.", ["The street was wet.", "Copper is a metal."])'),
}
"""Task -> the pipeline of bertkit, and a call of it."""

_CLASSES = {
    "summarization": "EncoderDecoderModel",
    "question-answering": "AutoModelForQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    "next-sentence": "AutoModelForNextSentencePrediction",
    "next-sentence-prediction": "AutoModelForNextSentencePrediction",
}
"""Tasks for which transformers 5 has no pipeline -> the class that loads the model."""


def write_card(folder: str | os.PathLike[str]) -> Path:
    """Write README.md of a trained model, with its data, settings and scores, and return its path.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> size = (folder / "run.json").write_text('{"task": "text-classification", "model": "bert-base-uncased"}')
    >>> write_card(folder).name
    'README.md'

    Args:
        folder: the output folder of the run, with run.json.
    """
    record = read_record(folder)
    path = record.folder / "README.md"
    body = "\n\n".join([f"---\n{_metadata(record)}---", *_sections(record)])
    with whole_file(path) as file:
        file.write(f"{body}\n".encode())
    return path


def _metadata(record: Record) -> str:
    """Return the metadata as YAML. The language and the license are left out, as the run does not know them."""
    from huggingface_hub import EvalResult, ModelCardData

    scores = {name: value for name, value in record.part("scores").items() if is_finite(value)}
    pipeline = _PIPELINES.get(record.task)
    file = _file_name(record)
    results = [
        EvalResult(
            task_type=pipeline or "other",
            dataset_type=re.sub(r"[^\w.-]+", "-", file) or "unknown",
            dataset_name=file,
            metric_type=_METRICS.get(name, name),
            metric_name=name,
            metric_value=value,
        )
        for name, value in scores.items()
    ]
    tags = ["bert", "bertkit", record.task]
    if record.task == "sentence-embedding":
        tags.append("sentence-transformers")
    data = ModelCardData(
        library_name="sentence-transformers" if record.task == "sentence-embedding" else "transformers",
        pipeline_tag=pipeline,
        base_model=_base_model(record),
        tags=tags,
        metrics=sorted({_METRICS.get(name, name) for name in scores}) or None,
        model_name=_name(record),
        eval_results=results or None,
    )
    return f"{data.to_yaml()}\n"


def _base_model(record: Record) -> str | None:
    """Return the id of the model on the Hub. A folder of this computer means nothing to others."""
    name = str(record.facts.get("model", ""))
    is_id = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) and ".." not in name
    return name if is_id and not Path(name).exists() else None


def _name(record: Record) -> str:
    return record.folder.resolve().name or "model"


def _file_name(record: Record) -> str:
    """Return the name of the evaluation file, without its folder."""
    file = record.part("data").get("eval")
    name = str(file.get("name") or "") if isinstance(file, Mapping) else ""
    return _last_part(name) or "evaluation file"


def _sections(record: Record) -> Iterator[str]:
    yield f"# {_plain(_name(record))}"
    base = _base_model(record) or _last_part(str(record.facts.get("model") or ""))
    of = "" if record.task == PRETRAINING else f" for {_plain(record.task)}"
    yield f"A BERT model{of}, {record.training}{' ' + _code(base) if base else ''} with bertkit{_amount(record)}."
    yield from _usage(record)
    yield from _scores(record)
    yield from _data(record)
    settings = [(_code(name), _code(_shareable(value))) for name, value in record.part("settings").items()]
    if settings:
        yield "## Settings"
        yield _table(("setting", "value"), settings)
    versions = [f"{name} {version}" for name, version in record.part("versions").items()]
    if versions:
        yield f"Versions: {_plain(', '.join(versions))}."
    yield "## Limits"
    yield "\n".join(f"- {limit}" for limit in _limits(record))


def _amount(record: Record) -> str:
    """Return how much a pretrained model has read."""
    steps, tokens = record.facts.get("steps"), record.facts.get("tokens")
    if not (is_number(steps) and is_number(tokens)):
        return ""
    return f", in {number(steps)} steps with {number(tokens)} tokens"


def _shareable(value: object) -> object:
    """Return a setting for others: of a file or folder of this computer only the last part of its path.

    >>> _shareable("/home/ada/train.tsv"), _shareable("linear"), _shareable(None)
    ('train.tsv', 'linear', 'none')
    """
    if isinstance(value, str) and re.match(r"/|~|\.\.?[\\/]|[A-Za-z]:[\\/]", value):
        return _last_part(value)
    return "none" if value is None else value


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _usage(record: Record) -> Iterator[str]:
    """How to use the model in three lines, with bertkit and with transformers."""
    name = json.dumps(_name(record), ensure_ascii=False)
    if record.task in _BERTKIT:
        pipeline, call = _BERTKIT[record.task]
        yield "## How to use it"
        yield _python("from bertkit import pipeline", f'model = pipeline("{pipeline}", {name})', f"print(model{call})")
        yield _other_library(record.task, pipeline, name, call)
    if record.thresholds:
        yield "config.json has thresholds, which were tuned on the evaluation file. bertkit applies them; other libraries do not."


def _other_library(task: str, pipeline: str, name: str, call: str) -> str:
    """The same in transformers, or in sentence-transformers."""
    if task == "sentence-embedding":
        first, second = "from sentence_transformers import SentenceTransformer", f"model = SentenceTransformer({name})"
        return _python(first, second, 'print(model.encode("It rained."))')
    if task in _CLASSES:
        tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({name})"
        model = f"model = {_CLASSES[task]}.from_pretrained({name})"
        return _python(f"from transformers import AutoTokenizer, {_CLASSES[task]}", tokenizer, model)
    call = call.replace('"words"', '"first"')
    return _python(
        "from transformers import pipeline", f'model = pipeline("{pipeline}", {name})', f"print(model{call})"
    )


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def _scores(record: Record) -> Iterator[str]:
    intervals = record.part("intervals")
    rows = []
    for name, value in record.part("scores").items():
        between = intervals.get(name)
        rows.append((_code(name), number(value), " to ".join(map(number, between)) if is_interval(between) else ""))
    if rows:
        yield "## Scores"
        where = f"On {_code(_file_name(record))}"
        if record.task == PRETRAINING:
            yield f"{where}, on documents that were not trained on:"
        else:
            yield f"{where}, with 95% bootstrap intervals:"
        columns = 3 if intervals else 2
        yield _table(("score", "value", "interval")[:columns], [row[:columns] for row in rows])


def _data(record: Record) -> Iterator[str]:
    files = {name: file for name, file in record.part("data").items() if isinstance(file, Mapping)}
    if files:
        yield "## Data"
        columns = record.columns()
        rows = [
            (name, _code(_base_name(file)), *(number(file.get(column)) for column in columns))
            for name, file in files.items()
        ]
        yield _table(("", "file", *columns), rows)
    if record.labels:
        shown = ", ".join(map(_code, record.labels[:50]))
        rest = f", and {len(record.labels) - 50:,} more" if len(record.labels) > 50 else ""
        yield f"Labels: {shown}{rest}."


def _base_name(file: Mapping[str, Any]) -> str:
    return _last_part(str(file.get("name") or "unknown"))


def _limits(record: Record) -> Iterator[str]:
    """What the scores do not say."""
    evaluated = record.part("data").get("eval")
    count = evaluated.get("examples") if isinstance(evaluated, Mapping) else None
    if not record.part("scores"):
        yield "The model was not evaluated: its quality is unknown."
    elif is_number(count):
        yield f"The scores are from {number(count)} examples. Texts of another kind, domain or language may have other scores."
    if is_number(record.part("best").get("step")):
        chosen = "best checkpoint and the thresholds were" if record.thresholds else "best checkpoint was"
        yield f"The {chosen} chosen on the evaluation file, so its scores are slightly optimistic."
    length, on_long = (record.part("settings").get(name) for name in ("max_length", "on_long"))
    if on_long == "window":
        yield 'Longer texts were read in windows. In bertkit, `on_long="window"` in a call reads them in the same way.'
    elif is_number(length):
        yield f"It was trained with texts of at most {number(length)} tokens."
    origin = f" and of the model that it was {record.training}" if record.facts.get("model") else ""
    yield f"It repeats the errors and the bias of its training data{origin}."
    if record.labels and record.kind == "classes":
        yield "It answers with one of the labels above for any text, even if none of them fits."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _plain(value: object) -> str:
    r"""Escape a text of the data for Markdown, on one line.

    >>> print(_plain("a*b <i>"))
    a\*b &lt;i>
    """
    line = re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(str(value).split()))
    return line.replace("&", "&amp;").replace("<", "&lt;")


def _code(value: object) -> str:
    """Return a text of the data as code in Markdown, on one line.

    >>> print(_code("a <b>"), _code("a`b"))
    `a <b>` ``a`b``
    """
    line = " ".join(str(value).split())
    fence = "`" * (_longest_fence(line) + 1)
    edge = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{edge}{line}{edge}{fence}"


def _longest_fence(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
