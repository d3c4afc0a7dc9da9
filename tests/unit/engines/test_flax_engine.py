"""The Flax engine gives the outputs of the NumPy engine, and compiles only a few shapes.

Outputs are compared in float64, so that rounding of the libraries does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipeline_cases import MODELS, config, weights
from pipeline_models import engine, folder, tokenizer

import bertkit
from bertkit.cli import main
from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target, by_length, pack
from bertkit.engines.flax import FlaxEngine, device_of, lengths_to, model_class, power_of_two
from bertkit.engines.numpy import NumpyEngine
from bertkit.errors import UsageError
from bertkit.heads import HEADS, Ask
from bertkit.models.flax.tree import placed
from bertkit.pipelines import pipeline
from bertkit.tasks import TASKS, task_class

NAMES = {
    "masked": "ForMaskedLM",
    "plain": "Model",
    "answers": "ForQuestionAnswering",
    "five": "ForSequenceClassification",
    "names": "ForTokenClassification",
    "choices": "ForMultipleChoice",
    "order": "ForNextSentencePrediction",
}


def rows(lengths: list[int]) -> list[Row]:
    rng = np.random.default_rng(0)
    return [Row(rng.integers(5, 200, length), rng.integers(0, 2, length)) for length in lengths]


def in_float64(name: str, head: str) -> tuple[FlaxEngine, NumpyEngine]:
    """The Flax engine and the NumPy engine, in float64."""
    tensors = {key: array.astype(np.float64) for key, array in weights(name).items()}
    pooler = head != "Model" or "bert.pooler.dense.weight" in tensors
    model = model_class(head)(config(name), dtype=jnp.float64, _do_init=False, add_pooling_layer=pooler)
    model._params, model._initialized = placed(tensors, model._paths()), True
    return FlaxEngine(model), NumpyEngine(config(name), head, tensors)


@pytest.fixture
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(("name", "head"), NAMES.items())
def test_outputs_are_those_of_numpy(name: str, head: str) -> None:
    batch = pack(rows([5, 64, 1, 17, 30]))
    ask = Ask(tuple(HEADS[head].outputs) if head != "Model" else ("last_hidden_state",), layers=(0, 2))
    found, wanted = (one.run(batch, ask) for one in in_float64(name, head))
    assert found.keys() == ask.grains(head).keys()
    for key, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[key], rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.usefixtures("_float64")
def test_words_at_places_and_their_log_probabilities() -> None:
    own, other = in_float64("masked", "ForMaskedLM")
    words = [
        Row(row.input_ids, row.token_type_ids, np.array([1, 3]), {"labels": Target(np.array([7, 9]), "place")})
        for row in rows([9, 12, 5])
    ]
    ask = Ask(("logits",), layers=(1,), log_probs=True)
    found, wanted = own.run(pack(words), ask), other.run(pack(words), ask)
    for key in ("logits", "log_probs", "hidden_states"):
        np.testing.assert_allclose(found[key], wanted[key], atol=1e-5, err_msg=key)
    with pytest.raises(UsageError, match='the target "labels"'):
        own.run(pack(rows([4])), Ask(log_probs=True))


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The compilations of JAX during a test, one entry each."""
    found: list[str] = []

    def listener(event: str, _: float, **__: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listener)
    yield found
    jax.monitoring.unregister_event_duration_listener(listener)


def small(head: str) -> FlaxEngine:
    """An engine with a very small model of 512 positions."""
    sizes = {
        "vocab_size": 9,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 4,
    }
    return FlaxEngine(model_class(head)(BertConfig(**sizes, num_labels=2)))


def test_compilations_for_all_lengths_are_bounded(compiled: list[str]) -> None:
    """Run all lengths from 1 to 512 in requests of many sizes, twice. The second time compiles nothing."""
    own, lengths = small("ForMaskedLM"), np.random.default_rng(0).permutation(np.arange(1, 513))
    texts = [Row(np.ones(length, int), np.zeros(length, int), np.arange(0, length, 7)) for length in lengths]
    counts = []
    for _ in range(2):
        compiled.clear()
        for numbers in np.split(np.arange(512), np.cumsum([1, 2, 4, 1, 8, 1, 16, 3, 32, 1, 64, 1, 128])):
            request = [texts[number] for number in numbers]
            for batch in by_length(request, own.limits):
                own.run(pack([request[number] for number in batch]), Ask(("logits",)))
        counts.append(len(compiled))
    assert counts == [own.compilations, 0]
    assert own._run_body._cache_size() <= 39 and own._run_head._cache_size() <= 9 and own._select._cache_size() <= 45


