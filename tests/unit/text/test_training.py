"""A trained vocabulary depends only on the texts, is as good as that of the `tokenizers` package, and supports all scripts."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from bertkit.errors import DataError, UsageError
from bertkit.text.training.merging import merge
from bertkit.text.training.vocabulary import SPECIAL_TOKENS, count_words, rules_for, train_vocabulary
from bertkit.text.wordpiece.characters import Rules

WORDS = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3


def generated(count: int, seed: int = 0) -> list[str]:
    """Texts of words with common stems and endings, and very different frequencies."""
    rng = random.Random(seed)
    stems = ["".join(rng.choices("abdegiklmnoprstu", k=rng.randint(1, 6))) for _ in range(300)]
    endings = ["", "s", "ed", "ing", "er", "ness", "ly"]
    words = [stem + ending for stem in stems for ending in endings]
    weights = [1 / (1 + place) for place in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=12)).capitalize() + "." for _ in range(count)]


def peer(vocabulary: Sequence[str], lowercase: bool = True) -> Tokenizer:
    """The `tokenizers` package with a vocabulary of ours."""
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def trained_by_peer(texts: Sequence[str], size: int) -> list[str]:
    tokenizer = peer(["[UNK]"])
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, show_progress=False, special_tokens=list(SPECIAL_TOKENS)
    )
    tokenizer.train_from_iterator(texts, trainer)
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)


def pieces_in(texts: Sequence[str], vocabulary: Sequence[str]) -> int:
    tokenizer = peer(vocabulary)
    return sum(len(tokenizer.encode(text).ids) for text in texts)


def test_the_worked_example() -> None:
    vocabulary = train_vocabulary([" ".join(WORDS)], 35)
    assert vocabulary[:5] == list(SPECIAL_TOKENS)
    assert vocabulary[5:15] == list("deilnorstw")
    assert vocabulary[15:23] == ["##" + letter for letter in "deiorstw"]
    assert vocabulary[23:27] == ["##es", "##est", "lo", "low"]


def test_as_good_as_the_tokenizers_library() -> None:
    texts, held_out = generated(2000), generated(300, seed=1)
    ours, theirs = train_vocabulary(texts, 500), trained_by_peer(texts, 500)
    assert len(ours) == len(theirs) == 500
    assert len(set(ours) & set(theirs)) > 490
    assert pieces_in(held_out, ours) <= 1.01 * pieces_in(held_out, theirs)


def test_the_vocabulary_does_not_depend_on_the_splitting_of_the_corpus() -> None:
    """The order of texts does not matter either, unless words were dropped to save memory."""
    texts = generated(500)
    expected = train_vocabulary(texts, 300)
    words = [word for text in texts for word in text.split()]
    assert train_vocabulary(words, 300) == expected
    assert train_vocabulary([" ".join(words)], 300) == expected
    assert train_vocabulary(reversed(texts), 300) == expected
    assert train_vocabulary((text for text in texts), 300) == expected


def test_the_size_of_a_read_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = generated(500)
    expected = train_vocabulary(texts, 300)
    monkeypatch.setattr("bertkit.text.training.vocabulary._CHARACTERS_AT_ONCE", 100)
    assert train_vocabulary(texts, 300) == expected


def test_the_seed_of_hashes_does_not_matter() -> None:
    script = (
        "from bertkit.text.training.vocabulary import train_vocabulary\n"
        "import random\n"
        "rng = random.Random(0)\n"
        "texts = [''.join(rng.choices('abcdef  ', k=50)) for _ in range(200)]\n"
        "print(train_vocabulary(texts, 200))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(runs) == 1


def test_a_word_of_known_characters_is_never_unknown() -> None:
    vocabulary = train_vocabulary(generated(300), 200)
    encoded = peer(vocabulary).encode("abdegiklmnoprstu utsrponmlkigedba")
    assert "[UNK]" not in encoded.tokens


def test_an_overlapping_pair() -> None:
    """In "aaaa" the pair ##a ##a is counted twice and merged once."""
    assert merge({"aaaa": 3, "aaa": 2}, ["a", "##a"], 4) == ["a", "##a", "##aa", "a##aa".replace("##", "")]


def test_different_pairs_for_one_piece() -> None:
    counts = {"abc": 5, "abd": 4, "xbc": 4, "ybc": 1}
    pieces = merge(counts, [*"abcdxy", "##b", "##c", "##d"], 20)
    assert len(set(pieces)) == len(pieces)


def test_rare_pairs_are_not_made() -> None:
    counts = {"abc": 1, "abd": 1}
    assert merge(counts, [*"abcd", "##b", "##c", "##d"], 20)[7:] == ["ab"]
    assert len(merge(counts, [*"abcd", "##b", "##c", "##d"], 20, min_frequency=1)) == 10


