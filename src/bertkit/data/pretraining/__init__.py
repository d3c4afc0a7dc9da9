"""Examples for pretraining, made from shards when they are needed.

    masks.py         tokens with masks and targets: a Row
    plan.py          how the sentences of a shard are divided into examples
    pairs.py         sentence pairs, for masked words and next sentence prediction
    sequences.py     full sentences, for masked words only
    epoch.py         the examples of one epoch, in random order
    google.py        the examples of Google's create_pretraining_data

Every example is a pure function of (seed, epoch, index): no order, batch, process or machine changes it.
"""

from __future__ import annotations

from bertkit.data.pretraining.masks import Masking as Masking
from bertkit.data.pretraining.pairs import SentencePairs as SentencePairs
from bertkit.data.pretraining.sequences import FullSentences as FullSentences
