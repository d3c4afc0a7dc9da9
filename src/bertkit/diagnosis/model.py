"""A model: what it is, what is wrong with its files, and which commands it can do. It is looked up here and in the cache only."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from bertkit.checkpoint import Inspection, inspect
from bertkit.checkpoint.load import LoadReport
from bertkit.checkpoint.source import WEIGHTS
from bertkit.config import FILES, BertConfig, read_json
from bertkit.config.encoder_decoder import EncoderDecoderConfig, config_of
from bertkit.diagnosis.findings import Finding, attempt, failed, fine, guarded, note, wrong
from bertkit.diagnosis.machine import free_memory, gigabytes
from bertkit.errors import printable
from bertkit.heads import HEADS, PAIR, POOLER, a_class, head_of, tasks_of
from bertkit.hub import Place, locate
from bertkit.pipelines.open import exported_for
from bertkit.tasks.embedding import weights_place

COMMANDS = {
    "fill-mask": "fill-mask",
    "text-classification": "classify",
    "zero-shot-classification": "zero-shot",
    "token-classification": "ner",
    "question-answering": "qa",
    "next-sentence-prediction": "nsp",
    "multiple-choice": "choose",
    "sentence-scoring": "score",
    "text-generation": "generate",
    "summarization": "summarize",
    "feature-extraction": "embed",
    "sentence-similarity": "similarity",
}
"""Task -> the command for it."""

_SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    "type_vocab_size", "hidden_act",
)  # fmt: skip
_AGAIN = "download or copy the files of the model again"
_OTHERS = "copy the config.json of the same model; if it is that, delete them"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle")
_CLASS = 'write the class of the model into config.json, such as "architectures": ["BertForMaskedLM"]'
_OF_FILES = ("convert", "export")  # the commands that need no tokenizer
_OF_TORCH = ("generate", "summarize", "finetune")  # the commands that need PyTorch


@dataclass(frozen=True)
class Patient:
    """A model whose configuration can be read."""

    name: str  # as it was typed
    place: Place  # of its weights
    config: BertConfig | EncoderDecoderConfig
    inspections: Sequence[Inspection] = ()  # one, or two of an encoder-decoder; none of an exported model

    @property
    def head(self) -> str | None:
        """The class: the one in config.json, else the one that has the same parts as the weights."""
        if isinstance(self.config, EncoderDecoderConfig):
            return PAIR
        if self.inspections:
            return self.inspections[0].report.head
        return self.named[0]

    @property
    def named(self) -> tuple[str | None, list[Finding]]:
        """The class in config.json, or None, and the fault of a name that is not that of a BERT."""
        names = self.config.architectures if isinstance(self.config, BertConfig) else None
        return attempt("class", lambda: head_of(names[0]), _CLASS) if names else (None, [])

    @property
    def untrained(self) -> list[str]:
        """The parameters that the class needs and the files lack, without an absent pooler of a BertModel."""
        optional = POOLER if self.head == "Model" else ()
        return [
            name
            for one in self.inspections
            for name in one.report.fresh
            if not optional or not name.startswith(optional)
        ]


def examined(name: str) -> Iterator[Finding]:
    """All findings of a model."""
    place, found = attempt(
        "model", lambda: weights_place(locate(name, local_files_only=True)), f"check the name {printable(name)}"
    )
    yield from found
    if place is None:
        return
    config, found = attempt("config", lambda: config_of(place), f"copy a config.json of the model into {place.where}")
    yield from found
    yield from guarded("config", lambda: _absent_fields(place))
    yield from guarded("pickle", lambda: _pickles(place, name))
    if config is None:
        return
    exported = exported_for(place, "auto")
    seen, found = (None, []) if exported else attempt("weights", lambda: _inspections(place, config), _AGAIN)
    patient = Patient(name, place, config, seen or ())
    yield from guarded("model", lambda: _identity(patient, exported))
    yield from found
    parts = ("the encoder", "the decoder") if patient.head == PAIR else (f"Bert{patient.head}",)
    for part, one in zip(parts, patient.inspections, strict=False):
        yield from guarded("weights", partial(_weights, patient, one.report, part))
    yield from guarded("memory", lambda: _memory(patient))
    words = list(_tokenizer(patient))
    yield from words
    yield from guarded("commands", lambda: _commands(patient, exported, words))


def _inspections(place: Place, config: BertConfig | EncoderDecoderConfig) -> list[Inspection]:
    """The names, shapes and types of the weights, for each BERT of the model."""
    prefixes = ("encoder.", "decoder.") if isinstance(config, EncoderDecoderConfig) else ("",)
    return [inspect(place, prefix=prefix) for prefix in prefixes]


def _identity(patient: Patient, exported: str | None) -> Iterator[Finding]:
    """The class, the tasks, the sizes and the precision."""
    head, c = patient.head, patient.config
    tasks = tasks_of(head) if head else []
    what = a_class(head) if head else "a BERT whose class is unknown"
    yield fine("class", f"{patient.name} is {what}, for {', '.join(tasks) or 'no task'}.", head=head, tasks=tasks)
    yield from patient.named[1]
    if head is None and not patient.named[1]:
        text = "config.json names no class in architectures, and an exported model does not show its own."
        yield wrong("class", text, _CLASS)
    parts = [c] if isinstance(c, BertConfig) else [c.encoder, c.decoder]
    for part in parts:
        sizes = f"{part.num_hidden_layers} layers, width {part.hidden_size}, {part.num_attention_heads} heads"
        positions = f"a vocabulary of {part.vocab_size:,}, {part.max_position_embeddings} positions"
        yield fine("sizes", f"{sizes}, {positions}", **{name: getattr(part, name) for name in _SIZES})
    if exported:
        yield fine("weights", f"It was exported for the engine {exported}.", engine=exported)
        return
    groups = [group for one in patient.inspections for group in one.groups]
    if groups:
        count, size = (sum(getattr(group, of) for group in groups) for of in ("parameters", "bytes"))
        types = sorted({kind for group in groups for kind in group.dtypes})
        text = f"{count:,} parameters in {', '.join(types)}, {gigabytes(size)}, in {patient.inspections[0].path}"
        yield fine("weights", text, parameters=count, bytes=size, dtypes=types, format=patient.inspections[0].format)


def _absent_fields(place: Place) -> Iterator[Finding]:
    """Fields of config.json that are not there. bertkit then uses the values of BERT-base, and other programs may stop."""
    path = place.find(*FILES)
    if path is None:
        return
    values = read_json(path)
    if values.get("model_type") == "encoder-decoder":
        return
    absent = [name for name in _SIZES if name not in values]
    if absent:
        text = f"{path} lacks {', '.join(absent)}: the values of BERT-base are used."
        yield note("config", text, "add them to the file", absent=absent)
    marks = [name for name in ("model_type", "architectures") if not values.get(name)]
    if marks:
        text = f"{path} lacks {' and '.join(marks)}, by which programs recognize the class."
        yield note("config", text, 'add "model_type": "bert", and "architectures" with the class', absent=marks)


def _pickles(place: Place, name: str) -> Iterator[Finding]:
    """Files that can run code in programs that unpickle them. bertkit never does."""
    found = [file for file in place.files if os.path.splitext(file)[1] in _PICKLES]
    if not found:
        return
    safe = any(file in place.files for kind, files in WEIGHTS.items() if kind != "bin" for file in files)
    text = f"{printable(', '.join(found))} may run code in programs that unpickle them. bertkit reads weights without that."
    remedy = "delete them, if nothing needs them" if safe else f"bertkit convert {shlex.quote(name)} NEW_DIR"
    yield note("pickle", text, remedy, pickles=found)


def _weights(patient: Patient, report: LoadReport, part: str) -> Iterator[Finding]:
    """Weights that are missing, unexpected, or of another shape."""
    source = printable(report.source)
    shapes = [f"{name} {list(got)}, expected {list(expected)}" for name, got, expected in report.mismatched]
    lists = (
        ("missing from", report.missing, _AGAIN),
        ("not parameters of the BERT of config.json, but in", _foreign(patient, report), _OTHERS),
        ("of other shapes than config.json requires in", shapes, "copy the config.json of the same model"),
    )
    for what, names, remedy in lists:
        if names:
            yield wrong("weights", f"{_counted(names)} {what} {source}: {_some(names)}.", remedy, tensors=list(names))
    if fresh := [name for name in report.fresh if name in patient.untrained]:
        text = f"{source} lacks {len(fresh)} parameters of {part}, which are then random: {_some(fresh)}."
        yield wrong(
            "weights", text, f"train them: bertkit finetune --model {shlex.quote(patient.name)} ...", tensors=fresh
        )
    elif not (report.missing or report.mismatched):
        unused = f" {len(report.left_out)} others are of parts that the class does not have." if report.left_out else ""
        yield fine("weights", f"All {len(report.loaded)} tensors of {part} are there.{unused}")


def _foreign(patient: Patient, report: LoadReport) -> list[str]:
    """The tensors that are not parameters of BERT, nor of the other half of an encoder-decoder."""
    if patient.head != PAIR:
        return list(report.unexpected)
    return [name for name in report.unexpected if not name.startswith(("encoder.", "decoder.", "enc_to_dec_proj."))]


def _counted(names: Sequence[str]) -> str:
    return "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3]), 300) + more


def _memory(patient: Patient) -> Iterator[Finding]:
    """Whether the weights fit into the free memory, in float32."""
    count = sum(group.parameters for one in patient.inspections for group in one.groups)
    free = free_memory()
    if free is not None and 4 * count > free:
        text = f"The weights take {gigabytes(4 * count)} in float32, and {gigabytes(free)} of memory are free."
        yield wrong("memory", text, "close other programs, or use a machine with more memory")


def _tokenizer(patient: Patient) -> Iterator[Finding]:
    """The tokenizer, and whether it is the one of the model."""
    from bertkit.text.tokenizer import BertTokenizerFast

    remedy = f"copy the model's own tokenizer.json, or its vocab.txt, into {patient.place.where}"
    try:
        tokenizer = BertTokenizerFast.from_pretrained(patient.place)
    except Exception as error:
        yield failed("tokenizer", error, remedy)
        return
    yield from guarded("tokenizer", lambda: _size_of_tokenizer(tokenizer, patient, remedy))
    yield from guarded("tokenizer", lambda: _case(tokenizer))


def _size_of_tokenizer(tokenizer: Any, patient: Patient, remedy: str) -> Iterator[Finding]:
    c = patient.config
    parts = [c] if isinstance(c, BertConfig) else [c.encoder, c.decoder]
    rows, positions = (min(getattr(part, name) for part in parts) for name in ("vocab_size", "max_position_embeddings"))
    count, longest = len(tokenizer), tokenizer.model_max_length
    case = "lower-cases texts" if tokenizer.do_lower_case else "keeps the case of texts"
    values = {"tokens": count, "do_lower_case": tokenizer.do_lower_case, "model_max_length": longest}
    yield fine("tokenizer", f"{count:,} tokens, up to {longest} in a text; it {case}.", **values)
    if count > rows:
        text = f"The tokenizer has {count:,} tokens, but the word embeddings only {rows:,} rows."
        yield wrong("tokenizer", text, remedy, rows=rows)
    elif count < 0.9 * rows:
        text = f"The tokenizer has {count:,} tokens, and the word embeddings {rows:,} rows: it may be of another model."
        yield note("tokenizer", text, remedy)
    if longest > positions:
        text = f"The tokenizer allows {longest} tokens, but the model has {positions} positions."
        yield wrong("tokenizer", text, f'write "model_max_length": {positions} into tokenizer_config.json')


def _case(tokenizer: Any) -> Iterator[Finding]:
    """Whether the vocabulary has the case that the tokenizer produces."""
    words = [token for token in tokenizer.get_vocab() if not token.startswith("[")]
    upper = sum(word != word.lower() for word in words)
    cased = sum(word.lower() != word.upper() for word in words)
    if tokenizer.do_lower_case and upper > max(5, 0.02 * cased):
        text = (
            f"The tokenizer lower-cases texts, so that {upper:,} tokens of the vocabulary with capitals are never used."
        )
        yield wrong("tokenizer", text, 'write "do_lower_case": false into tokenizer_config.json', capitals=upper)
    elif not tokenizer.do_lower_case and not upper and cased >= 20:
        text = "The tokenizer keeps capitals, but no token of its vocabulary has one: such words become [UNK]."
        yield wrong("tokenizer", text, 'write "do_lower_case": true into tokenizer_config.json', capitals=0)


def _opens(patient: Patient, exported: str | None) -> bool:
    """Whether the model can be opened: no parameter is missing or of another shape, and none is unknown."""
    reports = [one.report for one in patient.inspections]
    return bool(exported or reports) and not any(
        report.missing or report.mismatched or _foreign(patient, report) for report in reports
    )


def _commands(patient: Patient, exported: str | None, words: Sequence[Finding]) -> Iterator[Finding]:
    """The commands that work with the model as it is. `words`: the findings of its tokenizer."""
    head = patient.head
    if head is None or patient.named[1] or not _opens(patient, exported):
        return
    tasks = [task for task in tasks_of(head) if not patient.untrained or task not in HEADS[head].tasks]
    commands = [COMMANDS[task] for task in tasks if task in COMMANDS]
    commands += ["evaluate"] if head not in ("Model", PAIR) and not patient.untrained else []
    commands += (
        [] if head == PAIR else ["bench", "serve"] if exported else ["finetune", "bench", "convert", "export", "serve"]
    )
    if not any("tokens" in one.values for one in words) or any("rows" in one.values for one in words):
        commands = [command for command in commands if command in _OF_FILES]
    if not commands:
        return
    later = [] if find_spec("torch") else [command for command in commands if command in _OF_TORCH]
    now = [command for command in commands if command not in later]
    further = f'; with pip install "bertkit[torch]" also {", ".join(later)}' if later else ""
    yield fine("commands", f"bertkit {', '.join(now)}{further}", commands=now, with_torch=later, tasks=tasks)
