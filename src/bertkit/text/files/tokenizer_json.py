"""`tokenizer.json`, the file format of the `tokenizers` library -> the description of a tokenizer.

The file of a plain BERT is read completely. Of any other file, only the special tokens around a text are read; its text is
stored in `TokenizerFiles.foreign`, and the library runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit.errors import TokenizerError
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.files.growth import check_growth
from bertkit.text.files.sections import read_section
from bertkit.text.files.template import read_template, steps_of
from bertkit.text.panics import as_errors
from bertkit.text.vocabulary import AddedToken, Vocabulary, check_added, check_id, missing_unk, read_token
from bertkit.text.wordpiece.characters import Rules

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AS_IT_IS = Rules(lowercase=False, strip_accents=False, chinese=False, clean=False)


def parse(whole: Mapping[str, Any], text: str, where: str) -> TokenizerFiles:
    """Return the description in a `tokenizer.json`. `whole` is its JSON object and `text` its text.

    `template` is None if the post-processor is not supported. Special tokens and some other fields are in other files.
    `where` names the file in the errors.
    """
    added = _added_tokens(whole.get("added_tokens"), where)
    rules, decoder = _rules(whole.get("normalizer")), _decoder(whole.get("decoder"))
    model = _word_piece(whole.get("model"), where)
    plain = model and rules and decoder and decoder.prefix == model.prefix and _splits_as_bert(whole)
    if model and rules and decoder and plain:
        files = TokenizerFiles(
            Vocabulary.from_ids(model.vocabulary, where),
            rules,
            prefix=model.prefix,
            max_chars=model.max_chars,
            unk=model.unk,
            decoder_clean_up=decoder.clean_up,
        )
    else:
        check_growth(whole.get("normalizer"), "normalizers", where)
        check_growth(whole.get("decoder"), "decoders", where)
        files = TokenizerFiles(_foreign_vocabulary(text, where), rules or Rules(), foreign=text)
    files.added = added
    files.truncation, files.padding = (read_section(whole, name, where) for name in ("truncation", "padding"))
    files.template = read_template(whole.get("post_processor"))
    return files


# The parts of a plain BERT file. Each function returns None if the file is not plain.


class _Model(NamedTuple):
    vocabulary: dict[str, int]
    unk: str
    prefix: str
    max_chars: int


class _Decoder(NamedTuple):
    prefix: str
    clean_up: bool


def _word_piece(model: object, where: str) -> _Model | None:
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        return None
    found = _Model(
        model.get("vocab"),  # type: ignore[arg-type]
        model.get("unk_token", "[UNK]"),
        model.get("continuing_subword_prefix", "##"),
        model.get("max_input_chars_per_word", 100),
    )
    if "type" not in model and "max_input_chars_per_word" not in model:
        return None  # files of the first versions have no type
    if not isinstance(found.vocabulary, dict) or not isinstance(found.unk, str) or not isinstance(found.prefix, str):
        raise TokenizerError(
            f"{where} has a WordPiece model with an invalid type of vocab (an object), unk_token or prefix (strings)."
        )
    if found.unk not in found.vocabulary:
        raise missing_unk(found.unk, where)
    if type(found.max_chars) is not int or not 0 < found.max_chars < 2**31:
        raise TokenizerError(
            f"{where} has max_input_chars_per_word {found.max_chars!r:.80}, but an integer above 0 is expected."
        )
    return found


def _rules(normalizer: object) -> Rules | None:
    steps = steps_of(normalizer, "normalizers")
    if not steps:
        return _AS_IT_IS if steps == [] else None
    flags = [steps[0].get(name, True) for name in ("lowercase", "handle_chinese_chars", "clean_text")]
    accents = steps[0].get("strip_accents")
    if len(steps) > 1 or steps[0].get("type") != "BertNormalizer" or not _are_bools(*flags, accents is True):
        return None
    if accents is not None and not isinstance(accents, bool):
        return None
    return Rules(lowercase=flags[0], strip_accents=accents, chinese=flags[1], clean=flags[2])


def _splits_as_bert(whole: Mapping[str, Any]) -> bool:
    steps = steps_of(whole.get("pre_tokenizer"), "pretokenizers")
    return steps is not None and [step.get("type") for step in steps] == ["BertPreTokenizer"]


def _decoder(decoder: object) -> _Decoder | None:
    steps = steps_of(decoder, "decoders")
    if steps is None or [step.get("type") for step in steps] != ["WordPiece"]:
        return None
    found = _Decoder(steps[0].get("prefix", "##"), steps[0].get("cleanup", True))
    return found if isinstance(found.prefix, str) and _are_bools(found.clean_up) else None


def _are_bools(*values: object) -> bool:
    return all(isinstance(value, bool) for value in values)


def _added_tokens(values: object, where: str) -> dict[int, AddedToken]:
    values = [] if values is None else values
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TokenizerError(f'{where} has "added_tokens" that are not a list of objects.')
    what = f"{where}: an added token"
    found = {check_id(value.get("id"), what): read_token(value, what) for value in values}
    check_added(found, where)
    return found


def _foreign_vocabulary(text: str, where: str) -> Vocabulary:
    return Vocabulary.from_ids(backend_from(text, where).get_vocab(with_added_tokens=False), where)


def backend_from(text: str, where: str) -> Tokenizer:
    """Return the `tokenizers.Tokenizer` for the text of a `tokenizer.json`."""
    from tokenizers import Tokenizer

    with as_errors(f"{where} cannot be read by the tokenizers library"):
        return Tokenizer.from_str(text)
