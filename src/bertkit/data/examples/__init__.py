"""Read examples with their answers, for training and evaluation."""

from __future__ import annotations

from bertkit.data.examples.collection import Examples as Examples
from bertkit.data.examples.read import read_examples as read_examples
