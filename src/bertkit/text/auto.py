"""AutoTokenizer, which loads one of BERT's two tokenizers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bertkit.errors import UsageError
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bertkit.text.neutral import Arguments


class AutoTokenizer:
    """Loads a BertTokenizerFast, or with `use_fast=False` a BertTokenizer. Tokenizers of other models raise TokenizerError."""

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: object,
        use_fast: bool | None = True,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        subfolder: str = "",
        trust_remote_code: bool | None = False,
        verbose: bool = True,
        **settings: Unpack[Arguments],
    ) -> BertTokenizer | BertTokenizerFast:
        """Load the tokenizer of a model from a folder, a file, a built-in model or the Hub.

        `settings` override those in the files, for example `do_lower_case=False`.
        """
        if trust_remote_code:
            raise UsageError("bertkit never runs code from the files of a model: leave trust_remote_code out.")
        kind = BertTokenizer if use_fast is False else BertTokenizerFast
        return kind.from_pretrained(
            pretrained_model_name_or_path,
            *init_inputs,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
            verbose=verbose,
            **settings,
        )
