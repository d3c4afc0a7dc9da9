"""The loop of pipelines, with a task and an engine that record their calls: order, batches, errors, counts, chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pipeline_models import ours

from bertkit.data.batches import Batch, Limits, Row
from bertkit.errors import BertkitError, DataError, Setting, UsageError, worded
from bertkit.heads import Ask
from bertkit.pipelines.run import LOOK_AHEAD, Answer, Run
from bertkit.tasks.base import Encoded, Outputs, Reading, TaskOptions
from bertkit.tensors import Array


class Lengths:
    """A text -> the number of words in each of its rows. A row has up to 8 words; "again" needs a second forward."""

    name, head = "lengths", "ForMaskedLM"
    reads_all = (Setting("on_long", "window"),)

    def encode(self, examples: Sequence[Any], options: TaskOptions) -> list[Encoded]:
        return [self.one(example, options) for example in examples]

    def one(self, example: Any, options: TaskOptions) -> Encoded:
        if not isinstance(example, str):
            raise UsageError(f"{example!r} is not a text: type ", Setting("text", "a"), ".")
        words = example.split()
        parts = [words[start : start + 8] for start in range(0, len(words), 8)]
        kept = parts if options.on_long == "window" else parts[:1]
        left_out = sum(map(len, parts[len(kept) :]))
        rows = [row(len(part)) for part in kept]
        return Encoded(rows, Reading(left_out > 0, len(rows), len(words), left_out), words[0])

    def wanted(self, options: TaskOptions) -> Ask:
        return Ask(("logits",))

    def has_large_answers(self, options: TaskOptions) -> bool:
        return options.details

    def decode(self, encoded: Encoded, outputs: Outputs, options: TaskOptions) -> Any:
        found = [len(output["logits"]) for output in outputs]
        if encoded.memory == "again":
            return Encoded([row(1 + sum(found))], encoded.reading, found)
        return encoded.memory + found if isinstance(encoded.memory, list) else found


def row(length: int) -> Row:
    return Row(np.arange(length), np.zeros(length, int))


class Engine:
    """An engine of another class than the task's, whose outputs have other names."""

    head = "ForPreTraining"

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits, self.batches = limits or Limits(), list[list[int]]()

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        assert ask == Ask(("prediction_logits",))
        self.batches.append(batch.lengths.tolist())
        return {"prediction_logits": np.zeros((len(batch.input_ids), 3))}


@dataclass
class Bar:
    """The part of tqdm that runs use."""

    n: int = 0
    initial: int = 0
    text: str = ""
    closed: bool = False

    def update(self, count: int) -> None:
        self.n += count

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.text = text

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True


def run(engine: Engine | None = None, on_long: Any = "truncate", **options: Any) -> Run:
    return Run(Lengths(), engine or Engine(), TaskOptions(on_long=on_long), **options)  # type: ignore[arg-type]


def values(answers: Sequence[Answer]) -> list[Any]:
    return [answer.value for answer in answers]


def text(words: int) -> str:
    return " ".join(["a"] * words)


def test_answers_are_in_order_and_batches_within_the_limits() -> None:
    some = [text(n) for n in (3, 8, 1, 5, 8, 2)]
    for limits, batch_size, most in (
        (Limits(tokens=10), None, 10),
        (Limits(tokens=99, rows=3), 2, 2),
        (Limits(), 1, 1),
    ):
        engine = Engine(limits)
        job = run(engine, batch_size=batch_size)
        assert values(job.result(job.submit(some))) == [[3], [8], [1], [5], [8], [2]]
        assert all(len(batch) <= (batch_size or 99) and sum(batch) <= limits.tokens for batch in engine.batches)
        assert max(map(len, engine.batches)) <= most
    with_few_rows = Engine(Limits(rows=2))
    job = run(with_few_rows, batch_size=5)
    job.result(job.submit(some))
    assert [len(batch) for batch in with_few_rows.batches] == [2, 2, 2]


