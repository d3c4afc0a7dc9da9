"""Read the examples that Google's create_pretraining_data wrote, without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from bertkit.checkpoint.tfrecords import read_examples
from bertkit.data.batches import Row
from bertkit.data.pretraining.google import google_row


def read_google_examples(files: Sequence[str | os.PathLike[str]]) -> Iterator[Row]:
    """Yield the Rows of TFRecord files, with their masks, as Google's program wrote them."""
    return (google_row(features) for file in files for features in read_examples(file))
