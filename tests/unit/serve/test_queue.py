"""The queue: shared batches, errors, cancelled requests, turns of several models."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pipeline_models
import pytest

from bertkit.errors import FileFormatError, UsageError
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.calls import options_of
from bertkit.serve.queue import ClosedError, FullError, Limits, Queue, TooLongError

TEXTS = ["Anna moved to Paris.", "The soup was cold.", "She came.", "It rains, so she takes her umbrella and a film."]


class Held:
    """An engine that waits in `run` until it may go on, and records the batches that it gets."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.config, self.head, self.limits = engine, engine.config, engine.head, engine.limits
        self.device, self.precision = engine.device, engine.precision
        self.go, self.reached = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def run(self, batch: Any, ask: Any) -> Any:
        self.batches.append(len(batch.lengths))
        self.reached.set()
        assert self.go.wait(10)
        return self.engine.run(batch, ask)


def held(task: str, name: str) -> tuple[Pipeline, Held]:
    pipe = pipeline_models.ours(task, name)
    engine = Held(pipe.engine)
    pipe.engine = engine
    return pipe, engine


@pytest.fixture
def queue() -> Iterator[Queue]:
    opened = Queue()
    yield opened
    opened.close()


def values(found: Any) -> list[Any]:
    return [answer.value for answer in found.answers]


@pytest.mark.parametrize(
    ("task", "name", "examples"),
    [
        ("text-classification", "two", TEXTS),
        ("token-classification", "names", TEXTS),
        ("fill-mask", "masked", ["The [MASK] was cold.", "Anna [MASK] to [MASK]."]),
        ("question-answering", "answers", [{"question": "Who moved?", "context": text} for text in TEXTS]),
        ("feature-extraction", "plain", TEXTS),
        ("sentence-similarity", "plain", [{"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}]),
        ("multiple-choice", "choices", [{"text": "It rains.", "choices": TEXTS[:2]}, {"text": "a", "choices": TEXTS}]),
        ("next-sentence-prediction", "order", [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[2])]),
        ("sentence-scoring", "masked", TEXTS),
    ],
)
def test_answers_in_shared_batches_are_those_of_single_calls(task: str, name: str, examples: list[Any]) -> None:
    pipe, engine = held(task, name)
    queue = Queue()
    first, *others = examples * 2
    futures = [queue.submit(pipe, [first])]
    assert engine.reached.wait(10)  # it runs alone, and the others wait for it
    futures += [queue.submit(pipe, [example]) for example in others]
    waits_for(queue, len(others))
    engine.go.set()
    shared = [values(future.result(30))[0] for future in futures]
    queue.close()
    single = pipeline_models.ours(task, name)
    expected = [single.each([example])[0] for example in examples * 2]
    assert numbers(shared) == pytest.approx(
        numbers(expected), rel=1e-6, abs=1e-5
    )  # a perplexity may be in the thousands
    assert shape(shared) == shape(expected)
    if task == "text-classification":
        assert engine.batches[0] == 1
        assert len(engine.batches) <= 3


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, (list, tuple)):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, float) else []


