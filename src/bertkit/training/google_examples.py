"""Read the examples that Google's create_pretraining_data wrote, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator

from bertkit.checkpoint.tfrecords import read_examples
from bertkit.data.batches import Row
from bertkit.data.pretraining.google import google_row
from bertkit.data.texts import Files, names_of


def read_google_examples(files: Files) -> Iterator[Row]:
    """Yield the Rows of TFRecord files, with their masks, as Google's program wrote them."""
    for file in names_of(files):
        for number, features in enumerate(read_examples(file), start=1):
            yield google_row(features, f"Record {number} of {file}")
