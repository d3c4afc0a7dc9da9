"""What is public stays: a name, a method or an argument is only ever added."""

from __future__ import annotations

from pathlib import Path

import pytest
from public_api import listing

import bertkit

RECORDED = {
    name: parameters
    for name, *parameters in (
        line.split("\t")
        for line in (Path(__file__).parents[1] / "data" / "public_api.txt").read_text(encoding="utf-8").splitlines()
    )
}
HERE = listing()
RENAMED = {
    "set_attn_implementation": {"name": "attn_implementation"},
    "AutoConfig.from_pretrained": {"name": "pretrained_model_name_or_path"},
    "BertConfig.from_dict": {"values": "config_dict"},
    "BertConfig.from_json_file": {"path": "json_file"},
    "BertConfig.from_pretrained": {"name": "pretrained_model_name_or_path"},
    "BertConfig.save_pretrained": {"directory": "save_directory"},
    "BertConfig.to_json_file": {"path": "json_file_path"},
    "BertConfig.update": {"values": "config_dict"},
    "set_input_embeddings": {"embedding": "value"},
    "set_output_embeddings": {"decoder": "new_embeddings"},
}
"""Method -> arguments that have the name of transformers' now."""


OWNERS: dict[str, list[str]] = {}
for _name in RECORDED:
    OWNERS.setdefault(_name.partition(".")[0], []).append(_name)


@pytest.mark.parametrize("owner", OWNERS)
def test_what_was_public_is_public(owner: str) -> None:
    assert [problem for name in OWNERS[owner] if (problem := _problem(name))] == []


def _problem(name: str) -> str:
    """How a name differs from the recorded one; empty if it does not."""
    owner, _, member = name.rpartition(".")
    if name not in HERE:  # it may be of a base class, such as nn.Module
        return "" if owner and hasattr(getattr(bertkit, owner), member) else f"{name} is gone"
    renamed = RENAMED.get(name, RENAMED.get(member, {}))
    recorded, here = [renamed.get(parameter, parameter) for parameter in RECORDED[name]], HERE[name]
    if [parameter for parameter in here if parameter in recorded] != recorded:
        return f"{name}{recorded} is {here}"
    required = [p for p in here if p not in recorded and "=" not in p and not p.startswith("*")]
    return f"{name} requires {required}" if required else ""