def test_submitted_examples_share_batches() -> None:
    engine = Engine()
    job = run(engine)
    first, second = job.submit([text(2), text(5)]), job.submit([text(4)])
    assert not engine.batches
    assert values(job.result(second)) == [[4]]
    assert engine.batches == [[5, 4, 2]]
    assert values(job.result(first)) == [[2], [5]] and len(engine.batches) == 1
    assert job.report.examples == 3 and job.report.tokens == 11


def test_an_answer_may_take_further_rows() -> None:
    job = run(on_long="window")
    some = ["again " + text(9), text(3), "again"]
    answers = job.result(job.submit(some))
    assert values(answers) == [[8, 2, 11], [3], [1, 2]]
    assert answers[0].reading == Reading(False, 2, 10, 0)
    assert answers[0].shown(details=True) == {
        "result": [8, 2, 11],
        "truncated": False,
        "windows": 2,
        "n_tokens": 10,
    }
    assert answers[0].shown(details=False) == [8, 2, 11]


def test_invalid_examples() -> None:
    unread = DataError("Line 3 is not JSON.")
    some = [text(2), 5, unread, text(3)]
    job = run(errors="return")
    answers = job.result(job.submit(some))
    assert [isinstance(value, BertkitError) for value in values(answers)] == [False, True, True, False]
    assert answers[2].value is unread and answers[2].shown(details=True) is unread
    assert answers[3].value == [3] and job.report.examples == 4
    error = answers[1].value
    assert error.worded(lambda setting: f"--{setting.name} {setting.value}") == "5 is not a text: type --text a."


@pytest.mark.parametrize(
    ("task", "kind", "options"),
    [
        ("feature-extraction", "plain", {"layers": 99}),
        ("feature-extraction", "plain", {"layers": 99, "pooling": "pooler"}),
        ("feature-extraction", "plain", {"prompt_name": "query"}),
        ("feature-extraction", "plain", {"on_long": "window", "overlap": 64}),
        ("text-classification", "five", {"max_length": 1}),
        ("fill-mask", "masked", {"max_length": 2}),
    ],
)
@pytest.mark.parametrize("errors", ["raise", "return"])
def test_an_invalid_option_is_raised_once(task: str, kind: str, options: dict[str, Any], errors: str) -> None:
    with pytest.raises(UsageError) as caught:
        ours(task, kind)(["The [MASK] of it.", 3, "a [MASK]"], errors=errors, **options)
    assert "Number" not in str(caught.value)


def test_an_invalid_example_is_raised_with_its_number_before_the_engine_runs() -> None:
    engine = Engine()
    with pytest.raises(UsageError, match=r"^5 is not a text"):
        list(run(engine).chunks([5]))
    with pytest.raises(UsageError, match=r"^Number 1 of the inputs: 5 is not a text: type text=\"a\"\.$"):
        list(run(engine).chunks([text(1), 5]))
    with pytest.raises(DataError, match=r"^Number 0 of the inputs: torn"):
        list(run(engine).chunks([DataError("torn"), text(1)]))
    assert not engine.batches
    with pytest.raises(UsageError, match=r"^Number 3 of the inputs: 5"):
        list(run(engine).chunks(iter([text(1), text(1), text(1), 5]), first=1))


def test_texts_that_were_cut_are_counted() -> None:
    job = run()
    list(job.chunks([text(3), text(20), text(9), text(1)]))
    assert (job.report.cut, job.report.left_out) == (2, 13)
    said = "2 of 4 texts are longer than a row takes, and 13 of their tokens were left out: type "
    assert worded(job.warning()) == said + 'on_long="window" to read all of them.'
    assert worded(job.warning(), lambda setting: "--on-long window") == said + "--on-long window to read all of them."
    windows = run(on_long="window")
    list(windows.chunks([text(20)]))
    assert windows.warning() == () and windows.report.cut == 0


