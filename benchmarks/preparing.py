"""Processor time to prepare texts for pretraining, compared with the algorithm of Google's create_pretraining_data.

    python benchmarks/preparing.py [--megabytes 20] [--rounds 1] [--json FILE]

Both get the same English Wikipedia with one sentence in each line (from BERTKIT_DATA, or ../shared/data), the vocabulary of
bert-base-uncased, examples of 128 tokens and dupe_factor 1. Ours is what `bertkit prepare` does with one process, and one epoch
of SentencePairs. The other is this file's own version of Google's algorithm in plain Python: the tokenizer that transformers has
from Google, pairs, masks, and lists of integers in records. It omits the checksums and the protocol buffers of Google's records,
so that Google's script itself takes longer. A figure is the processor time of a process, without the time to import transformers.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where tokenizers.py hides the package of the same name

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
VOCABULARY = DATA / "vocab" / "bert-base-uncased.txt"
LENGTH, PREDICTIONS, SHARE, SHORT = 128, 20, 0.15, 0.1


class Tokenizer:
    """The tokenizer of google-research/bert, as transformers keeps it in plain Python."""

    def __init__(self, pieces: list[str]) -> None:
        from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer, WordpieceTokenizer

        self.ids = {piece: number for number, piece in enumerate(pieces)}
        self._basic = BasicTokenizer(do_lower_case=True)
        self._wordpiece = WordpieceTokenizer(self.ids, "[UNK]", max_input_chars_per_word=200)

    def __call__(self, text: str) -> list[str]:
        """Return the pieces of a text."""
        return [piece for word in self._basic.tokenize(text) for piece in self._wordpiece.tokenize(word)]


Document = list[list[str]]


def documents(path: Path, tokenizer: Tokenizer) -> list[Document]:
    """Tokenize a file with one sentence in each line, and empty lines between documents."""
    found: list[Document] = [[]]
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                found.append([])
            elif pieces := tokenizer(line.strip()):
                found[-1].append(pieces)
    return [document for document in found if document]


def pairs(every: list[Document], number: int, rng: random.Random) -> Iterator[tuple[list[str], list[str], bool]]:
    """Yield the pairs (A, B, whether B is random) of a document."""
    document, most = every[number], LENGTH - 3
    target = rng.randint(2, most) if rng.random() < SHORT else most
    chunk: list[list[str]] = []
    length = at = 0
    while at < len(document):
        chunk.append(document[at])
        length += len(document[at])
        if at == len(document) - 1 or length >= target:
            cut = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
            a = [token for sentence in chunk[:cut] for token in sentence]
            b: list[str] = []
            is_random = len(chunk) == 1 or rng.random() < 0.5
            if is_random:
                other = next(n for n in iter(lambda: rng.randint(0, len(every) - 1), None) if n != number)
                for sentence in every[other][rng.randint(0, len(every[other]) - 1) :]:
                    b += sentence
                    if len(b) >= target - len(a):
                        break
                at -= len(chunk) - cut
            else:
                b = [token for sentence in chunk[cut:] for token in sentence]
            shorten(a, b, most, rng)
            yield a, b, is_random
            chunk, length = [], 0
        at += 1


def shorten(a: list[str], b: list[str], most: int, rng: random.Random) -> None:
    """Remove tokens from the longer list, at the front or the back."""
    while len(a) + len(b) > most:
        longer = a if len(a) > len(b) else b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def masked(tokens: list[str], words: list[str], rng: random.Random) -> tuple[list[str], list[int], list[str]]:
    """Return the tokens with masks, the positions, and the true tokens there."""
    places = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    rng.shuffle(places)
    output, chosen = list(tokens), []
    for place in places[: min(PREDICTIONS, max(1, round(len(tokens) * SHARE)))]:
        if rng.random() < 0.8:
            output[place] = "[MASK]"
        elif rng.random() >= 0.5:
            output[place] = words[rng.randint(0, len(words) - 1)]
        chosen.append(place)
    chosen.sort()
    return output, chosen, [tokens[place] for place in chosen]


def record(
    a: list[str], b: list[str], is_random: bool, words: list[str], ids: dict[str, int], rng: random.Random
) -> bytes:
    """Return an example as its length and padded lists of integers."""
    tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
    types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    tokens, positions, labels = masked(tokens, words, rng)
    rest, few = LENGTH - len(tokens), PREDICTIONS - len(positions)
    numbers = [
        *[ids[token] for token in tokens], *[0] * rest, *[1] * len(tokens), *[0] * rest, *types, *[0] * rest,
        *positions, *[0] * few, *[ids[token] for token in labels], *[0] * few, *[1] * len(labels), *[0] * few,
        int(is_random),
    ]  # fmt: skip
    return struct.pack(f"<q{len(numbers)}i", 4 * len(numbers), *numbers)


def plain(source: Path, out: Path) -> tuple[int, float]:
    """Write all examples of a file with the algorithm in plain Python. Returns their number, and the processor time."""
    tokenizer = Tokenizer(VOCABULARY.read_text(encoding="utf-8").splitlines())
    start = time.process_time()  # after the import of transformers
    rng = random.Random(12345)
    every = documents(source, tokenizer)
    rng.shuffle(every)
    found = [pair for number in range(len(every)) for pair in pairs(every, number, rng)]
    rng.shuffle(found)
    words = list(tokenizer.ids)
    with (out / "examples").open("wb") as file:
        for pair in found:
            file.write(record(*pair, words, tokenizer.ids, rng))
    return len(found), time.process_time() - start


def ours(source: Path, out: Path) -> tuple[int, float]:
    """Prepare a file, and make all examples of an epoch. Returns their number, and the processor time."""
    from bertkit import AutoTokenizer, Masking, SentencePairs
    from bertkit.training.prepare import prepare

    (out / "tokenizer").mkdir()
    shutil.copy(VOCABULARY, out / "tokenizer" / "vocab.txt")
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    shards = prepare([source], tokenizer, out / "shards", sentence_per_line=True, processes=1)
    examples = SentencePairs(shards, LENGTH, masking=Masking("tokens", max_predictions=PREDICTIONS)).epoch(0)
    return sum(1 for _ in examples), time.process_time()


def corpus(size: int, out: Path) -> Path:
    """Write the first articles of Wikipedia, with one sentence in each line."""
    from bertkit.data.shards.sentences import split_sentences

    with (
        lzma.open(DATA / "wikipedia" / "en-0.txt.xz", "rt", encoding="utf-8") as source,
        out.open("w", encoding="utf-8") as file,
    ):
        written = 0
        for line in source:
            lines = "".join(f"{sentence}\n" for sentence in split_sentences(line)) or "\n"
            written += file.write(lines)
            if written >= size and lines == "\n":
                break
    return out


def measure(name: str, source: Path) -> tuple[int, float]:
    """Run one of the two in a process of its own. Returns the number of examples, and the processor time in seconds."""
    command = [sys.executable, __file__, "--run", name, str(source)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    count, seconds = made.stdout.split()
    return int(count), float(seconds)


def main() -> None:
    """Measure both in turns, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.run:
            name, source = options.run
            print(*{"ours": ours, "plain": plain}[name](Path(source), Path(folder)))
            return
        source = corpus(int(options.megabytes * 1e6), Path(folder) / "corpus.txt")
        rounds = [{name: measure(name, source) for name in ("ours", "plain")} for _ in range(options.rounds)]
    found: dict[str, Any] = {
        name: {"seconds": statistics.median(one[name][1] for one in rounds), "examples": rounds[0][name][0]}
        for name in ("ours", "plain")
    }
    found["faster"] = statistics.median(one["plain"][1] / one["ours"][1] for one in rounds)
    for name in ("ours", "plain"):
        print(f"{name:<8}{found[name]['seconds']:8.1f} s of processor time, {found[name]['examples']:,} examples")
    print(f"{found['faster']:.2f} times as fast as the algorithm in plain Python")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
