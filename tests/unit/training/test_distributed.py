"""Two processes (gloo, on a CPU) make the same steps as one with the same batches, with DDP and with FSDP2."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pretraining_cases
import pytest
import tiny_runs
import train_in_processes
import training_cases

from bertkit.checkpoint import safetensors_file
from bertkit.errors import UsageError
from bertkit.tasks.embedding import Recipe
from bertkit.training.distributed import Processes
from bertkit.training.embeddings import Embeddings, negatives_loss
from bertkit.training.finetune import finetune
from bertkit.training.loop import Finetuner

KINDS = ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")  # the last has tied embeddings
WAYS = {"ddp": False, "fsdp2": True}

# 9 examples by 4: the last step has one example, and an idle process. batch_tokens splits the steps into batches.
UNEVEN = {"count": 9, "batch_size": 4, "epochs": 2, "batch_tokens": 24, "clip": 0.5}
DROPOUT = {"kind": KINDS[0], "count": 9, "batch_size": 4, "epochs": 2, "dropout": 0.1}

# The steps with long examples follow those with short ones, and batch_tokens splits both.
PRETRAINED = {"max_steps": 5, "short_length": 16, "short_steps": 0.5, "batch_size": 7, "batch_tokens": 70, "clip": 0.5}
PRETRAINED_KINDS = ("ForPreTraining", "ForMaskedLM")

TAUGHT = {"kind": KINDS[0], "taught": True, "hidden_states": 1.0, **UNEVEN}


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(port),
        *words,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of small shards."""
    return str(pretraining_cases.shards(tmp_path_factory.mktemp("corpus")).folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, shards: str) -> Path:
    """Return the folder with the results of all cases, trained by two processes of torchrun."""
    cases: dict[str, Any] = {}
    for way, shard in WAYS.items():
        cases |= {f"{kind} {way}": {"kind": kind, "shard": shard, **UNEVEN} for kind in KINDS}
        cases |= {f"whole {way}": {"shard": shard, **DROPOUT}, f"resumed {way}": {"shard": shard, "stop": 3, **DROPOUT}}
        for kind in PRETRAINED_KINDS:
            cases[f"pretrained {kind} {way}"] = {"kind": kind, "shards": shards, "shard": shard, **PRETRAINED}
    cases["taught"] = TAUGHT
    out = tmp_path_factory.mktemp("two")
    torchrun(train_in_processes.__file__, str(out), json.dumps(cases))
    return out


def results(folder: Path) -> tuple[list[dict[str, float]], dict[str, np.ndarray]]:
    """Return the steps and the final weights of a run."""
    weights = safetensors_file.read(folder / "weights.safetensors")
    return json.loads((folder / "steps.json").read_text()), {name: np.array(array) for name, array in weights.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_as_one(kind: str, way: str, two: Path, tmp_path: Path) -> None:
    train_in_processes.train(tmp_path, Processes(), kind, **UNEVEN)
    expected, reference = results(tmp_path)
    found, weights = results(two / f"{kind} {way}")
    assert len(expected) == len(found) == 6
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
        assert ours["tokens"] == theirs["tokens"]
    assert weights.keys() == reference.keys()
    for name, array in reference.items():
        if "key.bias" not in name:  # it shifts all scores of a row: its gradient is rounding, which Adam makes large
            np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PRETRAINED_KINDS)
def test_two_processes_pretrain_as_one(kind: str, way: str, two: Path, shards: str, tmp_path: Path) -> None:
    train_in_processes.train(tmp_path, Processes(), kind, shards=shards, **PRETRAINED)
    (expected, reference), (found, weights) = results(tmp_path), results(two / f"pretrained {kind} {way}")
    assert len(expected) == len(found) == 5
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
        assert (ours["tokens"], ours["flops"]) == (theirs["tokens"], theirs["flops"])
    assert weights.keys() == reference.keys()
    for name, array in reference.items():
        if "key.bias" not in name:
            np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-5, err_msg=name)


def test_two_processes_with_a_teacher_are_as_one(two: Path, tmp_path: Path) -> None:
    """Also the matrix between student and teacher, which is not part of the model."""
    train_in_processes.train(tmp_path, Processes(), **TAUGHT)
    (expected, reference), (found, weights) = results(tmp_path), results(two / "taught")
    assert [ours == pytest.approx(theirs, abs=1e-5) for ours, theirs in zip(found, expected, strict=True)] == [True] * 6
    for name, array in reference.items():
        if "key.bias" not in name:
            np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_of_two_processes_continues_exactly(way: str, two: Path) -> None:
    """With dropout, each process has its own random numbers, in the resumed run too."""
    expected, reference = results(two / f"whole {way}")
    found, weights = results(two / f"resumed {way}")
    assert (two / f"resumed {way}" / "checkpoint-3" / "config.json").exists()
    assert found == expected
    assert all(np.array_equal(weights[name], array) for name, array in reference.items())


def test_sharding_needs_several_processes() -> None:
    with pytest.raises(UsageError, match="shard=True needs several processes, started with torchrun"):
        train_in_processes.tuner(KINDS[0], Processes(), 4, shard=True)


def test_losses_of_all_texts_of_a_step_need_one_process() -> None:
    processes = Processes()
    processes.count = 2
    objective = Embeddings(Recipe(), negatives_loss)
    with pytest.raises(UsageError, match="compares all texts of a step needs one process: start it without torchrun"):
        Finetuner(
            training_cases.model("Model"), training_cases.units(), objective, training_cases.settings(), processes
        )


def test_the_command_shards_a_model(tmp_path: Path) -> None:
    """Evaluations, checkpoints and the output folder are those of one process."""
    model, train = tiny_runs.write_model(tmp_path / "model"), tiny_runs.write_examples(tmp_path / "train.jsonl", 33)
    options = {"epochs": 2.0, "batch_size": 8, "batch_tokens": 60, "lr": 1e-3, "dropout": 0.0, "log_steps": 1}
    one = finetune("text-classification", model, train, train, tmp_path / "one", **options)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    files = ["--model", str(model), "--train", str(train), "--eval", str(train), "--out", str(tmp_path / "two")]
    command = ["-m", "bertkit", "finetune", "--task", "text-classification", *files, *words, "--shard", "--json"]
    done = torchrun(*command)
    scores = json.loads(done.stdout)  # a single line, from the first process
    assert scores == pytest.approx(dict(one.scores), abs=1e-6)
    assert done.stderr.count("has no classifier") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    for name in ("model.safetensors", "checkpoint-10/model.safetensors", "checkpoint-10/training.safetensors"):
        expected = safetensors_file.read(tmp_path / "one" / name)
        found = safetensors_file.read(tmp_path / "two" / name)
        assert found.keys() == expected.keys()
        for key, array in expected.items():
            if not key.startswith("random.") and "key.bias" not in key:
                np.testing.assert_allclose(found[key], array, rtol=0, atol=1e-5, err_msg=key)
