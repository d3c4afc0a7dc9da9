"""A tokenizer with a new vocabulary: everything else as it was."""

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
    """The description of a tokenizer with a vocabulary trained on a corpus.

    Its special tokens are the first of the vocabulary, in the order of their ids, under the names that
    `special_tokens_map` gives them, with `new_special_tokens` after them. Accents are kept where taking them off would
    tear letters apart, as in Korean.
    """
    if files.foreign is not None:
        raise UsageError("This tokenizer is not a plain BERT one: train a new one with bertkit train-tokenizer.")
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
    """The texts of a corpus of texts, or of batches of texts."""
    if isinstance(corpus, (str, bytes)) or not isinstance(corpus, Iterable):
        received = "one text" if isinstance(corpus, str) else repr(corpus)[:80]
        raise UsageError(f"A corpus is an iterable of texts, not {received}: type [text], or a generator of texts.")
    for number, item in enumerate(corpus):
        for text in item if isinstance(item, Iterable) and not isinstance(item, (str, bytes)) else [item]:
            if not isinstance(text, str):
                raise UsageError(
                    f"Number {number} of the corpus has {text!r:.80}, and a text is a string: leave it out."
                )
            yield text
