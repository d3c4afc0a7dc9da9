"""Shards: their contents, any source, any number of processes, interruptions and damage."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest

from bertkit.data.shards import Shards
from bertkit.data.shards.documents import read_documents
from bertkit.data.shards.write import locked
from bertkit.errors import DataError, UsageError
from bertkit.training.prepare import prepare

CORPUS = corpora.documents(120, sentences=60)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".bin", ".json")}


def test_shards_have_the_tokens_of_the_corpus(tmp_path: Path) -> None:
    shards, tokenizer = corpora.shards(tmp_path, CORPUS, shard_tokens=4_000), corpora.tokenizer()
    assert len(shards) == len(CORPUS) and len(shards.files) > 4
    continuing = {tokenizer.vocab["##y"], tokenizer.vocab["##z"]}
    for number, document in enumerate(CORPUS):
        encoded = [tokenizer(sentence, add_special_tokens=False)["input_ids"] for sentence in document]
        assert [sentence.tolist() for sentence in shards[number]] == encoded
    for file in shards.files:
        whole = file.text(0, file.entry.tokens)
        assert whole.word_starts.tolist() == [token not in continuing for token in whole.ids.tolist()]
        for start, end in ((3, 11), (8, 16), (17, 17), (5, 30)):
            assert np.array_equal(file.text(start, end).word_starts, whole.word_starts[start:end])
            assert np.array_equal(file.text(start, end).ids, whole.ids[start:end])
    assert shards.tokens == sum(len(sentence) for number in range(len(shards)) for sentence in shards[number])
    shards.verify()


def test_every_source_gives_the_same_documents(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    documents = ["One line.\nAnother.", "A second document", "한국어 문서."]
    text = "\n\n \n".join(documents)
    (tmp_path / "a.txt").write_text(f"\n{text}\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in [*documents, " "]))
    parquet.write_table(pa.table({"body": [*documents, None]}), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert list(read_documents(str(path), "body")) == documents


def test_a_document_without_end_is_cut_between_lines(tmp_path: Path) -> None:
    line = "word " * 100
    (tmp_path / "a.txt").write_text(f"{line}\n" * 6_000)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": f"{line}\n" * 6_000}))
    for name in ("a.txt", "a.jsonl"):
        found = list(read_documents(str(tmp_path / name)))
        assert len(found) == 3 and max(map(len, found)) <= 2**20
        assert [own for text in found for own in text.splitlines()] == [line] * 6_000


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    text = "word " * 500_000 + "x" * 2**21
    (tmp_path / "a.txt").write_text(f"{text}\n\nsecond\n")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": own}) + "\n" for own in (text, "second")))
    for name in ("a.txt", "a.jsonl"):
        *parts, last = read_documents(str(tmp_path / name))
        assert last == "second" and "".join(parts) == text and max(map(len, parts)) <= 2**20
        assert all(part.endswith(" ") for part in parts[:2])


def test_special_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, [["wak [MASK] wal", "[SEP]"]])
    assert not {2, 3, 4} & set(np.concatenate(shards[0]).tolist())


def test_word_starts_of_any_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from bertkit.text.tokenizer import BertTokenizerFast
    from bertkit.training.prepare import SplitIntoTokens

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "@@able", "to", "able"]
    backend = Tokenizer(
        models.WordPiece(
            {name: index for index, name in enumerate(names)}, unk_token="[UNK]", continuing_subword_prefix="@@"
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
    assert tokenizer.encoder.files.foreign is not None
    found = SplitIntoTokens(tokenizer)(["to unable", "", "able to", "unable"])
    assert found.ids.tolist() == [7, 5, 6, 8, 7, 5, 6] and found.ends.tolist() == [3, 3, 5, 7]
    assert found.word_starts.tolist() == [True, True, False, True, True, True, False]


def test_large_vocabularies_have_32_bits(tmp_path: Path) -> None:
    from bertkit.text.tokenizer import BertTokenizerFast

    tokenizer = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(70_000))])
    (tmp_path / "a.txt").write_text("1 69999\n")
    shards = prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out", processes=1)
    assert shards.special.dtype == np.uint32 and shards[0][0].tolist() == [6, 70_004]


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", CORPUS)
    for count in (1, 2, 3):
        prepare([source], corpora.tokenizer(), tmp_path / str(count), processes=count, shard_tokens=3_000)
    assert len(files(tmp_path / "1")) > 4
    assert files(tmp_path / "1") == files(tmp_path / "2") == files(tmp_path / "3")


def test_a_killed_run_continues(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", corpora.documents(2_000, sentences=40))
    tokenizer = corpora.tokenizer()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    prepare([source], tokenizer, tmp_path / "whole", processes=1, shard_tokens=20_000)
    words = [sys.executable, "-m", "bertkit", "prepare", str(source), "--tokenizer", str(tmp_path / "tokenizer")]
    words += ["--out", str(tmp_path / "killed"), "--shard-tokens", "20000", "--processes", "2"]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for _ in range(2_000):
        if (tmp_path / "killed" / "partial.json").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "killed" / "partial.json").exists()
    assert not (tmp_path / "killed" / "index.json").exists()
    with pytest.raises(DataError, match="unfinished"):
        Shards(tmp_path / "killed")
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    changed = corpora.write(tmp_path / "b.txt", CORPUS)
    with pytest.raises(DataError, match="differ from those"):
        prepare([changed], tokenizer, tmp_path / "other", processes=1, shard_tokens=20_000)
    with pytest.raises(UsageError, match="other settings .sentence_per_line"):
        prepare([source], tokenizer, tmp_path / "other", shard_tokens=20_000, sentence_per_line=True)
    first = (tmp_path / "killed" / "shard-00000.bin").stat().st_mtime_ns
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "killed" / "shard-00000.bin").stat().st_mtime_ns == first
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_changed_input_or_tokenizer_is_found(tmp_path: Path) -> None:
    rest = [f"{sentence}\n" for document in CORPUS for sentence in document]
    source, bad = tmp_path / "a.txt", tmp_path / "b.txt"
    bad.write_bytes(b"\xff\n")
    tokenizer, out = corpora.tokenizer(), tmp_path / "out"

    def run(first: list[str], *others: Path) -> None:
        source.write_text("\n".join([*first, *rest]))  # a document for each line
        prepare([source, *others], tokenizer, out, processes=1, shard_tokens=1_000)

    with pytest.raises(DataError, match="iconv"):
        run(["wak\n", "walwam\n"], bad)
    assert len(files(out)) > 4
    with pytest.raises(DataError, match="differ from those"):  # the same text, where the first document ends later
        run(["wakwal\n", "wam\n"])
    rest = []
    with pytest.raises(DataError, match="differ from those"):
        run(["wak\n", "walwam\n"])
    tokenizer.add_tokens(["quux"])
    with pytest.raises(UsageError, match="other settings .tokenizer"):
        run(["wak\n", "walwam\n"])


def test_a_second_process_changes_nothing(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, CORPUS[:3])
    before = files(shards.folder)
    with locked(shards.folder), pytest.raises(UsageError, match="Another process"):
        prepare([tmp_path / "corpus.txt"], corpora.tokenizer(), shards.folder, overwrite=True)
    assert files(shards.folder) == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", CORPUS[:3])
    other, out = tmp_path / "other", tmp_path / "out"
    for folder in (other, out):
        folder.mkdir()
    (other / "file").write_text("ours")
    (out / "tokenizer").symlink_to(other)
    (out / "shard-00000.bin").symlink_to(other / "file")
    (out / "partial.json.x").symlink_to(other / "file")
    prepare([source], corpora.tokenizer(), out, processes=1)
    assert [path.name for path in other.iterdir()] == ["file"] and (other / "file").read_text() == "ours"
    with pytest.raises(UsageError, match="not a folder"):
        prepare([source], corpora.tokenizer(), other / "file", processes=1)


def test_an_error_in_a_file_keeps_the_shards(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", CORPUS)
    (tmp_path / "b.txt").write_bytes(b"text \xff\n")
    for count in (1, 2):
        with pytest.raises(DataError, match="iconv"):
            prepare(
                [source, tmp_path / "b.txt"], corpora.tokenizer(), tmp_path / "out", processes=count, shard_tokens=3_000
            )
        assert (tmp_path / "out" / "partial.json").exists()
    (tmp_path / "b.txt").write_text("wak wal\n")
    shards = prepare(
        [source, tmp_path / "b.txt"], corpora.tokenizer(), tmp_path / "out", processes=1, shard_tokens=3_000
    )
    assert len(shards) == len(CORPUS) + 1
    assert not (tmp_path / "out" / "partial.json").exists()


def test_shards_are_not_overwritten_unasked(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, CORPUS[:3])
    with pytest.raises(UsageError, match="overwrite"):
        prepare([tmp_path / "corpus.txt"], corpora.tokenizer(), shards.folder)
    again = prepare([tmp_path / "corpus.txt"], corpora.tokenizer(), shards.folder, overwrite=True, processes=1)
    assert len(again) == 3
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="no text"):
        prepare([tmp_path / "empty.txt"], corpora.tokenizer(), tmp_path / "empty", processes=1)


def test_damage_is_found(tmp_path: Path) -> None:
    shards = corpora.shards(tmp_path, CORPUS[:3])
    path = shards.files[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="checksum"):
        Shards(shards.folder).verify()
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match="wrong size"):
        Shards(shards.folder)
    index = shards.folder / "index.json"
    index.write_text(index.read_text().replace("shard-00000.bin", "../other.bin"))
    with pytest.raises(DataError, match="index of"):
        Shards(shards.folder)
    with pytest.raises(DataError, match="no shards"):
        Shards(tmp_path)
    with pytest.raises(
        DataError, match=r"corpus\.txt is a file, not a folder of shards: type bertkit prepare .*corpus\.txt"
    ):
        Shards(tmp_path / "corpus.txt")


def with_index(shards: Shards, /, **values: Any) -> None:
    """Replace values of index.json, those of the first shard, or those of the special tokens."""
    path = shards.folder / "index.json"
    found = json.loads(path.read_text())
    for name, value in values.items():
        for place in (found, found["shards"][0], found["special"]):
            if name in place:
                place[name] = value
                break
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "values",
    [
        *({"vocab_size": value} for value in (2**60, -1, 3.5, float("nan"), None, 5, True)),
        *({"mask": value} for value in (-1, 2**40, "a")),
        *({"never": value} for value in ([10**9], "abc", [[1]], None, list(range(109)))),
        *({"file": value} for value in ("../other.bin", "/etc/passwd", "..", "", "a\0b", 5, "shard-00001.bin")),
        {"tokens": -1}, {"tokens": 2**62}, {"tokens": 1.0}, {"sentences": 1}, {"documents": -1}, {"documents": 2**70},
        {"crc": -1}, {"sha256": 1}, {"settings": []}, {"shards": []}, {"shards": [1]}, {"crc": "x"}, {"crc": 2**70},
        {"format": "y"},
    ],
)  # fmt: skip
def test_an_invalid_index(tmp_path: Path, values: dict[str, Any]) -> None:
    shards = corpora.shards(tmp_path, CORPUS[:3])
    with_index(shards, **values)
    with pytest.raises(DataError, match="is not an index of"):
        Shards(shards.folder)


def test_shards_with_impossible_contents(tmp_path: Path) -> None:
    from bertkit.data.pretraining import SentencePairs

    shards = corpora.shards(tmp_path, CORPUS[:3])
    path, entry = shards.files[0].path, shards.files[0].entry
    data = path.read_bytes()
    sentences, tokens = 4 * entry.documents, 4 * (entry.documents + entry.sentences)

    def write(at: int, values: Any, dtype: str = "<u4") -> None:
        changed = bytearray(data)
        own = np.array(values, dtype).tobytes()
        changed[at : at + len(own)] = own
        path.write_bytes(changed)
        with_index(shards, sha256=hashlib.sha256(changed).hexdigest())

    for at, values in (
        (0, [2**32 - 1]), (0, [0]), (sentences - 4, [1]), (sentences, np.zeros(9)), (sentences + 40, [2**32 - 1]),
        (tokens - 4, [entry.tokens + 1]),
    ):  # fmt: skip
        write(at, values)
        with pytest.raises(DataError, match="damaged"):
            Shards(shards.folder)
    write(tokens, np.full(entry.tokens, 65_535), "<u2")
    with pytest.raises(DataError, match="outside the vocabulary"):
        Shards(shards.folder).verify()
    with pytest.raises(DataError, match="token 65535"):
        SentencePairs(Shards(shards.folder)).epoch(0)[0]


def test_a_part_of_shards(tmp_path: Path) -> None:
    whole = corpora.shards(tmp_path, CORPUS, shard_tokens=3_000)
    sizes = [file.path.stat().st_size for file in whole.files]
    tokenizer = sum(path.stat().st_size for path in (whole.folder / "tokenizer").iterdir())
    script = Path(__file__).parents[3] / "scripts" / "part_of_shards.py"

    def part(most: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(script), str(whole.folder), str(tmp_path / "part"), "--bytes", str(most)]
        return subprocess.run(words, capture_output=True, text=True)

    assert part(tokenizer + min(sizes) - 1).stderr.startswith("No shard fits") and not (tmp_path / "part").exists()
    room = sizes[0] + sizes[-1]  # the last shard is smaller than the others
    assert room < sizes[0] + min(sizes[1:-1]) and part(tokenizer + room).returncode == 0
    found = Shards(tmp_path / "part")
    documents = [
        document
        for number, document in enumerate(whole)
        if not whole.files[0].entry.documents <= number < whole.ends[-2]
    ]
    assert len(found) == len(documents) and found.special == whole.special
    assert all(np.array_equal(np.concatenate(a), np.concatenate(b)) for a, b in zip(found, documents, strict=True))


def test_one_file_needs_no_list(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", CORPUS[:3])
    assert len(prepare(str(source), corpora.tokenizer(), tmp_path / "out", processes=1)) == 3


def test_a_tokenizer_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    source, own = corpora.write(tmp_path / "a.txt", CORPUS[:3]), tmp_path / "tokenizer" / "notes.txt"
    own.parent.mkdir()
    own.write_text("ours")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="tokenizer is not from bertkit prepare.*choose another folder for out="):
            prepare([source], corpora.tokenizer(), tmp_path, processes=1, overwrite=overwrite)
    assert own.read_text() == "ours"


def test_a_field_of_plain_text_is_refused(tmp_path: Path) -> None:
    source = corpora.write(tmp_path / "a.txt", CORPUS[:3])
    with pytest.raises(UsageError, match="field='body' has no effect on plain text"):
        prepare([source, "-"], corpora.tokenizer(), tmp_path / "out", field="body")
    assert not (tmp_path / "out").exists()
