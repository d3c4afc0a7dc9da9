"""The engine of the tokenizers library, and the backend of a plain BERT tokenizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bertkit.errors import TokenizerError, UsageError
from bertkit.text.files import TokenizerFiles
from bertkit.text.files.compose import compose, to_backend
from bertkit.text.files.tokenizer_json import backend_from
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.rust import RustEngine

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "un", "##aff", "##able", ",", "Hello"]


def plain(rules: Rules | None = None, **fields: object) -> TokenizerFiles:
    """A small BERT tokenizer."""
    files = TokenizerFiles(Vocabulary(TOKENS), rules or Rules(), **fields)  # type: ignore[arg-type]
    files.added = {files.vocabulary.ids[token.content]: token for token in files.special.values()}
    return files


@pytest.fixture
def engine() -> RustEngine:
    return RustEngine(to_backend(plain()))


def test_ids_are_packed(engine: RustEngine) -> None:
    ids, ends = engine.encode(["Hello, unaffable", "", "[MASK] zzz"])
    assert ids.tolist() == [5, 9, 6, 7, 8, 4, 1]
    assert ends.tolist() == [5, 5, 7]
    assert (ids.dtype, ends.dtype) == (np.int32, np.int64)


def test_a_lone_surrogate_is_refused(engine: RustEngine) -> None:
    with pytest.raises(UsageError, match="^The text has a lone surrogate, U\\+D800, at position 1"):
        engine.ids("a\ud800")
    for act in (engine.encode, engine.locate):
        with pytest.raises(UsageError, match="^Text 1 of the batch, counted from 0, has a lone"):
            act(["ok", "a\ud800"])
    for act_on_words in (engine.encode_words, engine.locate_words):
        with pytest.raises(UsageError, match="^The text, word 1, has a lone"):
            act_on_words([["ok", "a\ud800"]])


def test_no_texts(engine: RustEngine) -> None:
    for pieces in (engine.encode([]), engine.encode_words([])):
        assert pieces.ids.shape == pieces.ends.shape == (0,)


def test_words(engine: RustEngine) -> None:
    ids, ends = engine.encode_words([["Hello,", "unaffable"], []])
    assert ids.tolist() == [5, 9, 6, 7, 8]
    assert ends.tolist() == [5, 5]


def test_details(engine: RustEngine) -> None:
    text = "Hello  [MASK] unaffable"
    starts, ends, words = engine.locate([text]).details(0)
    assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == [
        "Hello",
        "[MASK]",
        "un",
        "aff",
        "able",
    ]
    assert words == [0, 1, 2, 2, 2]


def test_details_of_words(engine: RustEngine) -> None:
    starts, ends, words = engine.locate_words([["Hello,", "unaffable"]]).details(0)
    assert (starts, ends, words) == ([0, 5, 0, 2, 5], [5, 6, 2, 5, 9], [0, 0, 1, 1, 1])


def test_truncation_and_padding_of_the_file_are_off() -> None:
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    backend = to_backend(plain(truncation=truncation, padding=padding))
    assert backend.truncation and backend.padding
    assert RustEngine(backend).encode(["hello hello hello hello", "hello"]).ends.tolist() == [4, 5]


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(lowercase=False),
        Rules(strip_accents=True),
        Rules(chinese=False),
        Rules(clean=False, lowercase=False),
    ],
)
def test_the_backend_equals_one_built_with_the_library(rules: Rules) -> None:
    backend = Tokenizer(models.WordPiece(dict(Vocabulary(TOKENS).ids), unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(rules.clean, rules.chinese, rules.strip_accents, rules.lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    ours = to_backend(plain(rules))
    assert json.loads(backend.to_str())["post_processor"] == json.loads(ours.to_str())["post_processor"]
    for text in ("Hello, ÉÈ unaffable 世界\x01\t", "héllo"):
        assert ours.encode(text, "hello").ids == backend.encode(text, "hello").ids
        assert ours.encode(text, "hello").type_ids == backend.encode(text, "hello").type_ids


def test_tokenizer_json_equals_the_one_written_by_the_library() -> None:
    files = plain(prefix="@@", max_chars=50, decoder_clean_up=False)
    files.added[11] = AddedToken("Zürich", lstrip=True)
    assert to_backend(files).to_str(pretty=True) == compose(files)


def test_files_that_the_library_refuses() -> None:
    with pytest.raises(TokenizerError, match="model.json cannot be read by the tokenizers library"):
        backend_from('{"model": {"type": "Nonsense"}}', "model.json")
