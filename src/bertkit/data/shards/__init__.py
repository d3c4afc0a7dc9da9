"""Shards: the documents of a corpus as tokens in memory-mapped files, with the boundaries of sentences and words.

documents.py    files -> documents
sentences.py    a document -> sentences
encoding.py     documents -> tokens, in several processes
write.py        tokens -> shards
read.py         shards -> documents
split.py        documents that are held out for evaluation
"""

from __future__ import annotations

from bertkit.data.shards.read import Shards as Shards
