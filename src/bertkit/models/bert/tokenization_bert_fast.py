"""The fast tokenizer under the path of transformers."""

from __future__ import annotations

from bertkit.text.tokenizer import BertTokenizerFast as BertTokenizerFast

VOCAB_FILES_NAMES = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
