"""Words of a domain in a model: tokens, rows of the embedding, and how useful words are found."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertkit
from bertkit import add_words
from bertkit.cli import main
from bertkit.engines.torch import model_class
from bertkit.errors import DataError, UsageError
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz"
FIXED = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "-"]
PIECES = [*FIXED, "the", "photo", "##syn", "##thesis", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
WORDS = ["Photosynthesis", "enzyme", "photo", "photosyn", "rubisco", "enzyme"]  # "photo" is known
NEW = ["photosynthesis", "enzyme", "photosyn", "rubisco"]
TEXTS = [
    "The photosynthesis, photosynthesise and PHOTOSYNTHESES of photosynthetic enzymes.",
    "An enzyme-rubisco rubiscos [MASK] photosynthesis [unused0] photo the photosyn. Ünknown enzymé 7",
]


def write(folder: Path, pieces: list[str], head: str = "ForPreTraining", added: Any = None, **config: Any) -> Path:
    """Write a tiny model with a vocabulary."""
    tokenizer = BertTokenizerFast(pieces)
    if added:
        tokenizer.add_tokens(added)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "pad_token_id": 0, **sizes, **config}
    torch.manual_seed(0)
    model = model_class(head)(bertkit.BertConfig(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def known_from_the_start(pieces: list[str]) -> list[str]:
    """The vocabulary as if it always had the words: two claim unused tokens, the others follow."""
    claimed = dict(zip(["[unused0]", "[unused1]"], NEW, strict=False))
    return [*(claimed.get(piece, piece) for piece in pieces), *NEW[2:]]


@pytest.mark.parametrize("kind", [BertTokenizer, BertTokenizerFast])
def test_tokens_are_those_of_a_vocabulary_that_always_had_the_words(kind: Any, tmp_path: Path) -> None:
    model = write(tmp_path / "m", PIECES)
    assert add_words(model, tmp_path / "out", words=WORDS) == NEW
    ours, expected = kind.from_pretrained(tmp_path / "out"), kind(known_from_the_start(PIECES))
    assert ours.get_vocab() == expected.get_vocab()
    for text in TEXTS:
        assert ours(text)["input_ids"] == expected(text)["input_ids"]
        assert ours.tokenize(text) == expected.tokenize(text)
    assert ours.tokenize("Photosynthesis rubiscos") == ["photosynthesis", "rubisco", "##s"]
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path / "out")
    assert [theirs(text)["input_ids"] for text in TEXTS] == [ours(text)["input_ids"] for text in TEXTS]
    assert BertTokenizerFast.from_pretrained(model).get_vocab() == BertTokenizerFast(PIECES).get_vocab()


@pytest.mark.parametrize("tied", [True, False])
def test_rows_are_means_of_pieces(tied: bool, tmp_path: Path) -> None:
    model = write(tmp_path / "m", PIECES, tie_word_embeddings=tied)
    add_words(model, tmp_path / "out", words=WORDS)
    before = bertkit.BertForPreTraining.from_pretrained(model)
    after, info = bertkit.BertForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values()) and after.config.vocab_size == len(PIECES) + 2
    tokens = BertTokenizerFast(PIECES)
    numbers = BertTokenizerFast.from_pretrained(tmp_path / "out").get_vocab()
    parameters = dict(after.named_parameters())
    names = {name for name, parameter in parameters.items() if len(parameter) == len(PIECES) + 2}
    assert len(names) == (2 if tied else 3)
    for name, old in before.named_parameters():
        new = parameters[name]
        if name not in names:
            assert torch.equal(new, old)
            continue
        for word in NEW:
            expected = old[tokens(word, add_special_tokens=False)["input_ids"]].mean(0)
            torch.testing.assert_close(new[numbers[word]], expected, atol=1e-6, rtol=0)
        kept = [number for number in range(len(PIECES)) if number not in (1, 2)]
        assert torch.equal(new[kept], old[kept])
    assert (numbers["photosynthesis"], numbers["enzyme"], numbers["rubisco"]) == (1, 2, len(PIECES) + 1)
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path / "out")
    ids = torch.tensor([[4, numbers["rubisco"], 6, 5]])
    found, expected = after(ids).prediction_logits, theirs(ids).prediction_logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_table_grows_in_eights_where_its_size_is_one(tmp_path: Path) -> None:
    model = write(tmp_path / "m", PIECES, vocab_size=72)
    add_words(model, tmp_path / "fits", words=WORDS)
    assert bertkit.BertConfig.from_pretrained(tmp_path / "fits").vocab_size == 72
    add_words(model, tmp_path / "grows", words=[first + second for first in "abcd" for second in "xyz"])
    grown = bertkit.BertForPreTraining.from_pretrained(tmp_path / "grows")
    assert grown.config.vocab_size == 80
    used = len(BertTokenizerFast.from_pretrained(tmp_path / "grows"))
    assert used == len(PIECES) + 10 == 75
    assert not grown.bert.embeddings.word_embeddings.weight[used:].any()
    assert (grown.cls.predictions.bias[used:] == grown.cls.predictions.bias.min()).all()


def test_added_tokens_keep_their_ids(tmp_path: Path) -> None:
    """They are after the vocabulary, which can therefore only claim unused tokens."""
    model = write(tmp_path / "m", PIECES, added=["<gene>", "<cell>"])
    with pytest.raises(UsageError, match=r"cannot grow, as added tokens \(<gene>, <cell>\).*add at most 2 words"):
        add_words(model, tmp_path / "out", words=WORDS)
    add_words(model, tmp_path / "out", words=WORDS[:2])
    for kind in (BertTokenizer, BertTokenizerFast):
        before, after = kind.from_pretrained(model), kind.from_pretrained(tmp_path / "out")
        names = ["<gene>", "<cell>", "the", "##syn", "[MASK]"]
        assert after.convert_tokens_to_ids(names) == before.convert_tokens_to_ids(names)
        assert after.convert_tokens_to_ids(NEW[:2]) == [1, 2] and len(after) == len(before)
        assert after.tokenize("a <gene> of enzyme") == ["a", "<gene>", "o", "##f", "enzyme"]


def test_useful_words_save_the_most_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["the", "photo", "photosynthesis", "enzyme", "Rubisco", "ab", "7", "é", "zq"]
    text = [" ".join(rng.choice(words, 12, p=np.arange(9, 0, -1) / 45)) + " ." for _ in range(40)]
    (tmp_path / "texts.txt").write_text("\n".join(text))
    model = write(tmp_path / "m", PIECES)
    tokenizer = BertTokenizerFast(PIECES)
    counts = Counter(re.findall(r"\w+", " ".join(text).lower()))
    saved = {word: times * (len(tokenizer.tokenize(word)) - 1) for word, times in counts.items()}
    expected = sorted((word for word in saved if saved[word]), key=lambda word: -saved[word])
    assert len(expected) == 5 and len(set(saved.values())) >= 6
    assert (
        add_words(model, tmp_path / "three", texts=[tmp_path / "texts.txt"], count=3, min_frequency=1) == expected[:3]
    )
    found = add_words(model, tmp_path / "frequent", texts=[tmp_path / "texts.txt"], count=9, min_frequency=20)
    assert found == [word for word in expected if counts[word] >= 20] and 0 < len(found) < 5


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write(tmp_path / "m", PIECES)
    (tmp_path / "words.txt").write_text("\nPhotosynthesis \nrubisco\n")
    command = [
        "add-words",
        "--words",
        str(tmp_path / "words.txt"),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out == "photosynthesis\nrubisco\n"
    assert main(command) == 2
    assert "already has a model: choose another folder, or type --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main([*command[:-1], f"{model}/", "--overwrite"]) == 2
    assert "is the model itself, which is not changed: type another folder for --out" in capsys.readouterr().err
    (tmp_path / "words.txt").write_text("\n")
    assert main([*command, "--overwrite"]) == 2
    assert "words.txt has no words: write one in each line." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Either words or texts are needed"),
        ({"words": ["ab"], "texts": ["t.txt"]}, "Either words or texts are needed"),
        (
            {"words": "words.txt"},
            r'words=.words.txt. is a string, but a list of words is needed: type words=\["enzyme", "rubisco"\]',
        ),
        ({"words": ["ab"], "count": 3}, "count=3 is only for texts"),
        ({"texts": "t.txt", "count": 3}, "There is no file t.txt"),
        ({"texts": "words.txt", "count": 3, "field": "body"}, "field='body' has no effect on plain text"),
        ({"words": ["ab"], "min_frequency": 3}, "min_frequency=3 is only for texts"),
        ({"words": ["ab"], "field": "body"}, "field='body' is only for texts"),
        ({"texts": ["t.txt"]}, "Texts need count, the number of words to find: type for example count=1000"),
        ({"texts": ["t.txt"], "count": 3, "min_frequency": 0}, "min_frequency=0 is below 1"),
        ({"texts": ["t.txt"], "count": 0}, "count=0 is below 1"),
        ({"words": ["the"]}, "nothing to add"),
        ({"words": ["two words"]}, "'two words' is 2 words"),
        ({"words": ["co-enzyme"]}, r"is 3 words \(co, -, enzyme\)"),
        ({"words": [" "]}, "is empty"),
        ({"words": ["a" * 101]}, "is too long"),
    ],
)
def test_errors(options: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write(tmp_path / "m", PIECES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("enzyme")
    with pytest.raises((UsageError, DataError), match=sentence):
        add_words(model, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "config.json").exists()
