"""Train a new vocabulary for a tokenizer and keep its other settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from bertkit.errors import UsageError
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.training.vocabulary import rules_for, train_vocabulary
from bertkit.text.vocabulary import AddedToken, Vocabulary, as_token

Corpus = Iterable[str] | Iterable[Iterable[str]]


def retrain(
    files: TokenizerFiles,
    corpus: Corpus,
    size: int,
    *,
    new_special_tokens: Iterable[str | AddedToken] = (),
    special_tokens_map: Mapping[str, str] | None = None,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
    unused: int = 0,
    progress: bool = False,
) -> TokenizerFiles:
    """Return the description of a tokenizer with a vocabulary trained on a corpus.

    The vocabulary begins with the special tokens in the order of their ids, renamed by `special_tokens_map`, and
    `new_special_tokens`. Accents are kept if removing them would split letters, as in Korean (see `rules_for`).
    """
    if files.foreign is not None:
        raise UsageError("Only tokenizers of plain BERTs can be trained: train a new one with bertkit train-tokenizer.")
    names = dict(special_tokens_map or {})
    new = [as_token(token, special=True) for token in new_special_tokens]
    kept = [_renamed(token, names) for _, token in sorted(files.added.items()) if token.special]
    special = list({token.content: token for token in [*kept, *new]}.values())
    rules, texts = rules_for(_texts(corpus), files.rules)
    tokens = train_vocabulary(
        texts,
        size,
        rules=rules,
        special_tokens=[token.content for token in special],
        prefix=files.prefix,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        unused=unused,
        progress=progress,
    )
    return replace(
        files,
        vocabulary=Vocabulary(tokens),
        rules=rules,
        special={name: _renamed(token, names) for name, token in files.special.items()},
        additional=[*(_renamed(token, names) for token in files.additional), *new],
        added=dict(enumerate(special)),
        unk=names.get(files.unk, files.unk),
    )


def _renamed(token: AddedToken, names: Mapping[str, str]) -> AddedToken:
    return replace(token, content=names.get(token.content, token.content))


def _texts(corpus: Corpus) -> Iterator[str]:
    """Yield the texts of a corpus of texts or of batches of texts."""
    if isinstance(corpus, (str, bytes)) or not isinstance(corpus, Iterable):
        received = "one text" if isinstance(corpus, str) else repr(corpus)[:80]
        raise UsageError(
            f"A corpus must be an iterable of texts, not {received}: type [text], or pass a generator of texts."
        )
    for number, item in enumerate(corpus):
        for text in item if isinstance(item, Iterable) and not isinstance(item, (str, bytes)) else [item]:
            if not isinstance(text, str):
                raise UsageError(
                    f"Item {number} of the corpus contains {text!r:.80}, and a text must be a string: leave it out."
                )
            yield text
