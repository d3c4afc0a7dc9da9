"""All names and arguments of transformers' BERT tokenizers (4.57.6 recorded, 5.x installed) exist or are documented."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import transformers
from hub_server import FRIEND
from hub_uploads import UploadServer
from tokenizer_names import TOKENS, names_of

import bertkit
from bertkit.errors import BertkitError
from bertkit.models.bert import BasicTokenizer
from bertkit.text.files.settings import Settings
from bertkit.text.neutral import Arguments

ROOT = Path(__file__).parents[3]
RECORDED = json.loads((ROOT / "tests" / "data" / "tokenizer_names_transformers4.json").read_text())
KINDS = [bertkit.BertTokenizer, bertkit.BertTokenizerFast]
WORDS = [*TOKENS, "un", "##aff", "##able", ",", "the"]

# docs/tokenizers.md explains why these do not exist.
NOT_HERE = {
    "apply_chat_template", "chat_template", "encode_message_with_chat_template", "get_chat_template", "save_chat_templates",
    "chat_control_tokens", "get_response_parser", "parse_response", "response_template", "register_for_auto_class",
    "prepare_seq2seq_batch", "as_target_tokenizer", "prepare_for_tokenization", "tokens_trie", "total_vocab_size",
    "convert_added_tokens", "set_truncation_and_padding", "update_post_processor", "decoder", "model", "backend",
    "convert_to_native_format", "files_loaded", "pretrained_vocab_files_map", "slow_tokenizer_class",
    "can_save_slow_tokenizer", "add_bos_token", "add_eos_token", "add_prefix_space",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
}  # fmt: skip
NOT_TAKEN = {"kwargs", "args", "tokenizer_kwargs", "deprecated_kwargs", "save_format", "self", "text"}
OPEN = {"options", "settings"}  # **options of a call, and **settings


@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast"])
@pytest.mark.parametrize("version", [4, 5])
def test_every_name_of_transformers_exists_or_is_documented(kind: str, version: int) -> None:
    theirs = RECORDED[kind] if version == 4 else names_of(getattr(transformers, kind))
    ours = names_of(getattr(bertkit, kind))
    assert set(theirs) - set(ours) <= NOT_HERE
    page = (ROOT / "docs" / "tokenizers.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in set(theirs) - set(ours))
    known = set(Arguments.__annotations__) | set(ours["__call__"] or ())
    for name, parameters in theirs.items():
        here = ours.get(name)
        if parameters is not None and here is not None:
            missing = set(parameters) - set(here) - NOT_TAKEN
            assert not missing or (OPEN & set(here) and missing <= known), (name, missing)


@pytest.mark.parametrize("kind", KINDS)
def test_init_kwargs_make_the_same_tokenizer(kind: Any) -> None:
    for settings in ({}, {"do_lower_case": False, "never_split": ["A,B"], "model_max_length": 9, "bos_token": "the"}):
        tokenizer = kind(WORDS, **settings)
        again = kind(tokenizer.vocab, **tokenizer.init_kwargs)
        assert again._files == tokenizer._files and again.init_kwargs == tokenizer.init_kwargs
        assert set(tokenizer.init_kwargs) <= set(Settings.__annotations__)
        assert tokenizer.init_inputs == ()


@pytest.mark.parametrize("kind", KINDS)
def test_one_token_and_one_id(kind: Any, tmp_path: Path) -> None:
    tokenizer = kind(WORDS)
    tokenizer.save_pretrained(tmp_path)
    theirs = getattr(transformers, kind.__name__).from_pretrained(tmp_path)
    for token in ("un", "##able", "[CLS]", "no"):
        assert tokenizer._convert_token_to_id(token) == theirs.convert_tokens_to_ids(token)
    assert [tokenizer._convert_id_to_token(index) for index in range(8)] == theirs.convert_ids_to_tokens(list(range(8)))
    assert tokenizer.sanitize_special_tokens() == 0  # as 4.57.6
    tokenizer.add_special_tokens({"extra_special_tokens": ["[ENT]"]})
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == ["[ENT]"]


def test_the_two_steps() -> None:
    """As in transformers 4.57.6: both steps together equal `tokenize`."""
    tokenizer = bertkit.BertTokenizer(WORDS, never_split=["a,b"])
    text = "Unaffable, thé a,b 東京\u00a0x"
    words = tokenizer.basic_tokenizer.tokenize(text)
    assert words == ["unaffable", ",", "the", "a,b", "東", "京", "x"]
    assert tokenizer.basic_tokenizer.tokenize("Un,Un Un", never_split=["Un,Un"]) == ["Un,Un", "un"]
    pieces = [piece for word in words for piece in tokenizer.wordpiece_tokenizer.tokenize(word)]
    assert pieces == tokenizer.tokenize(text) == tokenizer.wordpiece_tokenizer.tokenize(" ".join(words))
    assert tokenizer.wordpiece_tokenizer.tokenize("un" * 51) == ["[UNK]"]
    tokenizer.add_tokens(["unun"])
    assert tokenizer.wordpiece_tokenizer.vocab["unun"] == len(WORDS)
    assert not hasattr(bertkit.BertTokenizer(WORDS, do_basic_tokenize=False), "basic_tokenizer")
    basic = BasicTokenizer(do_lower_case=False)
    assert basic.tokenize("Thé, Un") == ["Thé", ",", "Un"]
    assert BasicTokenizer().tokenize("ΟΔΟΣ") == ["οδοσ"]
    with pytest.raises(BertkitError, match="leave do_split_on_punc=False out"):
        BasicTokenizer(do_split_on_punc=False)


def test_verbose(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    quiet = bertkit.BertTokenizer(WORDS, verbose=False, model_max_length=4)
    assert not quiet.verbose and not pickle.loads(pickle.dumps(quiet)).verbose
    quiet("un " * 9)
    assert not caplog.records
    quiet.verbose = True
    quiet("un " * 9)
    assert len(caplog.records) == 1


NEUTRAL: dict[str, Any] = {
    "use_auth_token": None, "trust_remote_code": False, "from_slow": False, "tokenizer_file": None, "vocab_file": None,
    "legacy": False, "legacy_format": None, "resume_download": False, "proxies": None, "tokenizer_type": None,
    "_from_auto": True, "_commit_hash": None, "config": None, "verbose": True, "chat_template": None, "cache_dir": None,
    "extra_special_tokens": {}, "tokenizer_object": None, "token": None, "revision": "main", "_from_pipeline": "fill-mask",
}  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, bertkit.AutoTokenizer])
@pytest.mark.parametrize("name", NEUTRAL)
def test_arguments_at_their_defaults_are_accepted(kind: Any, name: str, tmp_path: Path) -> None:
    bertkit.BertTokenizer(WORDS).save_pretrained(tmp_path)
    tokenizer = kind.from_pretrained(tmp_path, **{name: NEUTRAL[name]})
    assert tokenizer("un")["input_ids"] == bertkit.BertTokenizer(WORDS)("un")["input_ids"]
    if kind is not bertkit.AutoTokenizer and name in ("from_slow", "legacy", "chat_template", "extra_special_tokens"):
        kind(WORDS, **{name: NEUTRAL[name]})


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("from_slow", True, "type BertTokenizerFast"),
        ("tokenizer_file", "tokenizer.json", "tokenizer_file=path"),
        ("vocab_file", "vocab.txt", "type BertTokenizer"),
        ("proxies", {"https": "localhost"}, "HTTPS_PROXY"),
        ("chat_template", "{{ messages }}", "no chat template"),
        ("tokenizer_type", "roberta", "leave it out"),
        ("config", transformers.RobertaConfig(), "'roberta', not 'bert'"),
        ("tokenizer_object", object(), "tokenizer_file"),
        ("legasy", True, "Unknown setting 'legasy'"),
    ],
)
def test_unsupported_arguments_are_refused(name: str, value: Any, advice: str, tmp_path: Path) -> None:
    bertkit.BertTokenizer(WORDS).save_pretrained(tmp_path)
    with pytest.raises(BertkitError, match=advice) as caught:
        bertkit.BertTokenizerFast.from_pretrained(tmp_path, **{name: value})
    assert len(str(caught.value)) < 300


def test_other_names_of_arguments(tmp_path: Path) -> None:
    assert bertkit.BertTokenizer(vocab=WORDS).vocab_size == len(WORDS)
    bertkit.BertTokenizer(WORDS).save_pretrained(tmp_path, legacy_format=True)
    tokenizer = bertkit.AutoTokenizer.from_pretrained(
        tmp_path, use_fast=None, config=bertkit.BertConfig(), extra_special_tokens=["[ENT]"], verbose=False
    )
    assert tokenizer.is_fast and tokenizer.additional_special_tokens == ["[ENT]"] and not tokenizer.verbose
    with pytest.raises(BertkitError, match="Unknown argument 'legacy_fromat'"):
        tokenizer.save_pretrained(tmp_path, legacy_fromat=True)


def test_push_to_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tokenizer = bertkit.BertTokenizer(WORDS)
    with UploadServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        written = tokenizer.save_pretrained(tmp_path / "mine", push_to_hub=True, token=FRIEND)
        tokenizer.push_to_hub("me/other", commit_message="Mine", token=FRIEND, use_temp_dir=True, private=True)
        for repository in (server.repositories["me/mine"], server.repositories["me/other"]):
            files = repository.commits[repository.branches["main"]]
            assert files == {Path(path).name: Path(path).read_bytes() for path in written}
    assert server.messages == ["Upload tokenizer", "Mine"] and server.repositories["me/other"].private
    with pytest.raises(BertkitError, match="tags=.*README.md.* leave it out"):
        tokenizer.push_to_hub("me/mine", tags=["x"])  # type: ignore[arg-type]
