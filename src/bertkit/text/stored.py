"""The part of a tokenizer that comes from files and goes into them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bertkit.errors import UsageError
from bertkit.text.assembly import Assembly
from bertkit.text.files.customize import OF_THE_OBJECT, Settings, customize, refuse_unnamed, vocabulary_of
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.characters import Rules

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class Stored(Assembly):
    """How a tokenizer is made, saved, trained anew and pickled."""

    _compat: ClassVar[Literal["slow", "fast"]]
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | Vocabulary | None = None,
        *,
        tokenizer_file: str | os.PathLike[str] | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """A tokenizer of a `vocab.txt`, or of a `tokenizer.json`.

        Settings, and what they are when left out:

        - how text becomes words: `do_lower_case=True`, `strip_accents=None` (as do_lower_case),
          `tokenize_chinese_chars=True`, `clean_text=True`, `do_basic_tokenize=True`, `never_split=None` (words to leave
          whole), `compat` ("fast", "slow" or "google": whose behaviour on rare characters; each class has its own);
        - special tokens: `unk_token="[UNK]"`, `sep_token`, `pad_token`, `cls_token`, `mask_token`, `bos_token=None`,
          `eos_token=None`, `additional_special_tokens=None`, `split_special_tokens=False`;
        - the rest: `model_max_length=512`, `padding_side="right"`, `truncation_side="right"`,
          `clean_up_tokenization_spaces=True` (in `decode`), `wordpieces_prefix="##"`, `model_input_names`.
        """
        if tokenizer_file is not None:
            from bertkit.hub import locate
            from bertkit.text.files.read import read_files

            files = read_files(locate(tokenizer_file), fast=not self._slow)
            if vocab_file is not None:
                files.vocabulary = vocabulary_of(vocab_file)
        elif vocab_file is None:
            raise UsageError(
                f'A tokenizer needs a vocabulary: type {type(self).__name__}("vocab.txt"), or '
                f'{type(self).__name__}.from_pretrained("bert-base-uncased").'
            )
        else:
            files = TokenizerFiles(vocabulary_of(vocab_file), Rules(compat=self._compat))
        self._start(files, settings)

    def _start(self, files: TokenizerFiles, settings: Mapping[str, Any]) -> None:
        customize(files, settings)
        self._files = files
        self.name_or_path = settings.get("name_or_path", "")
        self._said = set()
        self._add_missing()

    @classmethod
    def _from_files(cls, files: TokenizerFiles, settings: Mapping[str, Any] = MappingProxyType({})) -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer._start(files, settings)
        return tokenizer

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: object,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        subfolder: str = "",
        use_fast: bool | None = None,
        trust_remote_code: bool = False,
        **settings: Unpack[Settings],
    ) -> Self:
        """The tokenizer of a model: a folder, a file, a built-in model or a name on the Hub.

        Settings, as the constructor takes them, override what the files say. `use_fast` and `trust_remote_code` are there
        for those who pass them to everything, and change nothing.
        """
        refuse_unnamed(init_inputs)
        from bertkit.hub import locate
        from bertkit.text.files.read import read_files

        place = locate(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=token,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        of_files = {name: value for name, value in settings.items() if name not in OF_THE_OBJECT}
        files = read_files(place, fast=not cls._slow, overrides=of_files)
        own = {name: value for name, value in settings.items() if name in OF_THE_OBJECT}
        return cls._from_files(files, {"name_or_path": os.fspath(pretrained_model_name_or_path), **own})

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the tokenizer's files into a folder; their paths."""
        from bertkit.text.files.read import write_files

        paths = write_files(save_directory, self._files, filename_prefix or "", own=[self._compat])
        return tuple(map(str, paths))

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write `vocab.txt` into a folder; its path."""
        from bertkit.text.files.read import check_folder

        check_folder(save_directory)
        os.makedirs(save_directory, exist_ok=True)  # noqa: PTH103
        path = os.path.join(save_directory, f"{filename_prefix}-vocab.txt" if filename_prefix else "vocab.txt")  # noqa: PTH118
        self._files.vocabulary.write(path)
        return (path,)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[Iterable[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[str | AddedToken] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        *,
        min_frequency: int = 2,
        limit_alphabet: int | None = None,
        unused: int = 0,
        show_progress: bool = False,
    ) -> Self:
        """A tokenizer with the same settings and a new vocabulary, trained on texts or on batches of texts.

        `length` is there for those who pass it, and changes nothing. `special_tokens_map` renames special tokens;
        `unused` is how many places `[unused0]`, ... are left free for later.
        """
        from bertkit.text.training.retraining import retrain

        files = retrain(
            self._files,
            text_iterator,
            vocab_size,
            new_special_tokens=new_special_tokens or (),
            special_tokens_map=special_tokens_map,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            unused=unused,
            progress=show_progress,
        )
        return type(self)._from_files(files)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("_files", "name_or_path")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _said=set())
