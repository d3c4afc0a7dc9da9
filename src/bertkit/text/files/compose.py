"""Description -> `tokenizer.json`, the file format of the `tokenizers` library, or a tokenizer of that library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bertkit.text.files.description import TokenizerFiles
from bertkit.text.files.read import plain_sections
from bertkit.text.files.tokenizer_json import backend_from
from bertkit.text.wordpiece.steps import Rules

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def to_backend(files: TokenizerFiles) -> Tokenizer:
    """Return a description as a `tokenizers.Tokenizer`. Changes to it do not change the description."""
    return backend_from(compose(files), "The tokenizer")


def compose(files: TokenizerFiles) -> str:
    """Return the text of a `tokenizer.json`, in the form that the `tokenizers` library writes."""
    whole = _plain(files) if files.foreign is None else json.loads(files.foreign)
    whole["added_tokens"] = [{"id": index} | token.to_dict() for index, token in sorted(files.added.items())]
    if _type(whole.get("normalizer")) == "BertNormalizer":
        whole["normalizer"] = _normalizer(files.rules)
    return json.dumps(whole, indent=2, ensure_ascii=False)


def _type(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None


def _plain(files: TokenizerFiles) -> dict[str, Any]:
    cls, sep = (files.special[name].content for name in ("cls_token", "sep_token"))
    sections = plain_sections((cls, files.id_of(cls)), (sep, files.id_of(sep)))
    return {
        "version": "1.0",
        "truncation": files.truncation,
        "padding": files.padding,
        "added_tokens": [],
        "normalizer": _normalizer(files.rules),
        "pre_tokenizer": sections["pre_tokenizer"],
        "post_processor": sections["post_processor"],
        "decoder": sections["decoder"] | {"prefix": files.prefix, "cleanup": files.decoder_clean_up},
        "model": {
            "type": "WordPiece",
            "unk_token": files.unk,
            "continuing_subword_prefix": files.prefix,
            "max_input_chars_per_word": files.max_chars,
            "vocab": dict(sorted(files.vocabulary.ids.items(), key=lambda item: item[1])),
        },
    }


def _normalizer(rules: Rules) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": rules.clean,
        "handle_chinese_chars": rules.chinese,
        "strip_accents": rules.strip_accents,
        "lowercase": rules.lowercase,
    }