def shape(value: Any) -> Any:
    """A value without its numbers with a fraction."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shape(one) for one in value]
    return None if isinstance(value, float) else value


def test_only_requests_with_the_same_options_share_a_batch(queue: Queue) -> None:
    pipe, engine = held("text-classification", "two")
    two = options_of("text-classification", {"top_k": 2})
    futures = [queue.submit(pipe, [TEXTS[0]])]
    assert engine.reached.wait(10)
    futures += [queue.submit(pipe, [text], options) for text in TEXTS for options in (None, two)]
    waits_for(queue, 8)
    engine.go.set()
    found = [values(future.result(30))[0] for future in futures]
    assert engine.batches == [1, 4, 4]
    assert [isinstance(answer, list) for answer in found] == [False, *[False, True] * 4]


def waits_for(queue: Queue, examples: int) -> None:
    """Wait until so many examples are encoded."""
    for _ in range(2000):
        if queue.waiting == examples:
            return
        threading.Event().wait(0.005)
    raise AssertionError(f"{queue.waiting} examples wait")


def test_a_batch_has_at_most_so_many_tokens_and_the_earliest_deadlines() -> None:
    pipe, engine = held("text-classification", "two")
    queue = Queue(Limits(batch_tokens=20))
    order: list[int] = []
    first = queue.submit(pipe, ["a"])
    assert engine.reached.wait(10)
    for number, seconds in enumerate([300, 100, 200]):  # each has 10 tokens or more
        future = queue.submit(pipe, ["a a a a a a a a a"], seconds=seconds)
        future.add_done_callback(lambda _, number=number: order.append(number))
    waits_for(queue, 3)
    engine.go.set()
    queue.close()
    assert first.done()
    assert order == [1, 2, 0]
    assert engine.batches == [1, 1, 1, 1]


def test_batches_are_small_on_a_cpu_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that are written may have more tokens, as each step computes one token of each."""
    pipe, engine = held("text-classification", "two")
    queue = Queue()
    usual = queue.batch_tokens(pipe.engine)
    assert usual == 2_048 < queue.batch_tokens(pipe.engine, writes=True)
    monkeypatch.setattr("bertkit.serve.queue._ON_CPU", 20)
    queue.submit(pipe, ["a"])
    assert engine.reached.wait(10)
    for _ in range(3):
        queue.submit(pipe, ["a a a a a a a a a"])  # 10 tokens or more
    waits_for(queue, 3)
    engine.go.set()
    queue.close()
    assert engine.batches == [1, 1, 1, 1]
    engine.device = "cuda:0"
    assert queue.batch_tokens(pipe.engine) > usual


def test_an_invalid_example_does_not_affect_others(queue: Queue) -> None:
    pipe = pipeline_models.ours("text-classification", "two")
    found = values(queue.submit(pipe, ["a film", 3, "a soup"]).result(30))
    assert isinstance(found[1], UsageError)
    assert [found[0], found[2]] == [pipe.each([text])[0] for text in ("a film", "a soup")]
    with pytest.raises(UsageError, match="max_length"):  # an option that is invalid for all
        queue.submit(pipe, ["a"], options_of("text-classification", {"max_length": 1})).result(30)
    assert values(queue.submit(pipe, []).result(30)) == []


@pytest.mark.parametrize("error", [RuntimeError("no memory"), FileFormatError("a damaged graph")])
def test_an_error_of_the_model_at_one_example(queue: Queue, error: Exception) -> None:
    pipe = pipeline_models.ours("text-classification", "two")
    real, long = pipe.engine, 6 + 2  # six words and two special tokens

    class Fails(Held):
        def run(self, batch: Any, ask: Any) -> Any:
            if long in batch.lengths:
                raise error
            return real.run(batch, ask)

    pipe.engine = Fails(real)
    found = values(queue.submit(pipe, ["a film", "a a a a a a", "a soup"]).result(30))
    assert found[1] is error
    expected = pipeline_models.ours("text-classification", "two").each(["a film", "a soup"])
    assert numbers([found[0], found[2]]) == pytest.approx(numbers(expected), abs=1e-6)


def test_a_cancelled_request_leaves_the_queue(queue: Queue) -> None:
    pipe, engine = held("text-classification", "two")
    first = queue.submit(pipe, ["a"])
    assert engine.reached.wait(10)
    second, third = queue.submit(pipe, TEXTS), queue.submit(pipe, TEXTS[:1])
    waits_for(queue, 5)
    assert second.cancel()
    assert queue.waiting == 1
    engine.go.set()
    assert first.result(30) and third.result(30)
    assert engine.batches == [1, 1]


