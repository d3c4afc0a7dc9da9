"""A corpus -> a vocabulary of WordPieces.

The texts are read once, as a stream. Their words are counted, the characters that matter become the alphabet, and merging
(merging.py) adds pieces until the vocabulary is full. The result depends on the texts alone: equal counts are decided by
the characters, and nothing by the order of a hash table, the number of files or the size of a read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, chain
from math import log

from bertkit.errors import DataError, Setting, UsageError
from bertkit.logging import is_progress_bar_enabled
from bertkit.text.training.merging import merge
from bertkit.text.wordpiece.characters import Normalizer, Rules

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

MOST_WORDS = 2_000_000  # different words that are counted at once: about 400 MB, and 600 more while merging
LONGEST_WORD = 100  # a longer word is [UNK] to every tokenizer of BERT
_CHARACTERS_AT_ONCE = 1 << 22
_SAMPLE = 1 << 20  # characters

# Letters of which Unicode's decomposition makes a part an "accent": Indic, Thai, Tibetan, Burmese and Khmer vowels, the dots
# of kana, all of Hangul.
_TORN = re.compile("[\u0900-\u109f\u1780-\u17ff\u3041-\u30ff\uac00-\ud7a3]")
_LETTER = re.compile(r"[^\W\d_]")


def rules_for(texts: Iterable[str], rules: Rules) -> tuple[Rules, Iterator[str]]:
    """The rules that fit a corpus, and its texts, none lost.

    Lower-casing takes accents off, unless `strip_accents` says otherwise. For that it decomposes letters, which tears Korean
    syllables into their parts (한 -> ᄒ ᅡ ᆫ) and changes Japanese (が -> か) and Indic letters. Where such letters are
    at least one in a hundred of the first million characters, accents are kept.

    >>> rules, texts = rules_for(["한국어"], Rules(lowercase=True))
    >>> rules.strip_accents, list(texts)
    (False, ['한국어'])
    """
    stream = iter(texts)
    if not rules.lowercase or rules.strip_accents is not None:
        return rules, stream
    sample: list[str] = []
    size = 0
    for text in stream:
        sample.append(text)
        size += len(text)
        if size >= _SAMPLE:
            break
    torn = sum(len(_TORN.findall(text[:_SAMPLE])) for text in sample)
    letters = sum(len(_LETTER.findall(text[:_SAMPLE])) for text in sample)
    if torn and torn >= 0.01 * letters:
        rules = replace(rules, strip_accents=False)
    return rules, chain(sample, stream)


def train_vocabulary(
    texts: Iterable[str],
    size: int = 30522,
    *,
    rules: Rules = Rules(),  # noqa: B008 - frozen
    min_frequency: int = 2,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    unused: int = 0,
    limit_alphabet: int | None = None,
    prefix: str = "##",
    progress: bool = False,
) -> list[str]:
    """The pieces of a new vocabulary, in the order of their ids: special tokens, unused slots, single
    characters, merged pieces.

    Args:
        texts: the corpus, read once.
        size: how many pieces; a small corpus gives fewer.
        rules: how a text becomes words. Give the tokenizer the same ones; `rules_for` finds those that fit a corpus.
        min_frequency: pieces that occur more rarely are not made.
        special_tokens: the first pieces.
        unused: how many slots `[unused0]`, `[unused1]`, ... to leave for tokens that come later.
        limit_alphabet: how many different characters at most; words with others become [UNK]. By default those that make up
            99.99 percent of the corpus, and at least 1000 if there are so many, as far as they fill two thirds of
            the vocabulary.
        prefix: what marks a piece inside a word.
        progress: draw a bar of the pieces.

    >>> words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    >>> train_vocabulary([" ".join(words)], 29, special_tokens=["[UNK]"])[19:23]
    ['##es', '##est', 'lo', 'low']
    """
    if isinstance(texts, str):
        raise UsageError("A corpus is an iterable of texts, not one text. Write: [text]")
    _check_numbers(vocab_size=size, min_frequency=min_frequency, unused=unused, limit_alphabet=limit_alphabet)
    fixed = [*special_tokens, *(f"[unused{number}]" for number in range(unused))]
    _check_room(size, fixed)
    counts = count_words(texts, rules)
    if not counts:
        raise DataError("The texts hold no words, so there is nothing to train a vocabulary on.")
    room = size - len(fixed)
    alphabet = _alphabet(counts, room, limit_alphabet, prefix)
    with _bar(room, progress) as on_pieces:
        pieces = merge(
            counts,
            alphabet,
            room,
            min_frequency=min_frequency,
            prefix=prefix,
            reserved=fixed,
            on_pieces=on_pieces,
        )
    return [*fixed, *pieces]


@contextmanager
def _bar(room: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """A bar that hears of new pieces. It runs by their logarithm: the tenth part of them costs most of the time."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    made = 0
    with tqdm(
        total=log(room), desc="Merging", bar_format=form, disable=not (progress and is_progress_bar_enabled())
    ) as bar:

        def on_pieces(count: int) -> None:
            nonlocal made
            made += count
            bar.set_description_str(f"Merging, {made:,} pieces", refresh=False)
            bar.update(log(max(made, 1)) - bar.n)
            if made == count:  # the alphabet, which took no merges
                bar.initial = bar.n

        yield on_pieces


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise UsageError(Setting(name, value), " is no number of 0 or more: type ", Setting(name, 100), ".")


