"""The TensorFlow engine gives the results of the engine without a framework, with few graphs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from conformance.keras_backend import tensorflow
from engine_calls import CALLS, MASKED, assert_close
from pipeline_cases import MODELS, config, weights
from pipeline_models import engine, folder, ours, tokenizer

import bertkit
from bertkit.cli import main
from bertkit.config import BertConfig
from bertkit.data.batches import Row, Target, by_length, pack
from bertkit.errors import UsageError
from bertkit.heads import HEADS, Ask
from bertkit.tasks import TASKS, task_class

tensorflow()
from bertkit.engines.keras import KerasEngine, model_class  # noqa: E402


def rows(lengths: list[int], places: bool = False) -> list[Row]:
    rng = np.random.default_rng(0)
    found = [Row(rng.integers(5, 200, length), rng.integers(0, 2, length)) for length in lengths]
    if not places:
        return found
    words = {"labels": Target(np.array([7]), "place")}
    return [Row(row.input_ids, row.token_type_ids, np.array([len(row) - 1]), words) for row in found]


def xla(name: str) -> KerasEngine:
    head = MODELS[name][0]
    return KerasEngine(model_class(head)._of_tensors(config(name), weights(name)), jit_compile=True)


@pytest.mark.parametrize("task", [task for task in TASKS if not task_class(task).writes])
def test_pipelines_give_the_results_of_the_numpy_engine(task: str) -> None:
    name, given, options = CALLS[task]
    runner = engine(name, task_class(task).head, "keras")
    before = runner.graphs  # other tests share the engine
    assert_close(ours(task, name, "keras")(given, **options), ours(task, name)(given, **options))
    assert runner.graphs - before <= 2  # for example logits, and log-probabilities of words


@pytest.mark.parametrize("task", ["fill-mask", "question-answering", "multiple-choice"])
def test_pipelines_with_xla(task: str) -> None:
    """Rows are padded to one of ten lengths, the numbers of rows and of positions to powers of two."""
    name, given, options = CALLS[task]
    tested = bertkit.pipeline(task, xla(name), tokenizer=tokenizer(), batch_size=3)
    assert_close(tested(given, **options), ours(task, name)(given, **options))


def test_all_outputs_of_an_engine() -> None:
    """Outputs, states of layers, pooled vectors and log-probabilities of words."""
    for name in ("masked", "plain", "joint", "decoder"):
        head = MODELS[name][0]
        outputs = tuple(HEADS[head].outputs) if head != "Model" else ("last_hidden_state",)
        pooled = any(part == "bert.pooler." for part in HEADS[head].parts)
        words = "bert.pooler." not in HEADS[head].parts
        ask = Ask(outputs, layers=(0, 1, 2), pooled=pooled, log_probs=words)
        batch = pack(rows([5, 64, 1, 17, 30], places=head != "Model"))
        found, wanted = (engine(name, head, kind).run(batch, ask) for kind in ("keras", "numpy"))
        assert found.keys() == wanted.keys() == ask.grains(head).keys()
        for key, array in found.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, wanted[key], rtol=1e-5, atol=1e-5, err_msg=f"{name} {key}")


def small() -> Any:
    return bertkit.TFBertForSequenceClassification(
        BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    )


def run_all_lengths(tested: KerasEngine, longest: int) -> None:
    """Run each length from 1 to `longest`, in batches of random sizes, as pipelines make them."""
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.arange(1, longest + 1))
    while len(lengths):
        some, lengths = np.split(lengths, [int(rng.integers(1, 65))])
        texts = [Row(np.ones(length, int), np.zeros(length, int)) for length in some]
        for numbers in by_length(texts, tested.limits):
            tested.run(pack([texts[number] for number in numbers]), Ask(("logits",)))


def test_all_lengths_use_one_graph() -> None:
    tested = KerasEngine(small())
    run_all_lengths(tested, 512)
    assert tested.graphs == 1


def test_the_number_of_graphs_is_bounded_with_xla() -> None:
    """All lengths and numbers of rows are padded to 65 shapes, and each shape is compiled once."""
    tested = KerasEngine(small(), jit_compile=True)
    shapes = set()
    for length in range(1, 513):
        bucket = next(one for one in tested.limits.buckets if one >= length)
        shapes |= {(tested._padded(count), bucket) for count in range(1, tested.limits.tokens // bucket + 1)}
    assert len(shapes) == 65
    run_all_lengths(tested, 40)
    before = tested.graphs
    run_all_lengths(tested, 40)
    assert before == tested.graphs <= len({shape for shape in shapes if shape[1] <= 48})


def test_a_framework_or_a_model_chooses_the_engine() -> None:
    name, given, options = CALLS["text-classification"]
    model = bertkit.TFBertForSequenceClassification.from_pretrained(folder(name))
    wanted = ours("text-classification", name)(given, **options)
    for where, chosen in ((model, {}), (folder(name), {"framework": "tf"}), (folder(name), {"engine": "keras"})):
        pipe = bertkit.pipeline("text-classification", where, tokenizer=tokenizer(), **chosen)
        assert isinstance(pipe.engine, KerasEngine) and pipe.precision == "fp32"
        assert_close(pipe(given, **options), wanted)
    with pytest.raises(UsageError, match=r"framework='tf'.* contradicts engine='torch'"):
        bertkit.pipeline("text-classification", folder(name), framework="tf", engine="torch")
    half = bertkit.pipeline("text-classification", folder(name), engine="keras", precision="bf16")
    assert half.precision == "bf16"
    for options in ({"device": "cuda:7"}, {"device": 3}):
        with pytest.raises(UsageError, match="TensorFlow finds 0 GPUs"):
            bertkit.pipeline("text-classification", folder(name), engine="keras", **options)


def test_the_command_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = []
    for kind in ("keras", "numpy"):
        assert main(["fill-mask", MASKED[0], "--model", str(folder("masked")), "--engine", kind, "--json"]) == 0
        found.append(json.loads(capsysbinary.readouterr().out))
    assert_close(*found)
