"""Words of a domain: find those that a tokenizer splits into pieces, and put them into its vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from bertkit.errors import UsageError
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.training.vocabulary import LONGEST_WORD, count_words
from bertkit.text.vocabulary import Vocabulary
from bertkit.text.wordpiece.characters import Normalizer
from bertkit.text.wordpiece.pieces import Engine

_AT_ONCE = 2**16


def useful_words(
    texts: Iterable[str], files: TokenizerFiles, engine: Engine, count: int, min_frequency: int
) -> list[str]:
    """Return the words of texts that would save the most tokens as tokens of their own, the best first.

    A word saves a token for each of its pieces but one, each time that it occurs. Words without letters are left out.

    Args:
        texts: the texts, read once.
        files: the description of the tokenizer.
        engine: its engine, without special tokens.
        count: the number of words; fewer if the texts do not have as many.
        min_frequency: how often a word must occur.
    """
    check_plain(files)
    counts = count_words(texts, files.rules)
    words = [word for word, times in counts.items() if times >= min_frequency and any(map(str.isalpha, word))]
    savings: dict[str, int] = {}
    for start in range(0, len(words), _AT_ONCE):
        some = words[start : start + _AT_ONCE]
        _, ends = engine.encode(some)
        for word, pieces in zip(some, np.diff(ends, prepend=0).tolist(), strict=True):
            if pieces > 1:
                savings[word] = counts[word] * (pieces - 1)
    return sorted(savings, key=lambda word: (-savings[word], word))[:count]


def with_words(files: TokenizerFiles, words: Iterable[str]) -> tuple[TokenizerFiles, dict[str, int]]:
    """Return a tokenizer whose vocabulary has further words, and the id of each new word.

    The first words replace `[unused0]`, `[unused1]`, ..., the others get new ids after all others. Words are normalized as texts
    are, and those that the vocabulary has are left out. The tokenizer then splits texts as if `vocab.txt` always had the words.

    >>> files = TokenizerFiles(Vocabulary(["[UNK]", "[unused0]", "a", "##b"]))
    >>> changed, ids = with_words(files, ["ab", "a", "cd"])
    >>> changed.vocabulary.tokens, ids
    (['[UNK]', 'ab', 'a', '##b', 'cd'], {'ab': 1, 'cd': 4})
    """
    check_plain(files)
    new = [word for word in _normalized(files, words) if files.id_of(word) is None]
    unused = files.unused_ids
    later = [token.content for number, token in files.added.items() if number >= len(files.vocabulary.tokens)]
    if len(new) > len(unused) and later:
        raise UsageError(
            f"{len(new)} words are new and the vocabulary has {len(unused)} unused tokens such as [unused1]. It cannot grow, as "
            f"added tokens ({', '.join(later[:5])}) have the ids after it: add at most {len(unused)} words."
        )
    tokens = list(files.vocabulary.tokens)
    for number, word in zip(unused, new, strict=False):
        tokens[number] = word
    vocabulary = Vocabulary([*tokens, *new[len(unused) :]])
    return replace(files, vocabulary=vocabulary), {word: vocabulary.ids[word] for word in new}


def check_plain(files: TokenizerFiles) -> None:
    """Raise UsageError for a tokenizer that is not BERT's, such as a byte-level one."""
    if files.foreign is not None:
        raise UsageError(
            "Words can only be added to tokenizers of plain BERTs, and this model has another tokenizer.json."
        )


def _normalized(files: TokenizerFiles, words: Iterable[str]) -> list[str]:
    """Return different words as they are in normalized texts. Raises UsageError for one that is not one word."""
    given = list(words)
    found: list[str] = []
    for word, parts in zip(given, Normalizer(files.rules).joined(given), strict=True):
        if len(parts) != 1 or len(parts[0]) > min(LONGEST_WORD, files.max_chars):
            shown = (
                f"{len(parts)} words ({', '.join(parts[:5])})"
                if len(parts) > 1
                else "empty"
                if not parts
                else "too long"
            )
            raise UsageError(f"{word!r:.80} is {shown} for this tokenizer: pass words without spaces and punctuation.")
        found.append(parts[0])
    return list(dict.fromkeys(found))
