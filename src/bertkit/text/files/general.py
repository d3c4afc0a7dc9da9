"""Any files of a tokenizer -> its description.

A tokenizer is in any of `tokenizer.json`, `vocab.txt`, `tokenizer_config.json`, `special_tokens_map.json` and
`added_tokens.json`, as long as one of the first two is there. Where they disagree:

- The vocabulary is that of tokenizer.json for `BertTokenizerFast`, and that of vocab.txt for `BertTokenizer`.
- The arguments of a call go before tokenizer_config.json, and its do_lower_case, strip_accents and
  tokenize_chinese_chars go before tokenizer.json, by their defaults, too. Only where there is no
  tokenizer_config.json does tokenizer.json say how text is normalized.
- special_tokens_map.json and added_tokens.json count only where tokenizer_config.json has no added_tokens_decoder.
- In `BertTokenizer` an added token has the id that the files say, in `BertTokenizerFast` the next free one.
- `model_max_length` is that of tokenizer_config.json, else max_position_embeddings of config.json, else 512.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bertkit.errors import TokenizerError
from bertkit.hub import Place
from bertkit.text.files import added, settings, tokenizer_json
from bertkit.text.files.description import Found, TokenizerFiles
from bertkit.text.files.template import bert_template
from bertkit.text.vocabulary import Vocabulary, missing_unk
from bertkit.text.wordpiece.steps import Rules

BERT = ("BertTokenizer", "BertTokenizerFast")
"""The `tokenizer_class` in a file of BERT's."""

ANY = (None, "PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""The classes that may be BERT's. Any other is accepted where its tokenizer.json is a plain BERT one."""


def describe(found: Found, fast: bool) -> TokenizerFiles:
    """The description of a tokenizer, as the fast or the slow class reads its files."""
    parsed = _parsed(found)
    _check_class(found, plain=parsed is not None and parsed.foreign is None)
    lines = None if fast and parsed is not None else _lines(found.place)
    of_json = parsed is not None and lines is None
    files = parsed if parsed is not None and of_json else _from_lines(found.place, lines, parsed)
    if "tokenizer_config.json" in found.objects:
        files.rules = Rules(clean=files.rules.clean or not fast)
    files.rules = replace(files.rules, compat="fast" if fast else "slow")
    files.clean_up = not (fast and of_json)  # as transformers: the decoder of tokenizer.json cleans up by itself
    settings.apply(files, found.settings, found.place.where)
    added.apply(files, found, fast)
    if of_json:
        _settle_template(files, found)
    else:
        files.prefix = found.settings.get("wordpieces_prefix") or files.prefix
        files.unk = files.special["unk_token"].content
        if files.unk not in files.vocabulary:
            raise missing_unk(files.unk, found.place.where)
    return files


def _lines(place: Place) -> Path | None:
    """The path of vocab.txt, or of the file that the user named instead."""
    if place.file is None:
        return place.find("vocab.txt")
    return None if place.file.suffix == ".json" else place.file


def _parsed(found: Found) -> TokenizerFiles | None:
    """What tokenizer.json says."""
    whole = found.objects.get("tokenizer.json")
    if whole is None:
        return None
    return tokenizer_json.parse(whole, found.texts["tokenizer.json"], str(found.paths["tokenizer.json"]))


def _from_lines(place: Place, lines: Path | None, parsed: TokenizerFiles | None) -> TokenizerFiles:
    """What vocab.txt says, under the rules and the added tokens of tokenizer.json."""
    files = TokenizerFiles(Vocabulary.from_file(lines or place.fetch("tokenizer.json", "vocab.txt")))
    if parsed is not None:
        files.rules, files.added = parsed.rules, parsed.added
    return files


def _check_class(found: Found, plain: bool) -> None:
    """Refuse the tokenizer of another model, unless its `tokenizer.json` is that of a BERT."""
    name = found.objects.get("tokenizer_config.json", {}).get("tokenizer_class")
    model = found.objects.get("config.json", {}).get("model_type")
    if plain or name in BERT or (name in ANY and model in (None, "bert")):
        return
    is_of = f"belongs to a model of type {model!r:.80}" if name in ANY else f"has a {name!r:.80}"
    raise TokenizerError(
        f"The tokenizer of {found.place.where} {is_of}, and bertkit is BERT alone: it reads a BertTokenizer, "
        "and others whose tokenizer.json is that of a BERT."
    )


def _settle_template(files: TokenizerFiles, found: Found) -> None:
    """Leave a tokenizer.json to the `tokenizers` library where it does not put BERT's special tokens around a text."""
    if files.template is None:
        raise TokenizerError(f"{found.paths['tokenizer.json']} has a post_processor that is not understood.")
    if files.template != bert_template(*(_id(files, name) for name in ("cls_token", "sep_token"))):
        files.foreign = found.texts["tokenizer.json"]
    if files.foreign is None:
        files.template = None


def _id(files: TokenizerFiles, name: str) -> int:
    index = files.id_of(files.special[name].content)
    assert index is not None  # every special token that the vocabulary lacks was added
    return index
