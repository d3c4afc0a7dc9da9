"""The public methods of BertTokenizer and BertTokenizerFast, compared with transformers, and for consistency."""

from __future__ import annotations

import copy
import itertools
import json
import logging
import lzma
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizer_answers
import tokenizer_cases
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from bertkit.errors import UsageError
from bertkit.text.batch_encoding import BatchEncoding, CharSpan, TokenSpan
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast
from bertkit.text.vocabulary import AddedToken

CLASSES = (BertTokenizer, BertTokenizerFast)
ANSWERS = Path(__file__).parents[2] / "data" / "tokenizers_transformers4.json.xz"
SENTENCE = "Unaffable, the cafe is wanted here."


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(tokenizer_cases.VOCABULARY)


@pytest.fixture
def fast() -> BertTokenizerFast:
    return BertTokenizerFast(tokenizer_cases.VOCABULARY)


@pytest.fixture
def slow() -> BertTokenizer:
    return BertTokenizer(tokenizer_cases.VOCABULARY)


# Compared with transformers.


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast"])
def test_equal_to_transformers_4(name: str) -> None:
    """Random calls, with results recorded by tests/oracles/tokenizers_transformers4.py."""
    wanted = json.loads(lzma.decompress(ANSWERS.read_bytes()))[name]
    ours = tokenizer_answers.ours(name)
    differ = []
    for seed, theirs in enumerate(wanted):
        case = tokenizer_cases.case(seed)
        if not tokenizer_answers.agree(name, case, theirs, tokenizer_cases.answer(ours, case)):
            differ.append(seed)
    assert len(wanted) >= 1000
    assert differ == []


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The fast tokenizer of the transformers that is installed."""
    folder = tmp_path_factory.mktemp("theirs")
    BertTokenizerFast(tokenizer_cases.VOCABULARY).backend_tokenizer.save(str(folder / "tokenizer.json"))
    return transformers.BertTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("seed", range(5000, 5150))
def test_equal_to_the_installed_transformers(theirs: Any, seed: int) -> None:
    """Random calls without options on which versions of transformers differ."""
    case = tokenizer_cases.case(seed)
    if case["method"] != "__call__":
        return
    case = {**case, "added": False, "model_max_length": 512}
    names = ("padding", "truncation", "max_length", "is_split_into_words", "return_offsets_mapping", "return_tensors")
    case["options"] = {name: value for name, value in case["options"].items() if name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = tokenizer_cases.answer({False: theirs}, case)
    got = tokenizer_cases.answer(tokenizer_answers.ours("BertTokenizerFast"), case)
    assert tokenizer_answers.agree("BertTokenizerFast", case, wanted, got)


# Consistency.

TEXTS = st.lists(
    st.sampled_from(["un", "wanted", "unaffable", "the,", "中文", "[MASK]", "xyzzy", "Café"]), max_size=9
).map(" ".join)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), st.booleans(), st.integers(5, 12), st.booleans())
def test_batch_equals_single(pairs: list[tuple[str, str]], is_fast: bool, most: int, is_pair: bool) -> None:
    tokenizer = CLASSES[is_fast](tokenizer_cases.VOCABULARY)
    options: dict[str, Any] = {"truncation": True, "max_length": most, "padding": "max_length"}
    options |= {"return_special_tokens_mask": True, "return_offsets_mapping": True}
    sides = [list(side) for side in zip(*pairs, strict=True)][: 1 + is_pair]
    batch = tokenizer(*sides, **options)
    for row, texts in enumerate(zip(*sides, strict=True)):
        single = tokenizer(*texts, **options)
        assert {name: column[row] for name, column in batch.items()} == dict(single)
        assert single.tokens() == batch.tokens(row)
        plain = tokenizer(*texts, truncation=True, max_length=most, padding="max_length")
        assert dict(plain) == {name: single[name] for name in plain}
        assert plain.word_ids() == single.word_ids()


@given(TEXTS, st.booleans())
def test_offsets_point_to_the_characters_of_tokens(text: str, is_fast: bool) -> None:
    tokenizer = CLASSES[is_fast](tokenizer_cases.VOCABULARY)
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    for token, (start, end) in zip(encoded.tokens(), encoded["offset_mapping"], strict=True):
        assert 0 <= start < end <= len(text)
        if token != "[UNK]":
            assert text[start:end].lower().replace("é", "e") == token.removeprefix("##").lower()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stride", [0, 1, 3])
def test_windows_cover_the_text(fast: BertTokenizerFast, side: str, stride: int) -> None:
    """Neighbouring windows share `stride` tokens, and windows without the shared tokens make up the text."""
    fast.truncation_side = side  # type: ignore[assignment]
    text = " ".join("abcdefghijklmnopq")
    encoded = fast(text, truncation=True, max_length=7, stride=stride, return_overflowing_tokens=True)
    windows = [row[1:-1] for row in encoded["input_ids"]]
    if side == "left":
        windows.reverse()
    for before, after in itertools.pairwise(windows):
        shared = stride if side == "right" or before is not windows[0] else None
        assert shared is None or before[len(before) - shared :] == after[:shared]
    assert {index for window in windows for index in window} == set(fast(text, add_special_tokens=False)["input_ids"])
    assert max(map(len, windows)) == 5


def test_windows_of_both_texts(fast: BertTokenizerFast) -> None:
    """Every window of the first text is combined with every window of the second, beginning with the first of both."""
    encoded = fast("a b c d", "e f g", truncation=True, max_length=7, return_overflowing_tokens=True)
    rows = ["".join(token for token in row.tokens if len(token) == 1) for row in encoded.encodings or ()]
    assert rows == ["abef", "cdef", "cdg", "abg"]


def test_mapping_of_tokens_words_and_characters(tokenizer: Any) -> None:
    encoded = tokenizer([SENTENCE, "un"], ["the news", "low"], padding=True)
    assert encoded.tokens(1) == ["[CLS]", "un", "[SEP]", "low", "[SEP]", *["[PAD]"] * 11]
    assert encoded.word_ids(0)[:6] == [None, 0, 0, 0, 1, 2]
    assert encoded.words(0) == encoded.word_ids(0)
    assert encoded.sequence_ids(1)[:5] == [None, 0, None, 1, None]
    assert encoded.char_to_token(3) == encoded.char_to_token(0, 3) == 2
    assert encoded.char_to_token(0, 4, sequence_index=1) == len(encoded.tokens(0)) - 2
    assert encoded.char_to_token(0, 9) == 4
    assert encoded.char_to_token(0, 10) is None
    assert encoded.word_to_tokens(0, 0) == TokenSpan(1, 4)
    assert encoded.word_to_chars(0, 0) == CharSpan(0, 9)
    assert encoded.token_to_chars(0, 2) == CharSpan(2, 5)
    assert encoded.token_to_word(0, 2) == 0
    assert encoded.token_to_sequence(1, 3) == 1
    assert encoded.char_to_word(0, 11) == 2
    assert encoded.word_to_tokens(1, 0, sequence_index=1) == TokenSpan(3, 4)
    assert encoded.token_to_chars(1, 0) is None
    assert encoded.word_to_chars(1, 7) is None
    assert encoded.n_sequences == 2
    assert encoded.is_fast
    assert len(encoded.encodings) == 2
    assert encoded[0].ids == encoded["input_ids"][0]


def test_offsets_with_is_split_into_words(tokenizer: Any) -> None:
    """Word ids count the passed words, and offsets are relative to the word."""
    encoded = tokenizer(["unaffable", "don't", ""], is_split_into_words=True, return_offsets_mapping=True)
    assert encoded.word_ids()[1:4] == [0, 0, 0]
    assert set(encoded.word_ids()[4:-1]) == {1}
    assert encoded["offset_mapping"][1:5] == [(0, 2), (2, 5), (5, 9), (0, 2)]


def test_pickling_and_copies(tokenizer: Any) -> None:
    """Pickled results have tokens and offsets without the tokenizer, and pickled tokenizers keep their settings."""
    encoded = tokenizer(SENTENCE, return_tensors="np")
    back = pickle.loads(pickle.dumps(encoded))
    assert isinstance(back, BatchEncoding)
    assert back.tokens() == encoded.tokens()
    assert back.char_to_token(3) == 2
    assert np.array_equal(back["input_ids"], encoded["input_ids"])
    assert copy.copy(encoded).tokens() == copy.deepcopy(encoded).tokens() == encoded.tokens()
    tokenizer.add_tokens(["xyzzy"])
    for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert dict(other("the xyzzy")) == dict(tokenizer("the xyzzy"))
        assert repr(other) == repr(tokenizer)


# Tensors.


@pytest.mark.parametrize(("kind", "cls"), [("np", np.ndarray), ("pt", torch.Tensor)])
def test_tensors(tokenizer: Any, kind: str, cls: type) -> None:
    encoded = tokenizer(["un", "the low"], padding=True, return_tensors=kind, return_offsets_mapping=True)
    for name, column in encoded.items():
        assert isinstance(column, cls), name
        assert str(column.dtype).endswith("int64")
    assert tuple(encoded["offset_mapping"].shape) == (2, 4, 2)
    assert tuple(tokenizer("un", return_tensors=kind)["input_ids"].shape) == (1, 3)
    assert tuple(tokenizer([], return_tensors=kind)["input_ids"].shape) == (0, 0)


def test_tensors_of_tensorflow(fast: BertTokenizerFast) -> None:
    encoded = fast(["un", "the low"], padding=True, return_tensors="tf")
    assert encoded["input_ids"].dtype.name == "int32"
    assert fast.batch_decode(encoded["input_ids"], skip_special_tokens=True) == ["un", "the low"]


def test_conversion_and_devices(fast: BertTokenizerFast) -> None:
    encoded = fast(["un", "the"]).convert_to_tensors("pt").to("cpu")
    assert isinstance(encoded.input_ids, torch.Tensor)
    assert set(encoded.keys()) == {"input_ids", "token_type_ids", "attention_mask"}
    with pytest.raises(UsageError, match="Invalid device"):
        encoded.to(torch.float16)
    with pytest.raises(UsageError, match="padding=True"):
        fast(["un", "the low"]).convert_to_tensors("np")
    with pytest.raises(AttributeError, match="'inputs_ids'"):
        encoded.inputs_ids  # noqa: B018


@pytest.mark.parametrize("shape", ["list", "numpy", "torch", "range", "scalars"])
def test_decoding_takes_any_ids(tokenizer: Any, shape: str) -> None:
    ids = tokenizer("the news is here .")["input_ids"]
    forms: dict[str, Callable[[], Any]] = {
        "list": lambda: ids,
        "numpy": lambda: np.array(ids),
        "torch": lambda: torch.tensor(ids),
        "range": lambda: range(5, 6),
        "scalars": lambda: list(torch.tensor(ids)),
    }
    text = tokenizer.decode(forms[shape](), skip_special_tokens=True)
    assert text == ("[unused0]" if shape == "range" else "the news is here.")
    assert tokenizer.decode(ids[1]) == tokenizer.decode(torch.tensor(ids[1])) == "the"


# Added tokens.


def test_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert tokenizer.bos_token is None and tokenizer.bos_token_id is None
    assert tokenizer.special_tokens_map["cls_token"] == "[CLS]"
    size = len(tokenizer)
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"], "bos_token": "[CLS]"}) == 1
    assert len(tokenizer) == size + 1 == tokenizer.vocab_size + 1
    assert tokenizer.vocab["[ENT]"] == tokenizer.get_added_vocab()["[ENT]"] == size
    assert tokenizer.additional_special_tokens_ids == [size]
    assert tokenizer.bos_token_id == 2
    assert tokenizer("the [ENT]")["input_ids"] == [2, 9, size, 3]
    assert tokenizer.decode([9, size], skip_special_tokens=True) == "the"
    tokenizer.sep_token_id = 0
    assert tokenizer.sep_token == "[PAD]"
    assert tokenizer("the")["input_ids"] == [2, 9, 0]
    assert "[ENT]" in repr(tokenizer)


def test_claim_unused(tokenizer: Any) -> None:
    size = len(tokenizer)
    assert tokenizer.add_tokens(["xyzzy", AddedToken("plugh"), "the"], claim_unused=True) == 2
    assert len(tokenizer) == tokenizer.vocab_size == size
    assert tokenizer.convert_tokens_to_ids(["xyzzy", "plugh"]) == [5, 6]
    assert tokenizer("xyzzy [unused0] plugh")["input_ids"][1] == 5
    assert tokenizer.convert_ids_to_tokens(5) == "xyzzy"
    with pytest.raises(UsageError, match="only 2 unused tokens"):
        tokenizer.add_tokens(["q1", "q2", "q3"], claim_unused=True)


def test_special_tokens_in_text(tokenizer: Any) -> None:
    assert tokenizer.tokenize("the [MASK]") == ["the", "[MASK]"]
    assert "[MASK]" not in tokenizer.tokenize("the [MASK]", split_special_tokens=True)
    tokenizer.split_special_tokens = True
    assert "[MASK]" not in tokenizer.tokenize("the [MASK]")


def test_targets(tokenizer: Any) -> None:
    encoded = tokenizer(["the"], text_target=["un"])
    assert encoded["labels"] == [[2, 10, 3]]
    assert tokenizer(text_target="un")["input_ids"] == [2, 10, 3]


def test_collating(fast: BertTokenizerFast) -> None:
    """The collator of transformers pads with our tokenizer."""
    collate = transformers.DataCollatorWithPadding(fast)  # type: ignore[arg-type]
    batch = collate([{**fast("un"), "label": 1}, {**fast("the low"), "label": 0}])
    assert batch["input_ids"].tolist() == [[2, 10, 3, 0], [2, 9, 13, 3]]
    assert batch["labels"].tolist() == [1, 0]


# Warnings, logged once for each kind.


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING):
        yield lambda: [record.getMessage() for record in caplog.records]


def test_one_warning_for_texts_that_are_too_long(tokenizer: Any, said: Callable[[], list[str]]) -> None:
    assert tokenizer.model_max_length == 512
    tokenizer.model_max_length = 8
    tokenizer("a b c d e f g h", verbose=False)
    tokenizer("a b c d e f g h")
    tokenizer(["a b c d e f g h i", "a"])
    assert len(said()) == 1
    assert "10 tokens, 2 more than the 8" in said()[0]
    assert "truncation=True" in said()[0]


def test_a_warning_for_implied_truncation(tokenizer: Any, said: Callable[[], list[str]]) -> None:
    assert len(tokenizer("a b c d e", max_length=4)["input_ids"]) == 4
    assert len(tokenizer("a b c d e", max_length=4, padding=True)["input_ids"]) == 7
    assert ["truncation=True" in sentence for sentence in said()] == [True, True]


# Invalid calls, and a part of the error message for each.

WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "None": (lambda t: t(None), 'tokenizer("a text")'),
    "None in a batch": (lambda t: t(["a", None]), "Number 1 of the batch is None"),
    "int": (lambda t: t(3), 'The text is 3 (int), and a text must be a string'),
    "bytes": (lambda t: t(b"a"), "tokenizer(text.decode())"),
    "nested": (lambda t: t([["a", "b", "c"]]), "is_split_into_words=True"),
    "generator": (lambda t: t(x for x in "ab"), "a text must be a string"),
    "surrogate": (lambda t: t("a\ud800"), "The text has a lone surrogate, U+D800, at position 1"),
    "surrogate in a batch": (lambda t: t(["ok", "a\ud800"]), "Text 1 of the batch, counted from 0, has a lone surrogate"),
    "surrogate and options": (lambda t: t("a\ud800", truncation=True), "at position 1"),
    "surrogate to encode": (lambda t: t.encode("a\ud800"), "at position 1"),
    "surrogate to tokenize": (lambda t: t.tokenize("a\ud800"), "at position 1"),
    "surrogate in a second text": (lambda t: t("a", "é\ud800"), "at position 1"),
    "surrogate in an added token": (lambda t: t.add_tokens(["\ud800"]), "The token has a lone surrogate, U+D800"),
    "surrogate in words": (lambda t: t(["a", "\udc00"], is_split_into_words=True), "The text, word 1, has a lone surrogate"),
    "string as words": (lambda t: t("a text", is_split_into_words=True), "list of words"),
    "number as word": (lambda t: t([["a", 3]], is_split_into_words=True), "contains 3 (int), and a word must be a string"),
    "pairs of two lengths": (lambda t: t(["a", "b"], ["c"]), "A batch of 2 texts needs 2 second texts"),
    "string as pair of a batch": (lambda t: t(["a"], "b"), "text_pair is 'b'"),
    "ragged pairs": (lambda t: t([("a", "b"), ("c",)]), "which is not a pair"),
    "unknown argument": (lambda t: t("a", paddding=True), "Did you mean 'padding'?"),
    "unknown argument of encode": (lambda t: t.encode("a", max_lenght=3), "Did you mean 'max_length'?"),
    "retired argument": (lambda t: t("a", pad_to_max_length=True), 'padding="max_length"'),
    "unknown padding": (lambda t: t("a", padding="longst"), "Did you mean 'longest'?"),
    "number for padding": (lambda t: t("a", padding=3), "padding=3 is invalid: choose one of"),
    "unknown truncation": (lambda t: t("a", truncation="first"), "only_first"),
    "unknown tensors": (lambda t: t("a", return_tensors="torch"), '"pt"'),
    "ragged tensors": (lambda t: t(["a", "a b"], return_tensors="np"), "padding=True"),
    "text for max_length": (lambda t: t("a", truncation=True, max_length="8"), "max_length=128"),
    "number for a flag": (lambda t: t("a", return_length=3), "must be True or False"),
    "array for padding": (lambda t: t("a", padding=np.array([1, 2])), "is invalid: choose one of"),
    "endless padding": (lambda t: t("a", padding="max_length", max_length=10**30), "max_length=128"),
    "None as a word": (lambda t: t(["a", None], is_split_into_words=True), "None (NoneType), and a word must be a string"),
    "number for tokens": (lambda t: t.convert_tokens_to_ids(3), "is not a token"),
    "id for batch_decode": (lambda t: t.batch_decode(3), "is not a batch"),
    "no place": (lambda t: t("a", truncation=True, max_length=1), "no room for the 2 special tokens"),
    "only_second with one text": (lambda t: t("a b c", truncation="only_second", max_length=4), "pass text_pair"),
    "only_first too short": (lambda t: t("a", "b c d", truncation="only_first", max_length=5), "truncation=True"),
    "not a multiple": (
        lambda t: t("a", truncation=True, padding=True, max_length=9, pad_to_multiple_of=8), "type max_length=8"
    ),
    "unknown side": (lambda t: t("a", padding=True, padding_side="top"), '"right" or "left"'),
    "offsets of ids": (lambda t: t.encode_plus([5, 6], return_offsets_mapping=True), "pass text"),
    "words of ids": (lambda t: t.encode_plus([5, 6]).word_ids(), "were not made from text"),
    "ids below 0": (lambda t: t.prepare_for_model([5, -1]), "not a list of ids"),
    "ids beyond all": (lambda t: t.encode([2**40]), "not a list of ids"),
    "an unknown row": (lambda t: t("a").tokens(3), "Unknown row 3"),
    "batch for decode": (lambda t: t.decode([[5, 6]]), "tokenizer.batch_decode"),
    "text for decode": (lambda t: t.decode("a"), "is not a list of ids"),
    "text for prepare_for_model": (lambda t: t.prepare_for_model("a"), "convert_tokens_to_ids"),
    "text for pad": (lambda t: t.pad("a"), "tokenizer.pad("),
    "examples with other columns": (
        lambda t: t.pad([{"input_ids": [1], "token_type_ids": [0]}, {"input_ids": [1, 2]}]),
        "Example 1 has the columns input_ids, and example 0 has input_ids, token_type_ids",
    ),
    "examples with more columns": (
        lambda t: t.pad([{"input_ids": [1]}, {"input_ids": [1, 2], "token_type_ids": [0, 0]}]), "and example 0 has input_ids"
    ),
    "examples of two kinds": (lambda t: t.pad([{"input_ids": [1]}, [1, 2]]), "Example 1 is [1, 2]"),
    "types of some tokens": (
        lambda t: t.pad({"input_ids": [[1, 2, 3]], "token_type_ids": [[0, 0]]}),
        "Row 0 of token_type_ids has 2 tokens, and row 0 of input_ids has 3",
    ),
    "None as tokens": (lambda t: t.convert_tokens_to_string(None), "not a list of tokens"),
    "numbers as tokens": (lambda t: t.convert_tokens_to_string([1, 2]), "not a list of tokens"),
    "None as a corpus": (lambda t: t.train_new_from_iterator(None, 100), "not None"),
    "numbers as a corpus": (lambda t: t.train_new_from_iterator([1, 2], 100), "Item 0 of the corpus contains 1"),
    "bytes in a corpus": (lambda t: t.train_new_from_iterator([b"x"], 100), "Item 0 of the corpus contains b'x'"),
    "None in a corpus": (lambda t: t.train_new_from_iterator([["a", None]], 100), "Item 0 of the corpus contains None"),
    "text for a size": (lambda t: t.train_new_from_iterator(["a b"], "100"), "type vocab_size=100"),
    "a size below 0": (lambda t: t.train_new_from_iterator(["a b"], 100, unused=-3), "type unused=100"),
    "a positional setting": (lambda t: type(t).from_pretrained("a", "x"), "positional argument 'x' is not accepted"),
    "an invalid folder": (lambda t: t.save_vocabulary("/dev/null/x"), "cannot be written to (Not a directory)"),
    "stride below 0": (lambda t: t("a", stride=-1), "stride=-1 is not a number of tokens"),
    "unknown strategy": (
        lambda t: t.truncate_sequences([1, 2, 3], num_tokens_to_remove=1, truncation_strategy="bogus"),
        "truncation_strategy='bogus' is invalid: choose one of",
    ),
    "an id beyond all": (lambda t: setattr(t, "pad_token_id", 10**7), "pad_token_id=10000000 is not the id of a token"),
    "a second target alone": (lambda t: t("a", text_pair_target="b"), "text_pair_target needs text_target"),
    "text for ids": (lambda t: t.build_inputs_with_special_tokens("ab"), "tokenizer.build_inputs_with_special_tokens("),
    "text for convert_ids": (lambda t: t.convert_ids_to_tokens("x"), "type tokenizer.convert_ids_to_tokens("),
    "pad without ids": (lambda t: t.pad({"ids": [[1]]}), "the columns ids"),
    "number as token": (lambda t: t.add_tokens([3]), "is not a token"),
    "unknown special token": (lambda t: t.add_special_tokens({"cls": "[CLS]"}), "choose one of bos_token"),
    "list as special tokens": (lambda t: t.add_special_tokens(["[ENT]"]), "additional_special_tokens"),
    "unknown setting": (lambda t: type(t)(tokenizer_cases.VOCABULARY, do_lowercase=True), "Did you mean 'do_lower_case'?"),
    "no vocabulary": (lambda t: type(t)(), "from_pretrained"),
    "padding without a token": (lambda t: (setattr(t, "pad_token", None), t("a", padding=True)), "tokenizer.pad_token"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(tokenizer: Any, name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises(UsageError) as error:
        call(tokenizer)
    assert words in str(error.value)


def test_stride_as_wide_as_the_window(fast: BertTokenizerFast, slow: BertTokenizer) -> None:
    options = {"truncation": True, "max_length": 6, "stride": 4, "return_overflowing_tokens": True}
    with pytest.raises(UsageError, match="type stride=2"):
        fast("a b c d e f g", **options)
    assert slow("a b c d e f g", **options)["num_truncated_tokens"] == 3
    with pytest.raises(UsageError, match="BertTokenizerFast"):
        slow("a b c", "d e f", **options)


def test_inputs_of_tables(tokenizer: Any) -> None:
    """Arrays of strings are accepted as lists of texts, and an empty batch has no rows."""
    assert tokenizer(np.array(["un", "the"]))["input_ids"] == [[2, 10, 3], [2, 9, 3]]
    assert tokenizer(("un", "the"))["input_ids"] == tokenizer(["un", "the"])["input_ids"]
    assert dict(tokenizer([])) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "flag": ({"do_lower_case": "no"}, "must be true or false. Type do_lower_case=True"),
    "side": ({"padding_side": "top"}, "'right', 'left'"),
    "behaviour": ({"compat": "old"}, "'google'"),
    "length": ({"model_max_length": "512"}, "model_max_length=512"),
    "length below 1": ({"model_max_length": 0}, "model_max_length=512"),
    "token": ({"cls_token": 3}, "is not a token"),
    "list": ({"additional_special_tokens": "[ENT]"}, "['[ENT]']"),
    "words": ({"never_split": 3}, "must be a list of strings"),
    "prefix": ({"wordpieces_prefix": 3}, "must be a string"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_wrong_settings(tokenizer: Any, name: str) -> None:
    settings, words = SETTINGS[name]
    with pytest.raises(UsageError) as error:
        type(tokenizer)(tokenizer_cases.VOCABULARY, **settings)
    assert words in str(error.value)


def test_a_length_that_means_not_set(tokenizer: Any) -> None:
    tokenizer.model_max_length = 24
    tokenizer.model_max_length = int(1e30)
    assert tokenizer.model_max_length == 512
    assert type(tokenizer)(tokenizer_cases.VOCABULARY, model_max_length=int(1e30)).model_max_length == 512


def test_settings(tokenizer: Any) -> None:
    cls = type(tokenizer)
    cased = cls(tokenizer_cases.VOCABULARY, do_lower_case=False, model_max_length=8, padding_side="left")
    assert cased.tokenize("the The") == ["the", "[UNK]"]
    assert cased("the", padding="max_length")["input_ids"] == [0, 0, 0, 0, 0, 2, 9, 3]
    assert not cased.do_lower_case
    other = cls(tokenizer_cases.VOCABULARY, cls_token="[unused0]", additional_special_tokens=["[ENT]"])
    assert other("the [ENT]")["input_ids"] == [5, 9, len(tokenizer_cases.VOCABULARY), 3]
    few = cls(tokenizer_cases.VOCABULARY, model_input_names=["input_ids", "attention_mask"])
    assert list(few("the")) == ["input_ids", "attention_mask"]
    with pytest.raises(UsageError, match="'right', 'left'"):
        tokenizer.truncation_side = "top"


# Files.


def test_a_folder_to_save_in(tokenizer: Any, tmp_path: Path) -> None:
    assert tokenizer.save_vocabulary(tmp_path / "new" / "folder") == (str(tmp_path / "new" / "folder" / "vocab.txt"),)
    file = tmp_path / "new" / "folder" / "vocab.txt"
    for save in (tokenizer.save_pretrained, tokenizer.save_vocabulary):
        with pytest.raises(UsageError, match="is a file, not a directory"):
            save(file)


def test_files(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.add_tokens(["xyzzy"])
    paths = tokenizer.save_pretrained(tmp_path / "all")
    assert {Path(path).name for path in paths} >= {"tokenizer.json", "vocab.txt", "tokenizer_config.json"}
    back = type(tokenizer).from_pretrained(tmp_path / "all", padding_side="left")
    assert back("the xyzzy")["input_ids"] == tokenizer("the xyzzy")["input_ids"]
    assert back.padding_side == "left"
    assert back.name_or_path == str(tmp_path / "all")
    (path,) = tokenizer.save_vocabulary(tmp_path)
    assert dict(type(tokenizer)(path)("the un")) == dict(tokenizer("the un"))
    again = type(tokenizer)(tokenizer_file=tmp_path / "all" / "tokenizer.json")
    assert again("the xyzzy")["input_ids"] == tokenizer("the xyzzy")["input_ids"]


# Training.


def test_a_new_vocabulary(tokenizer: Any) -> None:
    """Training keeps settings and special tokens, and replaces the vocabulary."""
    tokenizer.padding_side = "left"
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    corpus = (["lower low low", "newest new"] for _ in range(9))
    trained = tokenizer.train_new_from_iterator(
        corpus, 40, new_special_tokens=["[X]"], special_tokens_map={"[MASK]": "<mask>"}
    )
    assert type(trained) is type(tokenizer)
    assert trained.convert_ids_to_tokens(list(range(7))) == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "<mask>",
        "[ENT]",
        "[X]",
    ]
    assert trained.mask_token == "<mask>"
    assert trained.additional_special_tokens == ["[ENT]", "[X]"]
    assert trained.tokenize("low newest [X]") == ["low", "newest", "[X]"]
    assert trained.padding_side == "left"
    assert tokenizer.tokenize("xyzzy") != trained.tokenize("low")
    with pytest.raises(UsageError, match="not one text"):
        tokenizer.train_new_from_iterator("a text", 40)


def test_a_vocabulary_of_syllables(fast: BertTokenizerFast) -> None:
    """Korean syllables are not split, although text is lower-cased."""
    trained = fast.train_new_from_iterator(["한국어 한국 국어"] * 3, 30)
    assert "한" in trained.vocab or "한국" in trained.vocab
    assert trained.tokenize("한국어") == ["한국어"]


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"max_length": 1, "truncation": True}, "type a larger one, or --add_special_tokens False."),
        ({"max_length": 6, "truncation": True, "stride": 4, "return_overflowing_tokens": True}, "type --stride 2, or"),
        ({"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 4}, "type --max_length 8."),
        ({"stride": -1}, "--stride -1 is not a number of tokens: type an integer such as --stride 128."),
        ({"padding": "long"}, "--padding long is invalid: choose one of"),
        ({"verbose": "no"}, "type --verbose True, or leave it out."),
    ],
)
def test_front_ends_word_the_options_in_errors(options: dict[str, Any], advice: str) -> None:
    tokenizer = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    with pytest.raises(UsageError) as caught:
        tokenizer("a " * 20, **options)
    assert advice in caught.value.worded(lambda setting: f"--{setting.name} {setting.value}")
