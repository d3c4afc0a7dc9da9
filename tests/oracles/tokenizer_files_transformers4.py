"""How transformers 4.57.6 reads the files of a tokenizer, for the tests that cannot have it beside them.

In the environment that transformers4.py says how to make:

    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizer_files_transformers4.py record
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizer_files_transformers4.py check

`record` writes tests/data/tokenizer_files_transformers4.json.xz: folders of files that leave out or contradict each other, and what its
fast and its slow class make of each. `check` lets bertkit read the same folders and write them again, loads what it wrote
in both classes, and compares.
"""

from __future__ import annotations

import json
import lzma
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers

from bertkit.hub import locate
from bertkit.text.files import read_files, write_files

transformers.logging.set_verbosity_error()
DATA = Path(__file__).parents[1] / "data" / "tokenizer_files_transformers4.json.xz"
TEXT = "Hello wörld ÉA É é 世界 foo FOO bar <x> [MASK] [PAD]<pad>zip ea hello[SEP] zap"
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "hello",
    "wor",
    "##ld",
    ",",
    "ea",
    "e",
    "##a",
    "É",
    "##é",
    "世",
]
CASES = 120


def cases() -> Iterator[dict[str, Any]]:
    """Folders: the name of a file -> its text, or the object that it holds."""
    for seed in range(CASES):
        yield Folder(random.Random(seed)).files()


class Folder:
    """A random folder. A token has the same flags in all files, and no token of another sort is in between."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.vocabulary = VOCABULARY + ["foo"] * self.happens(0.3)
        if self.happens(0.2):
            self.vocabulary.remove("[MASK]")
        names = [*VOCABULARY[:5], "foo", "bar", "<x>", "<pad>"]
        self.tokens = {name: self.token(name) for name in names}

    def happens(self, chance: float) -> bool:
        return self.dice.random() < chance

    def token(self, content: str) -> dict[str, Any]:
        flags = {name: self.happens(0.2) for name in ("single_word", "lstrip", "rstrip")}
        return {"content": content, **flags, "normalized": False, "special": content != "foo"}

    def files(self) -> dict[str, Any]:
        with_json = self.happens(0.7)
        files: dict[str, Any] = {"tokenizer_config.json": self.config()}
        if with_json:
            files["tokenizer.json"] = self.tokenizer()
        if not with_json or self.happens(0.6):
            files["vocab.txt"] = "\n".join(self.vocabulary) + "\n"
        if self.happens(0.4):
            files["special_tokens_map.json"] = self.map()
        if self.happens(0.3):
            added = self.dice.sample(["zip", "zap", "<x>"], self.dice.randint(1, 3))
            files["added_tokens.json"] = {name: len(self.vocabulary) + i for i, name in enumerate(added)}
        return files

    def numbered(self, names: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Tokens with their ids: those of the vocabulary, or the next ones."""
        free = len(self.vocabulary)
        for name in names:
            if name in self.vocabulary:
                yield self.vocabulary.index(name), self.tokens[name]
            else:
                yield free, self.tokens[name]
                free += 1

    def tokenizer(self) -> dict[str, Any]:
        names = [name for name in VOCABULARY[:5] if name in self.vocabulary and self.happens(0.9)]
        names += self.dice.sample(["foo", "bar", "<x>"], self.dice.randint(0, 3))
        ids = {name: index for index, name in enumerate(self.vocabulary)}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": index, **token} for index, token in self.numbered(names)],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": self.happens(0.8),
                "handle_chinese_chars": self.happens(0.7),
                "strip_accents": self.dice.choice([None, True, False]),
                "lowercase": self.happens(0.5),
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "BertProcessing",
                "sep": ["[SEP]", ids["[SEP]"]],
                "cls": ["[CLS]", ids["[CLS]"]],
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": ids,
            },
        }

    def config(self) -> dict[str, Any]:
        names = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
        config: dict[str, Any] = {name: self.happens(0.5) for name in names if self.happens(0.5)}
        if self.happens(0.5):
            config["model_max_length"] = self.dice.choice([512, 128, int(1e30)])
        if self.happens(0.3):
            config["additional_special_tokens"] = [self.dice.choice(["<x>", "bar"])]
        for name, content in (("mask_token", "[MASK]"), ("pad_token", "<pad>"), ("cls_token", "[CLS]")):
            if self.happens(0.2):
                config[name] = self.written(content)
        if self.happens(0.4):
            decoder = self.numbered(self.dice.sample(list(self.tokens), self.dice.randint(1, 6)))
            config["added_tokens_decoder"] = {str(index): token for index, token in decoder}
        return config

    def written(self, content: str) -> Any:
        return self.dice.choice([content, {"__type": "AddedToken", **self.tokens[content]}])

    def map(self) -> dict[str, Any]:
        names = {"mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]"}
        return {name: self.dice.choice([content, self.tokens[content]]) for name, content in names.items()}


def lay_out(files: dict[str, Any], folder: Path) -> None:
    """Write a case to a folder."""
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")


def classes(files: dict[str, Any]) -> list[str]:
    """The classes of transformers that can load a case."""
    return ["BertTokenizerFast", *(["BertTokenizer"] if "vocab.txt" in files else [])]


def answers(folder: Path, name: str) -> dict[str, Any]:
    """What a class of transformers makes of a folder."""
    tokenizer = getattr(transformers, name).from_pretrained(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return {
        "ids": tokenizer(TEXT)["input_ids"],
        "added": {str(index): _state(token) for index, token in sorted(tokenizer.added_tokens_decoder.items())},
        "special": {k: v for k, v in tokenizer.special_tokens_map.items() if k != "additional_special_tokens"},
        "additional": list(dict.fromkeys(tokenizer.additional_special_tokens)),
        "normalizer": json.loads(backend.normalizer.__getstate__()) if backend else None,
        "model_max_length": tokenizer.model_max_length,
        "clean_up": tokenizer.clean_up_tokenization_spaces,
    }


def _state(token: Any) -> dict[str, Any]:
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {name: getattr(token, name) for name in names}


def record() -> None:
    """Write the cases and the answers into one file."""
    recorded = []
    for files in cases():
        with tempfile.TemporaryDirectory() as folder:
            lay_out(files, Path(folder))
            recorded.append({"files": files, "answers": {name: answers(Path(folder), name) for name in classes(files)}})
    text = json.dumps({"text": TEXT, "cases": recorded}, ensure_ascii=False, separators=(",", ":"))
    DATA.write_bytes(lzma.compress(text.encode(), preset=9))
    print(f"{DATA}: {len(recorded)} cases, {DATA.stat().st_size} bytes")


def check() -> None:
    """Load what bertkit writes of each case, and compare it with what they made of the case itself."""
    count = 0
    for number, files in enumerate(cases()):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as again:
            lay_out(files, Path(folder))
            for name in classes(files):
                wanted = answers(Path(folder), name)
                write_files(again, read_files(locate(folder), fast=name.endswith("Fast")))
                got = answers(Path(again), name)
                if wanted["model_max_length"] > 1e15:
                    wanted["model_max_length"] = 512
                assert got == wanted, (number, name, wanted, got)
                count += 1
    print(f"{count} tokenizers that bertkit wrote are read as the files that it read")


if __name__ == "__main__":
    {"record": record, "check": check}[sys.argv[1]]()
