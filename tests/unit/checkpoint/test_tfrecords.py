"""TFRecord files, written by TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertkit.checkpoint.crc32c import masked_crc32c
from bertkit.checkpoint.protobuf import field, varint
from bertkit.checkpoint.tfrecords import parse_example, read_examples
from bertkit.data.pretraining.google import google_row
from bertkit.errors import DataError, FileFormatError
from bertkit.training.google_examples import read_google_examples

LISTS = {
    "input_ids": [2, 300, 4, 70_000, 3, 5, 3, 0, 0],
    "input_mask": [1, 1, 1, 1, 1, 1, 1, 0, 0],
    "segment_ids": [0, 0, 0, 0, 0, 1, 1, 0, 0],
    "masked_lm_positions": [2, 5, 0],
    "masked_lm_ids": [70_001, 6, 0],
    "next_sentence_labels": [1],
    "odd": [-1, 2**40, -(2**63), 2**63 - 1],
    "empty": [],
}


def write(path: Path, examples: list[dict[str, list[int]]]) -> Path:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for lists in examples:
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for name, values in lists.items()
            }
            weights = tf.train.FloatList(value=[1.0, 1.0, 0.0])
            features["masked_lm_weights"] = tf.train.Feature(float_list=weights)
            features["name"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def test_examples_of_tensorflow(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [LISTS, {**LISTS, "input_ids": list(range(3_000))}])
    first, second = read_examples(path)
    assert {name: first[name].tolist() for name in LISTS} == LISTS
    assert first["masked_lm_weights"].tolist() == [1, 1, 0] and "name" not in first
    assert second["input_ids"].tolist() == list(range(3_000))


def test_rows_of_google(tmp_path: Path) -> None:
    (row,) = read_google_examples([write(tmp_path / "a.tfrecord", [LISTS])])
    assert row.input_ids.tolist() == [2, 300, 4, 70_000, 3, 5, 3]
    assert row.token_type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert row.positions is not None and row.positions.tolist() == [2, 5]
    assert row.targets["labels"].values.tolist() == [70_001, 6] and row.targets["labels"].grain == "place"
    assert row.targets["next_sentence_label"].values == 1
    other = write(tmp_path / "b.tfrecord", [{"input_ids": [1]}])
    with pytest.raises(DataError, match=r"Record 1 of .*b\.tfrecord lacks input_mask"):
        list(read_google_examples(other))


def test_damage_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [LISTS])
    data = path.read_bytes()
    for number in range(0, len(data), 7):
        path.write_bytes(data[:number] + bytes([data[number] ^ 4]) + data[number + 1 :])
        with pytest.raises(FileFormatError, match="Record 1"):
            list(read_examples(path))
    path.write_bytes(data[:-3])
    with pytest.raises(FileFormatError, match="damaged"):
        list(read_examples(path))


def test_a_length_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    for size in (2**60, 2**64 - 1, 2**21):
        head = size.to_bytes(8, "little")
        path.write_bytes(head + masked_crc32c(head).to_bytes(4, "little") + b"x" * 100)
        with pytest.raises(FileFormatError, match="Record 1"):
            list(read_examples(path))
    for wrong in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileFormatError, match="cannot be read"):
            list(read_examples(wrong))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("input_ids", [2.0] * 9), ("input_ids", [2, -3, 4, 5, 6, 7, 8, 0, 0]), ("input_ids", [2**40] * 9), ("input_ids", [2]),
        ("input_mask", [1, 0, 1, 0, 0, 0, 0, 0, 0]), ("input_mask", [7] + [0] * 8), ("input_mask", [0] * 9),
        ("segment_ids", [-1] * 9), ("masked_lm_positions", [2, -5, 0]), ("masked_lm_positions", [2, 7, 0]),
        ("masked_lm_positions", [1.5, 2.5, 0.0]), ("masked_lm_ids", [6, -1, 0]), ("masked_lm_weights", [1.0]),
        ("next_sentence_labels", []), ("next_sentence_labels", [7]), ("next_sentence_labels", [0, 1]),
    ],
)  # fmt: skip
def test_wrong_features(name: str, values: list[float]) -> None:
    lists = {**LISTS, "masked_lm_weights": [1.0, 1.0, 0.0], name: values}
    with pytest.raises(DataError):
        google_row({key: np.array(own, np.int64 if not own else None) for key, own in lists.items()})


@pytest.mark.parametrize("value", [field(1, 2**40), varint(1 << 3 | 1) + bytes(7) + b"\x01"])
def test_a_float_of_another_kind(value: bytes) -> None:
    """A varint, or 8 bytes, where a float has 4."""
    feature = field(2, value)
    example = field(1, field(1, field(1, b"weights") + field(2, feature)))
    with pytest.raises(FileFormatError, match="Record 1 has a float of more than 4 bytes"):
        parse_example(memoryview(example), "Record 1")