def test_the_shapes_of_512_positions() -> None:
    """All lengths with all numbers of rows of a batch give the number of shapes in the docstring of the engine."""
    limits, shapes = small("ForTokenClassification").limits, set()
    for length in range(1, 513):
        bucket = next(bucket for bucket in limits.buckets if bucket >= length)
        shapes |= {(power_of_two(count), bucket) for count in range(1, limits.tokens // bucket + 1)}
    assert len(shapes) == 39 and len({rows * bucket for rows, bucket in shapes}) == 9


TEXTS = {"text": "Rain is expected in the west.", "text_pair": "The east will stay dry."}
CALLS: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("fill-mask", "masked", "The old [MASK] was built.", {}),
    ("fill-mask", "joint", ["The [MASK] was [MASK].", "A [MASK]."], {"top_k": 2}),
    ("text-classification", "five", "What a wonderful evening!", {}),
    ("text-classification", "tags", [TEXTS, {"text": "Rain."}], {"top_k": None}),
    ("token-classification", "names", "Maria Lopez moved from Lima.", {"aggregation_strategy": "simple"}),
    ("feature-extraction", "plain", "Rain is expected.", {"pooling": "mean"}),
    ("feature-extraction", "plain", "Rain is expected.", {}),
    ("question-answering", "answers", {"question": "Who moved?", "context": "Maria Lopez moved from Lima."}, {}),
    ("zero-shot-classification", "follows", "Rain is expected.", {"candidate_labels": ["weather", "food"]}),
    ("multiple-choice", "choices", {"text": "Rain is", "choices": ["expected.", "a dog."]}, {}),
    ("next-sentence-prediction", "order", TEXTS, {}),
    ("next-sentence-prediction", "joint", TEXTS, {}),
    ("sentence-similarity", "plain", {"source_sentence": "Rain.", "sentences": ["Snow fell.", "A dog barks."]}, {}),
    ("sentence-embedding", "plain", {"text": "Rain.", "text_pair": "Snow.", "negative": "A dog."}, {}),
    ("sentence-scoring", "masked", "Rain is expected.", {"tokens": True}),
    ("sentence-scoring", "decoder", "Rain is expected.", {}),
    ("pretraining", "joint", {"text": "Rain is [MASK].", "text_pair": "The [MASK] is cold."}, {}),
]


@pytest.mark.parametrize(("task", "name", "given", "options"), CALLS)
def test_pipelines_answer_as_with_numpy(task: str, name: str, given: Any, options: dict[str, Any]) -> None:
    found, wanted = (
        pipeline(task, engine(name, MODELS[name][0], kind), tokenizer=tokenizer(), **options)(given)
        for kind in ("flax", "numpy")
    )
    _alike(found, wanted)


def test_every_task_is_tested() -> None:
    assert {task for task, *_ in CALLS} == {task for task in TASKS if not task_class(task).writes}


def test_framework_chooses_the_engine() -> None:
    pipe = pipeline("fill-mask", folder("masked"), framework="flax")
    assert isinstance(pipe.engine, FlaxEngine)
    _alike(
        pipe("The old [MASK] was built."),
        pipeline("fill-mask", folder("masked"), engine="numpy")("The old [MASK] was built."),
    )
    with pytest.raises(UsageError, match="framework='flax' contradicts engine='torch'"):
        pipeline("fill-mask", folder("masked"), framework="flax", engine="torch")


def test_the_command_line_chooses_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for kind in ("flax", "numpy"):
        assert (
            main(
                ["fill-mask", "--model", str(folder("masked")), "The old [MASK] was built.", "--engine", kind, "--json"]
            )
            == 0
        )
        answers.append(json.loads(capsys.readouterr().out))
    _alike(*answers)


def _alike(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            _alike(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            _alike(one, other)
    elif isinstance(wanted, float):
        assert abs(found - wanted) < 1e-5 * max(
            1, abs(wanted)
        )  # perplexities are in the thousands, and float32 has seven digits
    else:
        assert found == wanted


def test_a_model_and_its_folder_give_the_same_answers(tmp_path: Path) -> None:
    model = bertkit.FlaxBertForSequenceClassification.from_pretrained(folder("five"))
    one = pipeline("text-classification", model, tokenizer=tokenizer())
    two = pipeline("text-classification", folder("five"), engine="flax", dtype="float32")
    assert isinstance(one.engine, FlaxEngine) and isinstance(two.engine, FlaxEngine)
    _alike(one("What a film."), two("What a film."))


def test_devices_and_precisions() -> None:
    cpu = jax.devices("cpu")[0]
    assert device_of(None) == device_of(-1) == device_of("cpu") == device_of(cpu) == cpu
    assert device_of(1) == device_of("cpu:1") == jax.devices()[1]
    for given in ("cud", "cpu:99", 1.5):
        with pytest.raises(UsageError, match='is invalid: choose one of "cpu:0", "cpu:1"'):
            device_of(given)
    half = FlaxEngine.open(weights("five"), config("five"), "ForSequenceClassification", "cpu:1", "bf16")
    assert half.precision == "bf16" and half.device == jax.devices()[1]
    wanted = engine("five", "ForSequenceClassification").run(pack(rows([5, 9])), Ask(("logits",)))["logits"]
    np.testing.assert_allclose(half.run(pack(rows([5, 9])), Ask(("logits",)))["logits"], wanted, atol=0.3)
    with pytest.raises(UsageError, match='engine="flax" does not support precision=.int8.: choose one of auto, fp32'):
        FlaxEngine.open(weights("five"), config("five"), "ForSequenceClassification", None, "int8")
    with pytest.raises(UsageError, match='this model has no pooler: type pooling="mean"'):
        engine("masked", "Model", "flax").run(pack(rows([3])), Ask(pooled=True))


def test_lengths() -> None:
    assert lengths_to(512) == (16, 32, 64, 128, 256, 512)
    assert lengths_to(10) == (10,)