def test_a_word_equal_to_a_special_token() -> None:
    vocabulary = train_vocabulary(["mask mask mask"], 30, special_tokens=["[UNK]", "mask"])
    assert vocabulary.count("mask") == 1
    assert vocabulary.index("mask") == 1


def test_unused_slots_follow_the_special_tokens() -> None:
    vocabulary = train_vocabulary(generated(50), 150, unused=10)
    assert vocabulary[5:15] == [f"[unused{number}]" for number in range(10)]
    assert len(vocabulary) == 150


def test_memory_is_bounded_and_frequent_words_are_kept() -> None:
    """`often` is every tenth word of a stream in which no other word is repeated."""

    def stream() -> Iterator[str]:
        for number in range(20_000):
            yield f"often w{number} " if number % 10 == 0 else f"w{number}"

    counts = count_words(stream(), Rules(), most=1000)
    assert len(counts) < 20_000
    assert counts["often"] == 2000


def test_the_rarest_are_dropped_at_the_same_place_however_texts_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.text.training.vocabulary._CHARACTERS_AT_ONCE", 1000)
    texts = generated(500)
    expected = count_words(texts, Rules(), most=50)
    assert count_words(iter(texts), Rules(), most=50) == expected
    assert len(expected) < len(count_words(texts, Rules()))


def test_words_that_are_too_long_are_ignored() -> None:
    assert count_words(["a" * 101 + " " + "b" * 100], Rules()) == {"b" * 100: 1}


def test_a_limited_alphabet_keeps_the_most_frequent() -> None:
    vocabulary = train_vocabulary(["a a a b b c"], 30, limit_alphabet=2)
    assert vocabulary[5:] == ["a", "b"]


KOREAN = ["한국어 단어를 배웁니다.", "좋은 영화였습니다 정말 좋은 영화", "그냥 그런 영화네요"] * 5


def test_korean_is_a_vocabulary_of_syllables() -> None:
    rules, texts = rules_for(KOREAN, Rules())
    assert rules == Rules(strip_accents=False)
    vocabulary = train_vocabulary(texts, 100, rules=rules)
    assert {"한", "##국", "영화"} <= set(vocabulary)
    assert not any("\u1100" <= character <= "\u11ff" for token in vocabulary for character in token)


def test_accents_are_kept_only_if_letters_would_be_split() -> None:
    torn = train_vocabulary(KOREAN, 100, rules=Rules())
    assert any("\u1100" <= character <= "\u11ff" for token in torn for character in token)


@pytest.mark.parametrize("text", ["한국어", "ががが", "カタカナ", "हिन्दी", "ภาษาไทย", "mostly English, 한국어 too"])
def test_letters_that_would_be_split(text: str) -> None:
    assert rules_for([text], Rules())[0].strip_accents is False


@pytest.mark.parametrize("text", ["café", "Ελλάδα", "русский й", "汉字", "שָׁלוֹם", "", "1234", "x" * 1000 + "한"])
def test_letters_that_would_not_be_split(text: str) -> None:
    assert rules_for([text], Rules())[0] == Rules()


@pytest.mark.parametrize("rules", [Rules(lowercase=False), Rules(strip_accents=True), Rules(strip_accents=False)])
def test_explicit_rules_are_not_changed(rules: Rules) -> None:
    assert rules_for(KOREAN, rules)[0] == rules


def test_rules_for_returns_all_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.text.training.vocabulary._SAMPLE", 10)
    assert list(rules_for(iter(KOREAN), Rules())[1]) == KOREAN


@pytest.mark.parametrize(
    ("texts", "arguments", "sentence"),
    [
        ([], {}, "have no words"),
        (["", "  "], {}, "have no words"),
        ([["a", "list"]], {}, "of type list"),
        ("a text", {}, "not one text"),
        (["a"], {"size": 5}, "no room"),
        (["a"], {"special_tokens": ["[UNK]", "[UNK]"]}, "more than once"),
    ],
)
def test_errors(texts: list[str], arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises((DataError, UsageError), match=sentence):
        train_vocabulary(texts, **arguments)  # type: ignore[arg-type]


def test_korean_reviews() -> None:
    """On real text: 99.9 percent of the words of unseen reviews are known, and split into whole syllables."""
    here = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[4] / "shared" / "data")) / "nsmc"
    if not here.is_dir():
        pytest.skip("needs the Korean film reviews nsmc in BERTKIT_DATA")
    train, test = (
        [line.split("\t")[1] for line in (here / name).read_text(encoding="utf-8").splitlines()[1:5001]]
        for name in ("train.tsv", "test.tsv")
    )
    rules, texts = rules_for(train, Rules())
    vocabulary = train_vocabulary(texts, 8000, rules=rules)
    assert {"영화", "연기", "##니다"} <= set(vocabulary)
    tokenizer = peer(vocabulary)
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokens = [token for text in test for token in tokenizer.encode(text).tokens]
    assert tokens.count("[UNK]") < 0.005 * len(tokens)
