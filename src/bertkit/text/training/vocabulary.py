"""Train a vocabulary of WordPieces on a corpus.

The texts are read once, as a stream. Their words are counted, the frequent characters become the alphabet, and merging
(merging.py) adds pieces until the vocabulary is full. The result depends only on the texts: ties are resolved by the
characters, and not by the order of a hash table, the number of files or the size of reads.
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

MOST_WORDS = 2_000_000  # different words that are counted at once: about 400 MB, and 600 MB more while merging
MOST_PIECES = 2**20  # merging has a character for each piece, and there are 1,114,112
LONGEST_WORD = 100  # tokenizers replace longer words by [UNK]
_CHARACTERS_AT_ONCE = 1 << 22
_SAMPLE = 1 << 20  # characters of the corpus that `rules_for` examines

# Letters whose Unicode decomposition has an essential part that counts as an accent: Indic, Thai, Tibetan, Burmese and Khmer
# vowels, the dots of kana, all of Hangul.
_TORN = re.compile("[\u0900-\u109f\u1780-\u17ff\u3041-\u30ff\uac00-\ud7a3]")
_LETTER = re.compile(r"[^\W\d_]")


def rules_for(texts: Iterable[str], rules: Rules) -> tuple[Rules, Iterator[str]]:
    """Return the rules for a corpus, and an iterator over all its texts.

    Lower-casing also removes accents, unless `strip_accents` is set. Removing accents decomposes letters, which splits Korean
    syllables (한 -> ᄒ ᅡ ᆫ) and changes Japanese (が -> か) and Indic letters. If such letters are at least 1 % of the letters
    in the first million characters, `strip_accents` is set to False.

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
    """Return the pieces of a new vocabulary, in the order of their ids.

    The vocabulary has special tokens, unused tokens, single characters and merged pieces.

    Args:
        texts: the corpus, read once.
        size: the number of pieces; a small corpus gives fewer.
        rules: how to split a text into words. Use the same rules for the tokenizer; `rules_for` chooses them for a corpus.
        min_frequency: how often a merged piece must occur.
        special_tokens: the first pieces.
        unused: the number of tokens `[unused0]`, `[unused1]`, ..., which can be replaced by other tokens later.
        limit_alphabet: the maximum number of different characters; words with others become [UNK]. By default, the most
            frequent characters that make up 99.99 percent of the corpus, at least 1000 if the corpus has as many, and at
            most two thirds of the vocabulary.
        prefix: the prefix of a piece inside a word.
        progress: display a progress bar.

    >>> words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    >>> train_vocabulary([" ".join(words)], 29, special_tokens=["[UNK]"])[19:23]
    ['##es', '##est', 'lo', 'low']
    """
    if isinstance(texts, str):
        raise UsageError("A corpus must be an iterable of texts, not one text: type [text].")
    _check_numbers(vocab_size=size, min_frequency=min_frequency, unused=unused, limit_alphabet=limit_alphabet)
    _check_alphabet(limit_alphabet)
    fixed = [*special_tokens, *(f"[unused{number}]" for number in range(unused))]
    _check_room(size, fixed)
    counts = count_words(texts, rules)
    if not counts:
        raise DataError("The texts have no words to train a vocabulary on: pass other texts.")
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
    """A progress bar for new pieces, on a logarithmic scale, since the first tenth of the pieces takes most of the time."""
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
            if made == count:  # the first call adds the alphabet, which takes no time
                bar.initial = bar.n

        yield on_pieces


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise UsageError(Setting(name, value), " is not an integer of 0 or more: type ", Setting(name, 100), ".")


def _check_alphabet(limit: int | None) -> None:
    if limit == 0:
        example = Setting("limit_alphabet", 200)
        raise UsageError(
            Setting("limit_alphabet", 0), " leaves no character to write words with: type for example ", example, "."
        )


def _check_room(size: int, fixed: Sequence[str]) -> None:
    twice = [token for token, times in Counter(fixed).items() if times > 1]
    if twice:
        raise UsageError(f"The special token {twice[0]!r} was passed more than once: pass each token once.")
    if size > MOST_PIECES:
        raise UsageError(
            Setting("vocab_size", size), f" is above the {MOST_PIECES:,} pieces that can be trained: type for example ",
            Setting("vocab_size", 30522), ".",
        )  # fmt: skip
    if size < len(fixed) + 3:
        raise UsageError(
            f"A vocabulary of {size} has no room for words after {len(fixed)} special and unused tokens: type a larger size."
        )


def count_words(texts: Iterable[str], rules: Rules, most: int = MOST_WORDS) -> dict[str, int]:
    """Count how often each word occurs, in bounded memory.

    When there are more than `most` different words, the rarest words and their counts are dropped until half of the words
    are left. A dropped word that occurs again is counted from 0, so counts may be too low.
    """
    words: Counter[str] = Counter()
    normalizer = Normalizer(rules)
    for chunks in _chunks(texts):
        # Chunks repeat, so each different chunk is normalized once.
        for (_, times), found in zip(chunks.items(), normalizer.joined(list(chunks)), strict=True):
            for word in found:
                words[word] += times
        if len(words) > most:
            words = _without_rarest(words, most // 2)
    return {word: count for word, count in words.items() if len(word) <= LONGEST_WORD}


def _chunks(texts: Iterable[str]) -> Iterator[Counter[str]]:
    """Yield the chunks of text between spaces with their counts, for some millions of characters at a time.

    No rule depends on characters beyond a space, so chunks give the same words as whole texts.
    """
    chunks: Counter[str] = Counter()
    size = 0
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(
                f"A text must be a string, but the corpus contains {text!r:.80}, of type {type(text).__name__}: leave it out."
            )
        chunks.update(text.split(" "))
        size += len(text)
        if size >= _CHARACTERS_AT_ONCE:
            yield chunks
            chunks, size = Counter(), 0
    yield chunks


def _without_rarest(words: Counter[str], most: int) -> Counter[str]:
    """Return at most `most` words: those whose count is above a limit, which is as low as possible."""
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
    """Return the pieces of one character, sorted: without the prefix, and with the prefix for characters inside words."""
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
    """Return how many of the most frequent characters make up 99.99 percent of the corpus; at least 1000."""
    needed = 0.9999 * sum(counts)
    return max(1000, 1 + sum(covered < needed for covered in accumulate(counts)))