def _check_room(size: int, fixed: Sequence[str]) -> None:
    twice = [token for token, times in Counter(fixed).items() if times > 1]
    if twice:
        raise UsageError(
            f"Each special token is one piece of the vocabulary, but {twice[0]!r} was given more than once."
        )
    if size < len(fixed) + 3:
        raise UsageError(
            f"A vocabulary of {size} has no room for words beside {len(fixed)} special and unused tokens: ask for a larger size."
        )


def count_words(texts: Iterable[str], rules: Rules, most: int = MOST_WORDS) -> dict[str, int]:
    """How often each word occurs, in bounded memory.

    Whenever there are more than `most` different words, the rarest are dropped until half of them are left: with
    their counts, a word that comes again starts anew. A word is short of at most the sum of the counts so cut.
    """
    words: Counter[str] = Counter()
    normalizer = Normalizer(rules)
    for chunks in _chunks(texts):
        # Words recur with the same neighbours, so each chunk is normalized once, however often it occurs.
        for (_, times), found in zip(chunks.items(), normalizer.joined(list(chunks)), strict=True):
            for word in found:
                words[word] += times
        if len(words) > most:
            words = _without_rarest(words, most // 2)
    return {word: count for word, count in words.items() if len(word) <= LONGEST_WORD}


def _chunks(texts: Iterable[str]) -> Iterator[Counter[str]]:
    """What stands between blanks, counted over some millions of characters at a time.

    No rule looks across a blank, so these are as good as whole texts.
    """
    chunks: Counter[str] = Counter()
    size = 0
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(
                f"A corpus is an iterable of texts, but one of them is {text!r}, of type {type(text).__name__}."
            )
        chunks.update(text.split(" "))
        size += len(text)
        if size >= _CHARACTERS_AT_ONCE:
            yield chunks
            chunks, size = Counter(), 0
    yield chunks


def _without_rarest(words: Counter[str], most: int) -> Counter[str]:
    """The words more frequent than the lowest count that leaves at most `most` of them."""
    with_count = Counter(words.values())
    left = len(words)
    floor = 0
    for count in sorted(with_count):
        if left <= most:
            break
        floor = count
        left -= with_count[count]
    return Counter({word: count for word, count in words.items() if count > floor})


def _alphabet(counts: Mapping[str, int], room: int, limit: int | None, prefix: str) -> list[str]:
    """The characters of a vocabulary as pieces, sorted: each of them alone, and with the prefix if it stands inside a word."""
    total: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in counts.items():
        inside.update(word[1:])
        for character in word:
            total[character] += count
    ranked = sorted(total, key=lambda character: (-total[character], character))
    if limit is None:
        room = room * 2 // 3
        limit = _enough([total[character] for character in ranked])
    sizes = accumulate(1 + (character in inside) for character in ranked)
    chosen = sorted(character for character, size in zip(ranked[:limit], sizes, strict=False) if size <= room)
    return [*chosen, *(prefix + character for character in chosen if character in inside)]


def _enough(counts: Sequence[int]) -> int:
    """How many of the characters, the most frequent first, make up 99.99 percent of the corpus; at least 1000."""
    needed = 0.9999 * sum(counts)
    return max(1000, 1 + sum(covered < needed for covered in accumulate(counts)))
