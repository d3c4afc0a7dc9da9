"""Event files, read back with TensorFlow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bertkit.training.events import EventWriter


def read(path: Path) -> list[Any]:
    """Return the events of a file. TensorFlow checks the checksums."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    return [event_pb2.Event.FromString(data) for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]


def test_tensorflow_reads_the_scalars(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "runs" / "one")
    writer.scalars(0, {"train/loss": 0.0, "train/lr": 5e-5}, seconds=1_700_000_000.25)
    writer.scalars(3_000_000_000, {"Verlust 😀": math.nan, "huge": 1e300})
    writer.close()
    first, start, one, two = read(writer.path)
    assert first.file_version == "brain.Event:2" and first.wall_time > 1_700_000_000
    assert (start.step, start.session_log.status) == (0, start.session_log.START)
    assert (one.step, one.wall_time) == (0, 1_700_000_000.25)
    assert [(value.tag, value.WhichOneof("value")) for value in one.summary.value] == [
        ("train/loss", "simple_value"),
        ("train/lr", "simple_value"),
    ]
    assert [value.simple_value for value in one.summary.value] == [0.0, pytest.approx(5e-5)]
    assert two.step == 3_000_000_000
    assert {value.tag: str(value.simple_value) for value in two.summary.value} == {"Verlust 😀": "nan", "huge": "inf"}


def test_a_resumed_run_writes_a_new_file(tmp_path: Path) -> None:
    """Its first event says from which step on TensorBoard ignores the earlier files."""
    for step in (10, 20):
        writer = EventWriter(tmp_path)
        writer.scalars(step, {"loss": 1.0})
        writer.scalars(step + 10, {"loss": 0.5})
        writer.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2 and all("tfevents" in path.name for path in files)
    starts = [[event.step for event in read(path) if event.HasField("session_log")] for path in files]
    assert sorted(starts) == [[10], [20]]


def test_each_step_is_on_disk_at_once(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.scalars(1, {"loss": 1.0})
    assert [event.step for event in read(writer.path)][-1] == 1
    writer.close()
