"""The files of any tokenizer -> its description.

A tokenizer needs `tokenizer.json` or `vocab.txt`; `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`
are optional. If the files disagree, these rules apply:

- The vocabulary is that of tokenizer.json in `BertTokenizerFast`, and that of vocab.txt in `BertTokenizer`.
- Arguments of the call override tokenizer_config.json. If tokenizer_config.json exists, its do_lower_case, strip_accents and
  tokenize_chinese_chars, or their defaults, override the normalizer of tokenizer.json.
- special_tokens_map.json and added_tokens.json are used only if tokenizer_config.json has no added_tokens_decoder.
- In `BertTokenizer` an added token has its id in the files, in `BertTokenizerFast` the next free id.
- `model_max_length` is that of tokenizer_config.json, else max_position_embeddings of config.json, else 512.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bertkit.errors import TokenizerError
from bertkit.hub import Place
from bertkit.text.files import added, settings, tokenizer_json
from bertkit.text.files.description import JsonFiles, TokenizerFiles
from bertkit.text.files.template import bert_template
from bertkit.text.vocabulary import Vocabulary, missing_unk
from bertkit.text.wordpiece.steps import Rules

BERT = ("BertTokenizer", "BertTokenizerFast")
"""Values of `tokenizer_class` for BERT."""

ANY = (None, "PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""Values of `tokenizer_class` that may be BERT's. Other classes are accepted if their tokenizer.json is that of a BERT."""


def describe(found: JsonFiles, fast: bool) -> TokenizerFiles:
    """Return the description of a tokenizer, for the fast or the slow class."""
    parsed = _parsed(found)
    _check_class(found, plain=parsed is not None and parsed.foreign is None)
    path = None if fast and parsed is not None else _vocab_path(found.place)
    of_json = parsed is not None and path is None
    files = parsed if parsed is not None and of_json else _from_vocab(found.place, path, parsed)
    if "tokenizer_config.json" in found.objects:
        files.rules = Rules(clean=files.rules.clean or not fast)
    files.rules = replace(files.rules, compat="fast" if fast else "slow")
    files.clean_up = not (fast and of_json)  # as in transformers: the decoder of tokenizer.json already cleans up
    settings.apply(files, found.settings, found.place.where)
    added.apply(files, found, fast)
    if of_json:
        _apply_template(files, found)
    else:
        files.prefix = found.settings.get("wordpieces_prefix") or files.prefix
        files.unk = files.special["unk_token"].content
        if files.unk not in files.vocabulary:
            raise missing_unk(files.unk, found.place.where)
    return files


def _vocab_path(place: Place) -> Path | None:
    """Return the path of vocab.txt, or of another file that the user named, or None."""
    if place.file is None:
        return place.find("vocab.txt")
    return None if place.file.suffix == ".json" else place.file


def _parsed(found: JsonFiles) -> TokenizerFiles | None:
    """Return the description in tokenizer.json, or None without that file."""
    whole = found.objects.get("tokenizer.json")
    if whole is None:
        return None
    return tokenizer_json.parse(whole, found.texts["tokenizer.json"], str(found.paths["tokenizer.json"]))


def _from_vocab(place: Place, path: Path | None, parsed: TokenizerFiles | None) -> TokenizerFiles:
    """Return the vocabulary of vocab.txt with the rules and the added tokens of tokenizer.json, if that exists."""
    files = TokenizerFiles(Vocabulary.from_file(path or place.fetch("tokenizer.json", "vocab.txt")))
    if parsed is not None:
        files.rules, files.added = parsed.rules, parsed.added
    return files


def _check_class(found: JsonFiles, plain: bool) -> None:
    """Raise TokenizerError for the tokenizer of another model, unless its `tokenizer.json` is that of a BERT."""
    name = found.objects.get("tokenizer_config.json", {}).get("tokenizer_class")
    model = found.objects.get("config.json", {}).get("model_type")
    if plain or name in BERT or (name in ANY and model in (None, "bert")):
        return
    kind = f"belongs to a model of type {model!r:.80}" if name in ANY else f"is a {name!r:.80}"
    raise TokenizerError(
        f"The tokenizer of {found.place.where} {kind}, and bertkit supports only BERT: pass a model whose tokenizer_class is "
        "BertTokenizer, or whose tokenizer.json is that of a BERT."
    )


def _apply_template(files: TokenizerFiles, found: JsonFiles) -> None:
    """Leave a tokenizer.json to the `tokenizers` library if it adds other special tokens than BERT's to a text."""
    if files.template is None:
        raise TokenizerError(f"{found.paths['tokenizer.json']} has a post_processor that bertkit does not support.")
    if files.template != bert_template(*(_id(files, name) for name in ("cls_token", "sep_token"))):
        files.foreign = found.texts["tokenizer.json"]
    if files.foreign is None:
        files.template = None


def _id(files: TokenizerFiles, name: str) -> int:
    index = files.id_of(files.special[name].content)
    assert index is not None  # missing special tokens were added before
    return index
