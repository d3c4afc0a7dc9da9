"""The files of a tokenizer: subsets of them, precedence when they disagree, and invalid files."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import bertkit
from bertkit import BertTokenizer, BertTokenizerFast
from bertkit.errors import HubError, TokenizerError, UsageError
from bertkit.hub import locate
from bertkit.text.files import TokenizerFiles, read_files, write_files
from bertkit.text.files import read as read_module
from bertkit.text.files.compose import to_backend
from bertkit.text.files.general import describe
from bertkit.text.files.settings import Settings
from bertkit.text.files.template import Template
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.rust import RustEngine

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "hello",
    "un",
    "##aff",
    "##able",
    ",",
    "Hello",
    "wor",
    "##ld",
]
TEXT = "Hello, [MASK] unaffable wörld [ENT] [X]"
CASED = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": False,
}
NAMES = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}


def lay_out(folder: Path, files: dict[str, Any]) -> Path:
    """Write files into a folder: a text, bytes, or the object that a JSON file holds."""
    for name, content in files.items():
        text = content if isinstance(content, (str, bytes)) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def read(folder: Path, files: dict[str, Any], **given: Any) -> TokenizerFiles:
    return read_files(locate(lay_out(folder, files)), **given)


def tokenizer(**changes: Any) -> dict[str, Any]:
    """The content of a plain tokenizer.json, with some of its sections changed."""
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    added = [{"id": index, **AddedToken(token, special=True).to_dict()} for token, index in list(ids.items())[:5]]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": CASED | {"lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": ids}
        | {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    } | changes


VOCAB_TXT = "".join(f"{token}\n" for token in VOCABULARY)


def described() -> TokenizerFiles:
    """A tokenizer with a value in every field that is saved."""
    files = TokenizerFiles(Vocabulary(VOCABULARY), Rules(lowercase=False, strip_accents=True, chinese=False))
    files.special["mask_token"] = AddedToken("[MASK]", lstrip=True, special=True)
    files.additional = [AddedToken("[X]", special=True)]
    files.added = dict(enumerate(files.special[f"{name}_token"] for name in ("pad", "unk", "cls", "sep", "mask")))
    files.added |= {13: AddedToken("[ENT]", rstrip=True), 14: files.additional[0]}
    files.never_split, files.model_input_names = ("unaffable",), ["input_ids", "attention_mask"]
    files.model_max_length, files.padding_side, files.truncation_side, files.clean_up = 128, "left", "left", False
    files.truncation = {"direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    files.extra = {"my_key": {"a": [1, "ü"]}, "chat_template": "x"}
    return files


# Round trips.


@pytest.mark.parametrize("fast", [True, False])
def test_what_is_written_is_what_is_read(tmp_path: Path, fast: bool) -> None:
    files = described()
    files.rules = Rules(False, True, False, compat="fast" if fast else "slow")
    paths = write_files(tmp_path, files)
    assert {path.name for path in paths} == NAMES | {"added_tokens.json"} == {path.name for path in tmp_path.iterdir()}
    again = read_files(locate(tmp_path), fast=fast)
    if not fast:
        files.truncation = None  # only tokenizer.json has it
    assert again == files


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast])
@pytest.mark.parametrize("compat", ["fast", "slow", "google"])
def test_the_behaviour_of_a_tokenizer_is_kept(tmp_path: Path, cls: type[BertTokenizer], compat: str) -> None:
    tokenizer = cls(VOCABULARY, compat=compat, clean_text=False)
    tokenizer.save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path)._files.rules == tokenizer._files.rules
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert ("compat" in written) is (compat != cls._compat)


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast])
def test_the_files_set_the_columns_of_a_call(tmp_path: Path, cls: type[BertTokenizer]) -> None:
    """As in transformers 4.57.6."""
    names = ["input_ids", "attention_mask"]
    (tmp_path / "vocab.txt").write_text(VOCAB_TXT)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"model_input_names": names, "split_special_tokens": True})
    )
    tokenizer = cls.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "again")
    for one in (tokenizer, cls.from_pretrained(tmp_path / "again")):
        assert one("[MASK].") == {"input_ids": [2, 1, 1, 1, 1, 3], "attention_mask": [1] * 6}
    assert list(cls.from_pretrained(tmp_path, model_input_names=["input_ids"])("a")) == ["input_ids"]
    tokenizer.model_input_names, tokenizer.split_special_tokens = names[:1], False
    assert tokenizer("[MASK]") == {"input_ids": [2, 4, 3]}


def test_google_compatibility_is_kept(tmp_path: Path) -> None:
    files = described()
    files.rules = Rules(compat="google")
    write_files(tmp_path, files)
    assert [read_files(locate(tmp_path), fast=fast).rules.compat for fast in (True, False)] == ["google", "google"]


def test_a_vocabulary_with_a_duplicate_is_kept(tmp_path: Path) -> None:
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "a", "", "[MASK]"]
    files = read(tmp_path, {"vocab.txt": "\n".join(lines)}, fast=False)
    assert files.vocabulary.ids["a"] == 6
    assert {path.name for path in write_files(tmp_path / "again", files)} == NAMES  # all tokens are in the vocabulary
    again = [read_files(locate(tmp_path / "again"), fast=fast).vocabulary for fast in (True, False)]
    assert again[0].ids == again[1].ids == files.vocabulary.ids
    assert again[1].tokens == lines


def test_names_with_a_prefix(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "new" / "folder", described(), prefix="my")
    assert {path.name for path in paths} == {f"my-{name}" for name in NAMES | {"added_tokens.json"}}
    assert all(path.is_file() for path in paths)


def test_a_failure_leaves_the_old_files(tmp_path: Path) -> None:
    write_files(tmp_path, described())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    files = described()
    files.extra = {"broken": "\ud800"}
    with pytest.raises(UnicodeEncodeError):
        write_files(tmp_path, files)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("cls", ["BertTokenizer", "AutoTokenizer"])
def test_transformers_5_reads_what_we_write(tmp_path: Path, cls: str) -> None:
    write_files(tmp_path, described())
    theirs = getattr(transformers, cls).from_pretrained(tmp_path)
    assert theirs(TEXT)["input_ids"] == to_backend(described()).encode(TEXT).ids
    assert {index: AddedToken.of(token) for index, token in theirs.added_tokens_decoder.items()} == described().added
    assert (theirs.model_max_length, theirs.padding_side, theirs.truncation_side) == (128, "left", "left")
    assert theirs.mask_token == "[MASK]" and theirs.extra_special_tokens == ["[X]"]


def test_we_read_what_transformers_5_writes(tmp_path: Path) -> None:
    write_files(tmp_path / "ours", described())
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path / "ours")
    theirs.add_tokens(["more"])
    theirs.save_pretrained(tmp_path / "theirs")
    assert not (tmp_path / "theirs" / "vocab.txt").exists()
    for fast in (True, False):
        files = read_files(locate(tmp_path / "theirs"), fast=fast)
        assert to_backend(files).encode(TEXT + " more").ids == theirs(TEXT + " more")["input_ids"]
        assert files.added == {index: AddedToken.of(token) for index, token in theirs.added_tokens_decoder.items()}
        assert [token.content for token in files.additional] == ["[X]"]
        assert files.model_max_length == 128


# Compared with transformers 4.57.6 (tests/oracles/tokenizer_files_transformers4.py).


def _recorded() -> dict[str, Any]:
    path = Path(__file__).parents[2] / "data" / "tokenizer_files_transformers4.json.xz"
    recorded: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    return recorded


def test_files_that_disagree_are_read_as_transformers_4_reads_them(tmp_path: Path) -> None:
    recorded = _recorded()
    for number, case in enumerate(recorded["cases"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        lay_out(folder, case["files"])
        for name, wanted in case["answers"].items():
            files = read_files(locate(folder), fast=name == "BertTokenizerFast")
            assert _answers(files, recorded["text"], wanted) == wanted, (number, name)


def _answers(files: TokenizerFiles, text: str, wanted: dict[str, Any]) -> dict[str, Any]:
    fast = wanted["normalizer"] is not None
    backend = to_backend(files)
    return {
        "ids": backend.encode(text).ids if fast else wanted["ids"],  # the slow class needs its own rules
        "added": {str(index): token.to_dict() for index, token in files.added.items()},
        "special": {name: token.content for name, token in files.special.items()},
        "additional": [token.content for token in files.additional],
        "normalizer": json.loads(backend.to_str())["normalizer"] if fast else None,
        "model_max_length": int(1e30) if wanted["model_max_length"] > 1e15 else files.model_max_length,
        "clean_up": files.clean_up,
    }


def test_transformers_5_reads_them_as_we_wrote_them(tmp_path: Path) -> None:
    recorded = _recorded()
    for number, case in enumerate(recorded["cases"][::8]):
        (tmp_path / str(number)).mkdir()
        files = read_files(
            locate(lay_out(tmp_path / str(number), case["files"])), fast="vocab.txt" not in case["files"]
        )
        write_files(tmp_path / "ours", files)
        theirs = transformers.BertTokenizer.from_pretrained(tmp_path / "ours")
        assert theirs(recorded["text"])["input_ids"] == to_backend(files).encode(recorded["text"]).ids
        assert {index: AddedToken.of(token) for index, token in theirs.added_tokens_decoder.items()} == files.added


# Subsets of the files.


def test_only_vocab_txt(tmp_path: Path) -> None:
    for fast in (True, False):
        files = read(tmp_path, {"vocab.txt": VOCAB_TXT}, fast=fast)
        assert (files.model_max_length, files.rules.lowercase, files.clean_up) == (512, True, True)
        assert list(files.added.values()) == [AddedToken(token, special=True) for token in VOCABULARY[:5]]


def test_a_vocabulary_of_any_name(tmp_path: Path) -> None:
    lay_out(tmp_path, {"my.txt": VOCAB_TXT, "tokenizer_config.json": {"do_lower_case": False}, "vocab.txt": "[UNK]\n"})
    files = read_files(locate(tmp_path / "my.txt"))
    assert (len(files.vocabulary), files.rules.lowercase) == (13, True)


@pytest.mark.parametrize("fast", [True, False])
def test_only_tokenizer_json_sets_the_normalizer(tmp_path: Path, fast: bool) -> None:
    files = read(tmp_path, {"tokenizer.json": tokenizer(normalizer=CASED)}, fast=fast)
    assert not files.rules.lowercase
    assert read_files(locate(tmp_path / "tokenizer.json"), fast=fast) == files


def test_the_config_goes_before_tokenizer_json(tmp_path: Path) -> None:
    files = {
        "tokenizer.json": tokenizer(normalizer=CASED),
        "tokenizer_config.json": {"do_lower_case": True, "strip_accents": False},
    }
    assert read(tmp_path, files).rules == Rules(lowercase=True, strip_accents=False)
    assert read(tmp_path, {"tokenizer_config.json": {}}).rules.lowercase  # by its default, as in transformers


def test_arguments_go_before_files(tmp_path: Path) -> None:
    config = {"do_lower_case": True, "model_max_length": 64, "pad_token": "[UNK]"}
    given = {"do_lower_case": False, "model_max_length": 32, "pad_token": "[MASK]", "strip_accents": True}
    files = read(tmp_path, {"vocab.txt": VOCAB_TXT, "tokenizer_config.json": config}, overrides=given)
    assert (files.rules.lowercase, files.rules.strip_accents, files.model_max_length) == (False, True, 32)
    assert files.special["pad_token"].content == "[MASK]"


def test_the_slow_class_takes_vocab_txt(tmp_path: Path) -> None:
    lay_out(tmp_path, {"vocab.txt": VOCAB_TXT + "more\n", "tokenizer.json": tokenizer()})
    assert [len(read_files(locate(tmp_path), fast=fast).vocabulary) for fast in (True, False)] == [13, 14]


@pytest.mark.parametrize(
    ("config", "model", "length"),
    [
        ({}, {}, 512),
        ({}, {"max_position_embeddings": 40}, 40),
        ({"model_max_length": 20}, {"max_position_embeddings": 40}, 20),
        ({"max_len": 20}, {}, 20),
        ({"model_max_length": int(1e30)}, {"max_position_embeddings": 40}, 40),
        ({"model_max_length": 1e30}, {}, 512),
        ({"model_max_length": float("inf")}, {}, 512),
        ({"model_max_length": None}, {"max_position_embeddings": "many"}, 512),
        ({"model_max_length": 128.0}, {"max_position_embeddings": -1}, 128),
    ],
)
def test_the_longest_input(tmp_path: Path, config: object, model: object, length: int) -> None:
    files = {"vocab.txt": VOCAB_TXT, "tokenizer_config.json": config, "config.json": model}
    assert read(tmp_path, files).model_max_length == length


def test_null_takes_a_token_away(tmp_path: Path) -> None:
    vocabulary = VOCAB_TXT.replace("[MASK]", "mask")
    files = read(tmp_path, {"vocab.txt": vocabulary, "tokenizer_config.json": {"mask_token": None, "cls_token": None}})
    assert "mask_token" not in files.special and files.special["cls_token"].content == "[CLS]"
    assert list(files.added) == [0, 1, 2, 3]


def test_an_argument_of_a_wrong_type() -> None:
    with pytest.raises(UsageError, match="do_lower_case='no' is invalid: it must be true or false"):
        read_files(locate(Path(__file__).parent), overrides={"do_lower_case": "no"})


def test_an_unknown_argument() -> None:
    with pytest.raises(
        UsageError, match="Unknown setting 'do_lowercase' of a tokenizer. Did you mean 'do_lower_case'?"
    ):
        read_files(locate(Path(__file__).parent), overrides={"do_lowercase": True})


# Files that are not those of a plain BERT.


def _byte_level() -> Tokenizer:
    backend = Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "Ġ": 2, "h": 3, "i": 4, "hi": 5}, [("h", "i")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    backend.decoder = decoders.ByteLevel()
    return backend


def test_a_foreign_tokenizer_is_run_by_its_library(tmp_path: Path) -> None:
    tokens = {f"{name}_token": "<s>" for name in ("unk", "pad", "mask", "cls")} | {"sep_token": "</s>"}
    files = read(tmp_path, {"tokenizer.json": _byte_level().to_str(), "tokenizer_config.json": tokens})
    assert files.foreign is not None
    assert files.vocabulary.ids["hi"] == 5
    cls, sep = (0, 0), (1, 0)
    assert files.template == Template((cls, ("A", 0), sep), (cls, ("A", 0), sep, sep, ("B", 0), sep))
    assert RustEngine(to_backend(files)).encode(["hi hi</s>"]).ids.tolist() == [5, 2, 5, 1]
    names = {path.name for path in write_files(tmp_path / "again", files)}
    assert names == NAMES - {"vocab.txt"}  # the slow class would read it as a complete vocabulary
    assert read_files(locate(tmp_path / "again")).vocabulary == files.vocabulary


FOREIGN: dict[str, dict[str, Any]] = {
    "another normalizer": {"normalizer": json.loads(normalizers.NFKC().__getstate__())},
    "two normalizers": {"normalizer": {"type": "Sequence", "normalizers": [CASED, {"type": "Lowercase"}]}},
    "another splitter": {"pre_tokenizer": {"type": "Whitespace"}},
    "no splitter": {"pre_tokenizer": None},
    "no decoder": {"decoder": None},
    "another prefix in the decoder": {"decoder": {"type": "WordPiece", "prefix": "@@", "cleanup": True}},
    "no special tokens": {"post_processor": None},
    "other special tokens": {"post_processor": {"type": "BertProcessing", "sep": ["[PAD]", 0], "cls": ["[CLS]", 2]}},
}


@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_not_plain(tmp_path: Path, changes: dict[str, Any]) -> None:
    files = read(tmp_path, {"tokenizer.json": tokenizer(**changes)})
    assert files.foreign is not None and files.template is not None
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert to_backend(files).encode(TEXT, "hello").ids == theirs.encode(TEXT, "hello").ids
    theirs_around = theirs.encode("hello", "hello")
    ids = {"A": 5, "B": 5}
    assert [(ids.get(part, part), kind) for part, kind in files.template.pair] == list(
        zip(theirs_around.ids, theirs_around.type_ids, strict=True)
    )


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast])
@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_not_plain_stays_what_it_is(tmp_path: Path, cls: type[BertTokenizer], changes: dict[str, Any]) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer(**changes)))
    first = cls.from_pretrained(tmp_path)
    first.save_pretrained(tmp_path / "again")
    again = cls.from_pretrained(tmp_path / "again")
    for text in (TEXT, "héllo ÉÈ\x00 世界 !"):
        assert first(text, "hello") == again(text, "hello")


PLAIN: dict[str, dict[str, Any]] = {
    "a sequence of one": {
        "normalizer": {"type": "Sequence", "normalizers": [CASED]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]},
    },
    "no normalizer": {"normalizer": None},
    "a template": {
        "post_processor": json.loads(to_backend(TokenizerFiles(Vocabulary(VOCABULARY))).to_str())["post_processor"]
    },
    "a model without a type": {"model": {k: v for k, v in tokenizer()["model"].items() if k != "type"}},
}


@pytest.mark.parametrize("changes", PLAIN.values(), ids=PLAIN.keys())
def test_plain_files_are_recognized(tmp_path: Path, changes: dict[str, Any]) -> None:
    files = read(tmp_path, {"tokenizer.json": tokenizer(**changes)})
    assert files.foreign is None and files.template is None
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (TEXT, "héllo ÉÈ\x00 世界"):
        assert to_backend(files).encode(text, "hello").ids == theirs.encode(text, "hello").ids


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"])
def test_accepted_classes(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, {"vocab.txt": VOCAB_TXT, "tokenizer_config.json": {"tokenizer_class": name}}).foreign is None


def test_another_class_with_a_plain_file(tmp_path: Path) -> None:
    files = {"tokenizer.json": tokenizer(), "tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizer"}}
    files |= {"config.json": {"model_type": "distilbert"}, "vocab.txt": VOCAB_TXT}
    assert [read(tmp_path, files, fast=fast).foreign for fast in (True, False)] == [None, None]


def test_bert_tokenizers_of_other_models(tmp_path: Path) -> None:
    files = {"tokenizer_config.json": {"tokenizer_class": "BertTokenizer"}, "config.json": {"model_type": "roberta"}}
    assert len(read(tmp_path, files | {"vocab.txt": VOCAB_TXT}).vocabulary) == 13


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (
            {"vocab.txt": VOCAB_TXT, "tokenizer_config.json": {"tokenizer_class": "BertJapaneseTokenizer"}},
            "BertJapaneseTokenizer",
        ),
        (
            {
                "tokenizer.json": _byte_level().to_str(),
                "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer"},
            },
            "RobertaTokenizer",
        ),
        ({"tokenizer.json": _byte_level().to_str(), "config.json": {"model_type": "roberta"}}, "roberta"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path: Path, files: dict[str, Any], name: str) -> None:
    with pytest.raises(TokenizerError, match=f"'{name}', and bertkit supports only BERT"):
        read(tmp_path, files)


# Invalid files.


def _model(**changes: Any) -> dict[str, Any]:
    return {"model": tokenizer()["model"] | changes}


def _json(**changes: Any) -> dict[str, Any]:
    return {"tokenizer.json": tokenizer(**changes)}


def _config(**values: Any) -> dict[str, Any]:
    return {"vocab.txt": VOCAB_TXT, "tokenizer_config.json": values}


def _with(name: str, content: Any) -> dict[str, Any]:
    return {"vocab.txt": VOCAB_TXT, name: content}


DAMAGED: dict[str, dict[str, Any]] = {
    "no [UNK] in vocab.txt": {"vocab.txt": VOCAB_TXT.replace("[UNK]", "unk")},
    "no unk_token in the vocabulary": _config(unk_token="<unk>"),
    "no [UNK] in tokenizer.json": _json(**_model(vocab={"[CLS]": 0, "[SEP]": 1})),
    "an empty tokenizer.json": {"tokenizer.json": ""},
    "an object of nothing": {"tokenizer.json": {}},
    "a list": {"tokenizer.json": []},
    "cut off": {"tokenizer.json": json.dumps(tokenizer())[:-20]},
    "JSON a hundred thousand deep": {"tokenizer.json": "[" * 100_000},
    "objects nested a hundred thousand deep": {"tokenizer.json": '{"a":' * 100_000},
    "a number of ten thousand digits": _with("tokenizer_config.json", '{"model_max_length": ' + "1" * 10_000 + "}"),
    "binary": {"tokenizer.json": bytes(range(256))},
    "UTF-16": _with("tokenizer_config.json", '{"do_lower_case": true}'.encode("utf-16")),
    "a lone surrogate": _json(**_model(vocab={"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "X": 3}))
    | {"tokenizer.json": json.dumps(tokenizer(**_model(vocab={"[UNK]": 0, "\ud800": 1})))},
    "two tokens of one id": _json(**_model(vocab={"[UNK]": 0, "a": 0})),
    "an id below zero": _json(**_model(vocab={"[UNK]": 0, "a": -1})),
    "an id of two billion": _json(**_model(vocab={"[UNK]": 0, "a": 2**31})),
    "an id that is a string": _json(**_model(vocab={"[UNK]": "0"})),
    "an id that is true": _json(**_model(vocab={"[UNK]": True})),
    "a vocabulary that is a list": _json(**_model(vocab=["[UNK]"])),
    "an empty vocabulary": _json(**_model(vocab={})),
    "an unk_token that is a number": _json(**_model(unk_token=1)),
    "a prefix that is null": _json(**_model(continuing_subword_prefix=None)),
    "a maximum word length of 0": _json(**_model(max_input_chars_per_word=0)),
    "a maximum word length of 0.5": _json(**_model(max_input_chars_per_word=0.5)),
    "a model of nonsense": _json(model={"type": "Nonsense"}),
    "no model": _json(model=None),
    "a normalizer of nonsense": _json(normalizer={"type": "Nonsense"}),
    "a normalizer with strings for flags": _json(normalizer=CASED | {"lowercase": "yes"}),
    "a post_processor of nonsense": _json(post_processor={"type": "Nonsense"}),
    "a template without ids": _json(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
    "a truncation to nothing": _json(truncation={"max_length": None, "strategy": "LongestFirst", "stride": 0}),
    "a truncation that is a number": _json(truncation=128),
    "a padding to the left of nonsense": _json(padding={"direction": "Up", "strategy": "BatchLongest"}),
    "added tokens that are an object": _json(added_tokens={"[ENT]": 13}),
    "an added token without an id": _json(added_tokens=[{"content": "[ENT]"}]),
    "an added token without a content": _json(added_tokens=[{"id": 13}]),
    "an added token with a string for a flag": _json(added_tokens=[{"id": 13, "content": "a", "special": "no"}]),
    "a setting of a wrong type": _config(do_lower_case="false"),
    "a setting that is a list": _config(strip_accents=[True]),
    "an unknown side": _config(padding_side="top"),
    "a side that is a list": _config(truncation_side=["left"]),
    "words that are a string": _config(never_split="abc"),
    "a length of zero": _config(model_max_length=0),
    "a length of half a token": _config(model_max_length=0.5),
    "a length that is a string": _config(model_max_length="512"),
    "a length that is true": _config(model_max_length=True),
    "a length that is NaN": _with("tokenizer_config.json", '{"model_max_length": NaN}'),
    "a token that is a number": _config(cls_token=5),
    "an empty token": _config(cls_token=""),
    "tokens that are a string": _config(additional_special_tokens="[X]"),
    "tokens that are numbers": _config(additional_special_tokens=[1]),
    "a decoder that is a list": _config(added_tokens_decoder=["[X]"]),
    "a decoder whose ids are words": _config(added_tokens_decoder={"one": {"content": "[X]"}}),
    "a decoder whose ids are endless": _config(added_tokens_decoder={"9" * 5000: {"content": "[X]"}}),
    "a decoder of numbers": _config(added_tokens_decoder={"13": 5}),
    "a class that is a number": _config(tokenizer_class=5),
    "a class that is a list": _config(tokenizer_class=["BertTokenizer"]),
    "an unknown compat": _config(compat="faster"),
    "a compat that is a list": _config(compat=["fast"]),
    "added_tokens.json with strings": _with("added_tokens.json", {"[ENT]": "13"}),
    "added_tokens.json with one id for two": _with("added_tokens.json", {"[X]": 13, "[Y]": 13}),
    "added_tokens.json that is a list": _with("added_tokens.json", ["[ENT]"]),
    "special_tokens_map.json that is a string": _with("special_tokens_map.json", '"[CLS]"'),
    "special_tokens_map.json with numbers": _with("special_tokens_map.json", {"cls_token": 5}),
    "config.json that is a list": _with("config.json", []),
}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("files", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(tmp_path: Path, files: dict[str, Any], fast: bool) -> None:
    folder = lay_out(tmp_path, {name: _ascii(content) for name, content in files.items()})
    with pytest.raises(TokenizerError, match=str(tmp_path)):
        read_files(locate(folder), fast=fast)


def _ascii(content: Any) -> Any:
    return content if isinstance(content, (str, bytes)) else json.dumps(content)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"There is no tokenizer.json or vocab.txt in .* which has config.json"):
        read(tmp_path, {"config.json": {}})


def test_a_tokenizer_json_of_gigabytes(tmp_path: Path) -> None:
    with open(tmp_path / "tokenizer.json", "wb") as stream:
        stream.truncate(2 * 2**30)
    with pytest.raises(TokenizerError, match="has 2147483648 bytes"):
        read_files(locate(tmp_path))


# Plain files, which have a faster reader.


def _is_read_as_plain(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> bool:
    """Whether read.py reads the files. If so, assert that general.py returns the same description."""
    found: list[TokenizerFiles] = []
    monkeypatch.setattr(read_module, "describe", lambda *args: found.append(describe(*args)) or found[-1])
    files = read_files(locate(folder), **given)
    is_plain = not found
    monkeypatch.setattr(read_module, "_read_plain", lambda found: None)
    assert read_files(locate(folder), **given) == files
    assert [list(files.added), list(files.special)] == [list(found[-1].added), list(found[-1].special)]
    monkeypatch.undo()
    return is_plain


def test_plain_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BertTokenizerFast(VOCABULARY, do_lower_case=False, padding_side="left").save_pretrained(tmp_path)
    assert _is_read_as_plain(tmp_path, monkeypatch)
    assert _is_read_as_plain(tmp_path, monkeypatch, overrides={"do_lower_case": True, "pad_token": "[UNK]"})
    assert not _is_read_as_plain(tmp_path, monkeypatch, overrides={"pad_token": "un-known"})
    transformers.BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "theirs")
    assert _is_read_as_plain(tmp_path / "theirs", monkeypatch)


def test_files_that_are_not_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, change in enumerate([{"mask_token": "<mask>"}, {"bos_token": "[CLS]"}, {"wordpieces_prefix": "@@"}]):
        BertTokenizerFast(VOCABULARY, **change).save_pretrained(tmp_path / str(number))
        assert not _is_read_as_plain(tmp_path / str(number), monkeypatch)


def test_both_readers_agree_on_changed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases recorded from transformers 4."""
    for number, case in enumerate(_recorded()["cases"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        _is_read_as_plain(lay_out(folder, case["files"]), monkeypatch)


ARGUMENTS: dict[str, Any] = {
    "do_lower_case": False,
    "do_basic_tokenize": False,
    "never_split": ["AB"],
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "[X]",
    "sep_token": "<s>",
    "pad_token": "[new]",
    "cls_token": bertkit.AddedToken("q", lstrip=True),
    "mask_token": "b",
    "additional_special_tokens": ["[N]"],
    "tokenize_chinese_chars": False,
    "strip_accents": True,
    "clean_text": False,
    "clean_up_tokenization_spaces": False,
    "wordpieces_prefix": "@@",
    "compat": "google",
    "model_max_length": 77,
    "padding_side": "left",
    "truncation_side": "left",
    "model_input_names": ["input_ids"],
    "split_special_tokens": True,
}


def test_all_arguments_are_tested() -> None:
    assert set(ARGUMENTS) == set(Settings.__annotations__) - {"name_or_path"}


@pytest.mark.parametrize("kind", [bertkit.BertTokenizer, bertkit.BertTokenizerFast])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_each_argument_survives_saving(kind: Any, argument: str, tmp_path: Path) -> None:
    """`from_pretrained` restores the arguments of a constructor, also from only vocab.txt and tokenizer_config.json."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "@@b", "##b", "[X]", "<s>", "</s>", "AB", "é", "e"]
    saved = kind(words, **{argument: ARGUMENTS[argument]})
    saved.save_pretrained(tmp_path)
    read = [kind.from_pretrained(tmp_path)]
    if kind is bertkit.BertTokenizer:
        (tmp_path / "tokenizer.json").unlink()
        read.append(kind.from_pretrained(tmp_path))
    for tokenizer in read:
        here, there = vars(tokenizer._files), vars(saved._files)
        same = [name for name in here if name not in ("vocabulary", "extra")]
        assert {name: here[name] for name in same} == {name: there[name] for name in same}
        assert tokenizer.get_vocab() == saved.get_vocab()
        assert tokenizer("ab AB é\x07 東[MASK] 's", "b") == saved("ab AB é\x07 東[MASK] 's", "b")
        assert tokenizer.decode([5, 7, 8, 12]) == saved.decode([5, 7, 8, 12])