def test_a_cancelled_task_of_asyncio_leaves_the_queue(queue: Queue) -> None:
    pipe, engine = held("text-classification", "two")

    async def main() -> None:
        first = asyncio.wrap_future(queue.submit(pipe, ["a"]))
        assert await asyncio.to_thread(engine.reached.wait, 10)
        second = asyncio.wrap_future(queue.submit(pipe, TEXTS))
        await asyncio.to_thread(waits_for, queue, 4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await second
        await asyncio.to_thread(waits_for, queue, 0)
        engine.go.set()
        assert values(await first) == pipeline_models.ours("text-classification", "two").each(["a"])

    asyncio.run(main())
    assert engine.batches == [1]


def test_a_full_queue_refuses_at_once() -> None:
    pipe, engine = held("text-classification", "two")
    queue = Queue(Limits(requests=2))
    futures = [queue.submit(pipe, [text]) for text in TEXTS[:2]]
    with pytest.raises(FullError, match="2 requests"):
        queue.submit(pipe, TEXTS)
    assert futures[1].cancel()
    futures[1] = queue.submit(pipe, TEXTS)  # a request that leaves makes room
    engine.go.set()
    assert [len(future.result(30).answers) for future in futures] == [1, 4]
    queue.close()
    with pytest.raises(ClosedError):
        queue.submit(pipe, TEXTS)


def test_a_late_request_is_not_computed(queue: Queue) -> None:
    pipe, engine = held("text-classification", "two")
    first = queue.submit(pipe, ["a"])
    assert engine.reached.wait(10)
    late = queue.submit(pipe, TEXTS, seconds=0)
    waits_for(queue, 4)
    engine.go.set()
    with pytest.raises(TimeoutError):
        late.result(30)
    assert first.result(30)
    assert engine.batches == [1]


def test_texts_that_are_too_long() -> None:
    queue = Queue(Limits(input_tokens=12))
    pipe = pipeline_models.ours("token-classification", "names")
    found = values(queue.submit(pipe, ["a a a", "a " * 100]).result(30))
    assert isinstance(found[1], TooLongError)
    assert "12" in str(found[1])
    assert isinstance(found[0], list)
    queue.close()


def test_models_take_turns_by_tokens() -> None:
    """Ten batches of one model wait when a request for another arrives: it runs next."""
    busy, engine = held("text-classification", "two")
    other = pipeline_models.ours("token-classification", "names")
    queue = Queue(Limits(batch_tokens=12))
    order: list[str] = []
    first = queue.submit(busy, ["a"])
    assert engine.reached.wait(10)
    for _ in range(10):
        queue.submit(busy, ["a a a a a a a a"]).add_done_callback(lambda _: order.append("busy"))
    for _ in range(3):
        queue.submit(other, ["a a a a a a a a"]).add_done_callback(lambda _: order.append("other"))
    waits_for(queue, 13)
    engine.go.set()
    queue.close()
    assert first.done()
    assert order.count("busy") == 10
    assert max(number for number, name in enumerate(order) if name == "other") <= 6


def test_a_closed_queue_has_answered_everything() -> None:
    pipe = pipeline(
        "feature-extraction", pipeline_models.engine("plain", "Model"), tokenizer=pipeline_models.tokenizer()
    )
    queue = Queue()
    encode = queue._encode
    queue._encode = lambda request: (time.sleep(0.005), encode(request))[1]  # type: ignore[method-assign]
    futures = [queue.submit(pipe, TEXTS) for _ in range(20)]  # the model waits for the encoder between batches
    queue.close()
    assert all(len(future.result(0).answers) == 4 for future in futures)


def test_times_and_counts() -> None:
    seen: list[tuple[int, int]] = []
    queue = Queue(on_batch=lambda examples, tokens: seen.append((examples, tokens)))
    found = queue.submit(pipeline_models.ours("text-classification", "two"), ["a", "a a a"]).result(30)
    queue.close()
    assert min(found.encoding, found.waiting, found.computing) >= 0
    assert found.computing > 0
    assert seen == [(2, found.tokens)]
    assert found.tokens == 8