def test_chunks_grow_in_a_stream() -> None:
    taken = []

    def stream() -> Any:
        for number in range(100):
            taken.append(number)
            yield text(1 + number % 8)

    chunks = run().chunks(stream(), first=1)
    assert [len(next(chunks)[0]) for _ in range(4)] == [1, 2, 4, 8] and len(taken) == 15
    assert [len(examples) for examples, _ in run().chunks(stream(), first=1, most=1)] == [1] * 100
    assert [len(examples) for examples, _ in run().chunks([text(1)] * 1300)] == [LOOK_AHEAD, LOOK_AHEAD, 276]


def test_long_texts_make_short_chunks() -> None:
    sizes = [len(examples) for examples, _ in run().chunks(["a" * 50_000] * 7)]
    assert sizes == [3, 3, 1]


def test_large_answers_make_short_chunks_too() -> None:
    job = Run(Lengths(), Engine(), TaskOptions(details=True))  # type: ignore[arg-type]
    assert [len(examples) for examples, _ in job.chunks(["a" * 4000] * 7)] == [3, 3, 1]


@pytest.mark.parametrize("done", [0, 1, 511, 512, 513, 1024, 1200, 1299, 1300])
def test_a_resumed_run_has_the_batches_of_an_uninterrupted_one(done: int) -> None:
    some = [text(1 + number % 8) for number in range(1300)]
    whole, rest = Engine(Limits(tokens=50)), Engine(Limits(tokens=50))
    expected = [value for _, answers in run(whole).chunks(some) for value in values(answers)]
    job = run(rest)
    found = list(job.chunks(some, done=done))
    assert [value for _, answers in found for value in values(answers)] == expected[done:]
    assert [example for examples, _ in found for example in examples] == some[done:]
    assert rest.batches == whole.batches[len(whole.batches) - len(rest.batches) :]
    assert job.report.examples == 1300
    assert bool(rest.batches) == (done < 1300)


def test_the_share_of_padding() -> None:
    padded = Engine()
    padded.limits = Limits(tokens=64, rectangle=True)
    job = run(padded)
    list(job.chunks([text(6), text(8)]))
    assert (job.report.tokens, job.report.cells, job.report.padding) == (14, 16, 0.125)


def test_reading_ahead_gives_the_same_chunks() -> None:
    some = [text(1 + n % 8) for n in range(1300)]
    plain, ahead = Engine(), Engine()
    expected = list(run(plain).chunks(some, done=600))
    assert list(run(ahead).chunks(iter(some), done=600, ahead=True)) == expected
    assert ahead.batches == plain.batches and len(expected) == 2


def test_reading_ahead_raises_after_the_answers_before() -> None:
    def examples() -> Iterator[Any]:
        yield from [text(2)] * 600
        raise DataError("damaged")

    found: list[Any] = []
    with pytest.raises(DataError, match="damaged"):
        found.extend(run().chunks(examples(), ahead=True))
    assert [len(chunk) for chunk, _ in found] == [512]
    with pytest.raises(UsageError, match="Number 700 of the inputs: 5 is not a text"):
        list(run().chunks([text(2)] * 700 + [5], ahead=True))


def test_a_bar_advances_with_each_answer() -> None:
    bar = Bar()
    job = run(errors="return")
    list(job.chunks([text(2), 5, text(9)], bar=bar))  # type: ignore[arg-type]
    assert (bar.n, bar.initial, bar.closed) == (3, 0, True) and bar.text.endswith(" tokens/s, 0.0% padding")
    bar = Bar()
    list(run().chunks([text(2)] * 1100, done=700, bar=bar))  # type: ignore[arg-type]
    assert (bar.n, bar.initial) == (1100, 512)


def test_examples_can_run_again_after_an_exception_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = ours("fill-mask", "masked")
    run = pipe.run(pipe.options)
    submitted = run.submit(["the [MASK]", "a [MASK] of it"])

    def fails(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(type(pipe.engine), "run", fails)
        with pytest.raises(MemoryError):
            run.result(submitted)
    found = [answer.value for answer in run.result(submitted)]
    assert found == pipe(["the [MASK]", "a [MASK] of it"])
