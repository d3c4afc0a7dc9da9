"""Read a hundred thousand damaged checkpoints: each gives the tensors or a clear error, quickly and with little memory.

    python tests/support/fuzz_checkpoints.py [--files 100000] [--seed 0]

A small valid file of each kind, config.json included, is damaged at random: bits are flipped, bytes replaced by extreme
numbers, pieces cut off, repeated, moved or copied from another file. `load_checkpoint` must then return, or raise a
CheckpointError or a ConfigError, in less than two seconds. The memory of the process may grow by at most 200 MB. The seed
determines everything.

Files of tokenizers are damaged too, plain ones and one with other sections: they encode and decode a text, or raise a
TokenizerError. The results of an interrupted run are damaged too: the run continues to the rows of an undisturbed run, or
raises an error.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import tiny
import torch

from bertkit import BertTokenizerFast, inspect, load_checkpoint, save_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.errors import BertkitError
from bertkit.pipelines.bulk.partial import Partial
from bertkit.pipelines.bulk.results import Layout

EXTREMES = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 7 + b"\x7f", b"\x01", b"9999999999"]
HEAD = "ForMaskedLM"
CONFIGURATION = "configuration"
TOKENIZER, OTHER_TOKENIZER, PART = "tokenizer", "other tokenizer", "part file"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")]
ROWS = [f"row {number}" for number in range(24)]
RESULTS = [f'[{{"row": {number}}}]\n'.encode() for number in range(24)]
MEMORY = 200 * 2**20
SECONDS = 2.0


def sound_files(folder: Path) -> tuple[BertConfig, dict[str, list[Path]]]:
    """Return {format: the files to damage}. Each format has a separate folder."""
    config = tiny.config(vocab_size=5, max_position_embeddings=3, num_hidden_layers=1)
    weights: Tensors = tiny.weights(config, HEAD)
    found = {}
    for to in ("safetensors", "google", "h5", "msgpack"):
        written = save_checkpoint(folder / to, weights, config, HEAD, to=to)  # type: ignore[arg-type]
        found[to] = [path for path in written if path.suffix != ".json"]
    for name, zipped in (("bin", True), ("legacy bin", False)):
        (folder / name).mkdir()
        path = folder / name / "pytorch_model.bin"
        state = {key: torch.from_numpy(array) for key, array in weights.items()}
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        found[name] = [path]
    found[CONFIGURATION] = [folder / "h5" / "config.json"]
    return config, found | other_files(folder)


def other_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of two tokenizers and of an interrupted run."""
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(folder / "vocab.txt")
    tokenizer.add_tokens(["<x>", "<y>"])
    found = {}
    for name in (TOKENIZER, OTHER_TOKENIZER):
        tokenizer.save_pretrained(folder / name)
        found[name] = sorted((folder / name).iterdir())
    path = folder / OTHER_TOKENIZER / "tokenizer.json"
    steps = [
        {"type": "NFKD"},
        {"type": "Replace", "pattern": {"String": "aa"}, "content": "bbbb"},
        {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "c"},
        {"type": "Lowercase"},
    ]
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Sequence", "normalizers": steps}})
    )
    (folder / PART).mkdir()
    run = Partial(str(folder / PART / "out.jsonl"), "", {"task": "rows"}, Layout())
    with run:
        run.start({})
        rows = run.checked(ROWS)
        for start in range(0, 16, 4):
            for _ in range(4):
                next(rows)
            run.add(RESULTS[start : start + 4])
    return {**found, PART: [run.path]}


def resume(path: Path) -> None:
    """Resume an interrupted run. Its output must be that of an undisturbed run."""
    run = Partial(str(path.with_suffix("")), "", {"task": "rows"}, Layout(), resume=True)
    try:
        with run:
            run.start({})
            done = run.done
            for number, _ in enumerate(run.checked(ROWS)):
                if number >= done:
                    run.add([RESULTS[number]])
            run.finish()
        assert Path(run.output).read_bytes() == b"".join(RESULTS)
    finally:
        Path(run.output).unlink(missing_ok=True)


def use_any(name: str, path: Path, config: BertConfig) -> None:
    """Use a damaged file of any kind."""
    if name == PART:
        resume(path)
    elif name in (TOKENIZER, OTHER_TOKENIZER):
        tokenizer = BertTokenizerFast.from_pretrained(path.parent)
        tokenizer.decode(tokenizer(["abc aaaaa <x>", "d" * 30], max_length=40, truncation=True)["input_ids"][0])
    else:
        use(path.parent, None if name == CONFIGURATION else config)


def use(folder: Path, config: BertConfig | None) -> None:
    """Read the tensors, with the given configuration or the one in the folder."""
    if config is None:
        str(inspect(folder))
    tensors, _ = load_checkpoint(folder, HEAD, config=config, strict=False)
    sum(float(np.nansum(np.abs(array[..., :1].astype(np.float32)))) for array in tensors.values())


def damaged(sound: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to four errors. Half of the damage is in the first or last 4 KB, where indexes are."""
    content = bytearray(sound)
    for _ in range(rng.integers(1, 5)):
        edge = rng.choice([0, max(0, len(content) - 4096)])
        near = bool(rng.integers(2))
        at = int(rng.integers(edge, min(len(content), edge + 4096)) if near else rng.integers(len(content)))
        size = int(rng.integers(1, 64))
        match rng.integers(8):
            case 0:
                content[at] ^= 1 << int(rng.integers(8))
            case 1:
                content[at] = int(rng.integers(256))
            case 2:
                extreme = EXTREMES[rng.integers(len(EXTREMES))]
                content[at : at + len(extreme)] = extreme
            case 3:
                content[at:] = b""
            case 4:
                content[at : at + size] = b""
            case 5:
                content[at:at] = content[at : at + size]
            case 6:
                source = int(rng.integers(len(content)))
                content[at : at + size] = content[source : source + size]
            case _:
                source = int(rng.integers(len(other)))
                content[at : at + size] = other[source : source + size]
        if not content:
            break
    return bytes(content)


def main() -> None:
    """Run, and print the outcomes for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        config, formats = sound_files(Path(temporary))
        contents = {path: path.read_bytes() for paths in formats.values() for path in paths}
        others = list(contents.values())
        start_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        names = list(formats)
        for number in range(options.files):
            name = names[number % len(names)]
            path = formats[name][rng.integers(len(formats[name]))]
            path.write_bytes(damaged(contents[path], others[rng.integers(len(others))], rng))
            start = time.perf_counter()
            try:
                use_any(name, path, config)
                outcome = "read"
            except BertkitError as error:
                outcome = type(error).__name__ if len(str(error)) < 4000 else "error too long"
            outcomes[name, outcome] += 1
            slowest = max(slowest, time.perf_counter() - start)
            assert slowest < SECONDS, (name, number, slowest)
            path.write_bytes(contents[path])
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_memory) * 1024
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:<17}{outcome:<18}{count:>8,}")
    print(
        f"{options.files:,} files, seed {options.seed}; slowest {slowest * 1e3:.0f} ms, memory grew by {grown / 2**20:.0f} MB"
    )
    assert grown < MEMORY
    assert not any(outcome == "error too long" for _, outcome in outcomes)


if __name__ == "__main__":
    np.seterr(all="ignore")
    logging.getLogger("bertkit").setLevel(logging.ERROR)
    main()
