"""push_to_hub, over real HTTP to a Hub on this machine, for models and configurations, which are loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import FRIEND, STRANGER
from hub_uploads import UploadServer
from torch_models import SIZES, ours

from bertkit import BertConfig, BertForMaskedLM, EncoderDecoderConfig, EncoderDecoderModel
from bertkit.errors import HubError, UsageError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[UploadServer]:
    with UploadServer() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_model_is_pushed_and_loaded_again(server: UploadServer, tmp_path: Path) -> None:
    model = ours("BertForMaskedLM")
    info = model.push_to_hub("me/tiny", token=FRIEND, commit_message="First", private=True, max_shard_size="60KB")
    repository = server.repositories["me/tiny"]
    assert repository.private and info.oid == repository.branches["main"]
    files = repository.commits[info.oid]
    assert {"config.json", "model.safetensors.index.json"} < files.keys() and len(files) > 3
    again = BertForMaskedLM.from_pretrained("me/tiny", token=FRIEND, cache_dir=tmp_path / "cache")
    assert all(torch.equal(again.get_parameter(key), parameter) for key, parameter in model.named_parameters())
    assert again.name_or_path == again.config.name_or_path == "me/tiny"
    BertConfig(num_labels=5).push_to_hub("me/tiny", token=FRIEND)
    config = BertConfig.from_pretrained("me/tiny", token=FRIEND, cache_dir=tmp_path / "cache")
    assert config.num_labels == 5
    model.save_pretrained(tmp_path / "other", push_to_hub=True, token=FRIEND)
    assert (tmp_path / "other" / "config.json").exists()
    files = server.repositories["me/other"]
    assert files.commits[files.branches["main"]].keys() == {"config.json", "model.safetensors"}
    assert server.messages == ["First", "Upload config", "Upload BertForMaskedLM"]


def test_two_berts_are_pushed_and_loaded_again(server: UploadServer, tmp_path: Path) -> None:
    sizes = BertConfig(**SIZES)
    model = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(sizes, sizes, num_beams=2))
    model.push_to_hub("me/pair", token=FRIEND)
    again = EncoderDecoderModel.from_pretrained("me/pair", token=FRIEND, cache_dir=tmp_path / "cache")
    assert all(torch.equal(again.get_parameter(key), parameter) for key, parameter in model.named_parameters())
    assert again.name_or_path == "me/pair" and again.generation_config.num_beams == 2
    other = EncoderDecoderConfig.from_encoder_decoder_configs(sizes, sizes, num_beams=5)
    branches = server.repositories["me/pair"].branches
    branches["other"] = branches["main"]
    other.push_to_hub("me/pair", token=FRIEND, revision="other", use_temp_dir=True)
    other.save_pretrained(tmp_path / "saved", push_to_hub=True, token=FRIEND)
    assert server.messages == ["Upload EncoderDecoderModel", "Upload config", "Upload config"]
    where = {"token": FRIEND, "cache_dir": tmp_path / "cache"}
    for name, revision, beams in (("me/pair", "main", 2), ("me/pair", "other", 5), ("me/saved", "main", 5)):
        assert EncoderDecoderConfig.from_pretrained(name, revision=revision, **where).num_beams == beams
    with pytest.raises(UsageError, match="safe_serialization=False would write a pickle"):
        model.push_to_hub("me/pair", token=FRIEND, safe_serialization=False)
    with pytest.raises(UsageError, match=r"tags=.* is not supported"):
        model.push_to_hub("me/pair", token=FRIEND, tags=["x"])  # type: ignore[arg-type]


def test_tokens_that_may_not_write(server: UploadServer) -> None:
    with pytest.raises(
        HubError, match="me/tiny cannot be written at http://127.0.0.1.*token= with a token that may write"
    ):
        BertConfig().push_to_hub("me/tiny", token=STRANGER)
    with pytest.raises(UsageError, match="hf_"):
        BertConfig().push_to_hub("me/tiny", token="a b")
