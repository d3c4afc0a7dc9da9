"""BertTokenizer, BasicTokenizer and WordpieceTokenizer under the path of transformers."""

from __future__ import annotations

from bertkit.text.parts import BasicTokenizer as BasicTokenizer
from bertkit.text.parts import WordpieceTokenizer as WordpieceTokenizer
from bertkit.text.parts import load_vocab as load_vocab
from bertkit.text.parts import whitespace_tokenize as whitespace_tokenize
from bertkit.text.tokenizer import BertTokenizer as BertTokenizer

VOCAB_FILES_NAMES = {"vocab_file": "vocab.txt"}
