"""How much there is to read for one who follows the library's main calls: what a person can hold in the head."""

from __future__ import annotations

from pathlib import Path

import tiny
from reading_path import passed_through

from bertkit import BertConfig, load_checkpoint, locate, save_checkpoint


def test_what_is_counted() -> None:
    path = passed_through(lambda: BertConfig(num_labels=3).num_labels)
    assert [(file, name.rpartition(".")[2]) for file, name in path] == [
        ("config.py", "__init__"),
        ("config.py", "_check_names"),
        ("config.py", "_assign"),
        ("config.py", "_labels"),
        ("config.py", "validate"),
        ("config.py", "num_labels"),
    ]


def test_reading_a_checkpoint(tmp_path: Path) -> None:
    """The commonest one: a folder with config.json and model.safetensors, for the class that it was saved from."""
    config = tiny.config()
    save_checkpoint(tmp_path, tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM")

    def load() -> None:
        place = locate(tmp_path)
        _, report = load_checkpoint(place, "ForMaskedLM", config=BertConfig.from_pretrained(place))
        assert len(report.loaded) == 42

    path = passed_through(load)
    assert len(path) <= 18, path
    assert len({file for file, _ in path}) <= 7, path
