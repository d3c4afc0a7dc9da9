"""The public API only grows: no name, method or argument is removed."""

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
    "EncoderDecoderModel.from_pretrained": {"name": "pretrained_model_name_or_path"},
    "BertConfig.from_dict": {"values": "config_dict"},
    "BertConfig.from_json_file": {"path": "json_file"},
    "BertConfig.from_pretrained": {"name": "pretrained_model_name_or_path"},
    "BertConfig.save_pretrained": {"directory": "save_directory"},
    "BertConfig.to_json_file": {"path": "json_file_path"},
    "BertConfig.update": {"values": "config_dict"},
    "EncoderDecoderConfig.from_dict": {"values": "config_dict"},
    "EncoderDecoderConfig.from_pretrained": {"name": "pretrained_model_name_or_path"},
    "push_to_hub": {"max_shard_size=None": "max_shard_size='5GB'"},  # of tokenizers, where it has no effect
    "set_input_embeddings": {"embedding": "value"},
    "set_output_embeddings": {"decoder": "new_embeddings"},
}
"""Method -> arguments that were renamed as in transformers."""


OWNERS: dict[str, list[str]] = {}
for _name in RECORDED:
    OWNERS.setdefault(_name.partition(".")[0], []).append(_name)


@pytest.mark.parametrize("owner", OWNERS)
def test_recorded_names_still_exist(owner: str) -> None:
    assert [problem for name in OWNERS[owner] if (problem := _problem(name))] == []


def _problem(name: str) -> str:
    """How a name differs from the recorded one, or an empty string."""
    owner, _, member = name.rpartition(".")
    if name not in HERE:  # it may be inherited, for example from nn.Module
        return "" if owner and hasattr(getattr(bertkit, owner), member) else f"{name} is missing"
    renamed = RENAMED.get(name, RENAMED.get(member, {}))
    recorded, here = [renamed.get(parameter, parameter) for parameter in RECORDED[name]], HERE[name]
    if [parameter for parameter in here if parameter in recorded] != recorded:
        return f"{name}{recorded} is {here}"
    required = [p for p in here if p not in recorded and "=" not in p and not p.startswith("*")]
    return f"{name} requires {required}" if required else ""
