"""BertTokenizer and BertTokenizerFast: text -> the columns that a model takes, and back.

One engine stands behind both. They differ in which transformers class they equal: in some rare characters, in what is
returned when a text overflows, in how tokens beside the vocabulary are decoded.
"""

from __future__ import annotations

import logging
from functools import cached_property
from operator import is_
from typing import TYPE_CHECKING, Any, cast

from bertkit.errors import UsageError
from bertkit.text.assembly import Ids
from bertkit.text.batch_encoding import BatchEncoding
from bertkit.text.call import encoder
from bertkit.text.call.inputs import TextInput, read, read_batch, read_one
from bertkit.text.call.options import PLAIN, CallOptions, Options, check_flags, options_of, refuse_unknown
from bertkit.text.call.rows import Frame, Side
from bertkit.text.files.description import USUAL_COLUMNS
from bertkit.text.files.template import Part, bert_template
from bertkit.text.stored import Stored
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.engine import OwnEngine
from bertkit.text.wordpiece.pieces import Engine

if TYPE_CHECKING:
    from typing_extensions import Unpack

_logger = logging.getLogger(__name__)


class _Tokenizer(Stored):
    """What the two tokenizers share, which is all but the two lines at the end of this file."""

    @property
    def is_fast(self) -> bool:
        """Whether overflow comes as further rows. Both classes know offsets and words."""
        return not self._slow

    @property
    def engine(self) -> Engine:
        """What turns texts into pieces."""
        return self._engine

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, without added tokens."""
        return self._files.vocabulary

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""
        return self._files.rules.lowercase

    @property
    def wordpieces_prefix(self) -> str:
        """What begins a piece that is not the first of its word: "##"."""
        return self._files.prefix

    def __call__(
        self,
        text: TextInput | None = None,
        text_pair: TextInput | None = None,
        text_target: TextInput | None = None,
        text_pair_target: TextInput | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **unknown: object,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of them.

        - `padding`: True or "longest" (the longest row of the batch), "max_length", False; `pad_to_multiple_of`,
          `padding_side` ("right", "left").
        - `truncation`: True or "longest_first" (the longer text of a pair first), "only_first", "only_second", False;
          `max_length`, special tokens included, is the model's when left out.
        - `return_overflowing_tokens`: what is cut off becomes further rows, each of which shares `stride` tokens with the
          one before (BertTokenizerFast), or the column `overflowing_tokens` (BertTokenizer).
        - `is_split_into_words`: a text is a list of words.
        - `split_special_tokens`: "[MASK]" in a text is text.
        - `return_tensors`: "np", "pt", "tf", "jax"; None gives lists.
        - `return_token_type_ids`, `return_attention_mask` (None: as `model_input_names` says), `return_special_tokens_mask`,
          `return_offsets_mapping` (the characters of each token), `return_length`: further columns.
        - `verbose`: whether to warn.
        """
        if unknown:
            refuse_unknown(unknown, [*Options._fields, "text", "text_pair", "text_target", "text_pair_target"])
        options = Options(
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words, pad_to_multiple_of,
            padding_side, return_tensors, return_token_type_ids, return_attention_mask, return_overflowing_tokens,
            return_special_tokens_mask, return_offsets_mapping, return_length, verbose, split_special_tokens,
        )  # fmt: skip
        check_flags(options)
        alone = text_pair is text_target is text_pair_target is None
        if all(map(is_, options, PLAIN)) and type(text) is str and alone and self._is_usual:
            return encoder.encode_one(self, text)
        if text_pair_target is not None and text_target is None:
            raise UsageError("text_pair_target is the second text of text_target: give that, or type text_pair.")
        if text is None and text_target is None:
            raise UsageError('The text is None: type tokenizer("a text") or tokenizer(["a text", "another"]).')
        if text_target is None:
            return encoder.encode(self, read(text, text_pair, is_split_into_words), options)
        target = encoder.encode(self, read(text_target, text_pair_target, is_split_into_words), options)
        if text is None:
            return target
        encoded = encoder.encode(self, read(text, text_pair, is_split_into_words), options)
        encoded["labels"] = target["input_ids"]
        return encoded

    def encode(self, text: Any, text_pair: Any = None, **options: Unpack[CallOptions]) -> Any:
        """The ids of one text or pair. A text may also be a list of tokens or of ids."""
        return self.encode_plus(text, text_pair, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Unpack[CallOptions]) -> BatchEncoding:
        """Encode one text or pair. A text may also be a list of tokens or of ids."""
        asked = options_of(options)
        return encoder.encode(self, read_one(text, text_pair, asked.is_split_into_words), asked)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Unpack[CallOptions]) -> BatchEncoding:
        """Encode a batch of texts, `[text, ...]`, or of pairs, `[(text, second), ...]`."""
        asked = options_of(options)
        return encoder.encode(self, read_batch(batch_text_or_text_pairs, asked.is_split_into_words), asked)

    def prepare_for_model(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        prepend_batch_axis: bool = False,
        **options: Unpack[CallOptions],
    ) -> BatchEncoding:
        """Put special tokens around ids, cut and pad them. Overflow is a column of its own, as in BertTokenizer."""
        given = read_one(ids, pair_ids, split=False)
        if given.kind != "ids":
            raise UsageError(
                f"{ids!r} is no list of ids: type tokenizer(text), or pass tokenizer.convert_tokens_to_ids(...)."
            )
        return encoder.encode(self, given, options_of(options), slow=True, batch_axis=prepend_batch_axis)

    def tokenize(self, text: Any, pair: Any = None, **options: Unpack[CallOptions]) -> list[str]:
        """The tokens of a text as strings, without special tokens unless `add_special_tokens=True`."""
        asked = options_of(options)
        asked = asked._replace(
            verbose=options.get("verbose", False), add_special_tokens=options.get("add_special_tokens", False)
        )
        return encoder.encode(self, read_one(text, pair, asked.is_split_into_words), asked).tokens()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around a text (2), or around a pair (3)."""
        return self._frames[pair].size

    @property
    def _is_usual(self) -> bool:
        """Whether a call that wishes nothing gives the three usual columns."""
        return self._files.model_input_names == USUAL_COLUMNS and not self._files.split_special_tokens

    @cached_property
    def _engine(self) -> Engine:
        return self._build_engine(self._files.added)

    @cached_property
    def _plain_engine(self) -> Engine:
        """The engine for which special tokens in a text are text."""
        return self._build_engine({index: token for index, token in self._files.added.items() if not token.special})

    def _build_engine(self, added: dict[int, AddedToken]) -> Engine:
        files = self._files
        fast = files.rules.compat == "fast"  # which knows neither never_split nor do_basic_tokenize
        # Where it knows normalized text, or which characters make words, nothing but the library itself is equal to it.
        if files.foreign is not None or (
            fast and any(token.normalized or token.single_word for token in added.values())
        ):
            from bertkit.text.wordpiece.rust import RustEngine, to_backend

            backend = to_backend(files)
            backend.encode_special_tokens = len(added) < len(files.added)
            return RustEngine(backend)
        return OwnEngine(
            files.vocabulary,
            files.rules,
            added,
            () if fast else files.never_split,
            unk=files.unk,
            prefix=files.prefix,
            max_chars=files.longest_word,
            basic=fast or files.do_basic_tokenize,
        )

    @cached_property
    def _frames(self) -> tuple[Frame, Frame]:
        """The special tokens around one text, and around two."""
        template = self._files.template
        if template is None:
            if self.cls_token is None or self.sep_token is None:
                raise UsageError('cls_token and sep_token stand around a text: type tokenizer.cls_token = "[CLS]".')
            template = bert_template(self.cls_token_id, self.sep_token_id)
        return _frame(template.single), _frame(template.pair)

    def _say(self, kind: str, sentence: str) -> None:
        """Warn, once for each kind of warning."""
        if kind not in self._said:
            self._said.add(kind)
            _logger.warning("%s", sentence)

    def __repr__(self) -> str:
        added = "\n".join(f"\t{index}: {token!r}," for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, added_tokens_decoder={{\n{added}\n}}\n)"
        )


def _frame(parts: tuple[Part, ...]) -> Frame:
    names = [part for part, _ in parts]
    a, b = names.index("A"), names.index("B") if "B" in names else len(names)
    ids = cast("list[int]", [-1 if isinstance(name, str) else name for name in names])
    if b == len(names):
        return Frame(tuple(ids[:a]), (), tuple(ids[a + 1 :]))
    return Frame(tuple(ids[:a]), tuple(ids[a + 1 : b]), tuple(ids[b + 1 :]), parts[b][1])


class BertTokenizer(_Tokenizer):
    """BERT's tokenizer; equal, id for id, to the slow one of transformers.

    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "people"])
    >>> tokenizer("Unaffable people")
    {'input_ids': [2, 5, 6, 7, 8, 3], 'token_type_ids': [0, 0, 0, 0, 0, 0], 'attention_mask': [1, 1, 1, 1, 1, 1]}
    """

    _compat, _slow = "slow", True


class BertTokenizerFast(_Tokenizer):
    """BERT's tokenizer; equal, id for id, to the fast one of transformers.

    >>> tokenizer = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "people"])
    >>> encoded = tokenizer("Unaffable people", return_offsets_mapping=True)
    >>> encoded.tokens(), encoded["offset_mapping"]
    (['[CLS]', 'un', '##aff', '##able', 'people', '[SEP]'], [(0, 0), (0, 2), (2, 5), (5, 9), (10, 16), (0, 0)])
    """

    _compat, _slow = "fast", False
