"""The cache of the Hub in real folders, and the Hub's variables, of which nothing secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertkit.diagnosis.downloads import cache, settings


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_cache_with_a_model(tmp_path: Path) -> None:
    blobs, snapshot = (tmp_path / "models--a--b" / name for name in ("blobs", "snapshots/c"))
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "d").write_bytes(bytes(3_000_000))
    (snapshot / "model.safetensors").symlink_to(blobs / "d")
    found = next(iter(cache(tmp_path)))
    assert (found.values["models"], found.values["bytes"], found.values["counted"]) == (1, 3_000_000, True)
    assert "1 model, 3.0 MB" in found.text


def test_a_cache_that_does_not_exist_yet(tmp_path: Path) -> None:
    found = list(cache(tmp_path / "a" / "b"))
    assert "no models yet" in found[0].text
    assert [one.status for one in found if "written" in one.text] == []
    assert list(tmp_path.iterdir()) == []  # nothing was made


@pytest.mark.parametrize("inside", ["", "hub"])
def test_a_file_in_the_way(inside: str, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    found = list(cache(tmp_path / "home" / inside))
    assert found[1].status == "wrong"
    assert "a file is in its way" in found[1].text
    assert "HF_HOME" in found[1].remedy


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc, a folder that takes no files")
def test_a_folder_that_takes_no_files() -> None:
    found = list(cache(Path("/proc/self/net")))
    assert "cannot be written" in found[1].text


def test_settings_in_order() -> None:
    (found,) = settings()
    assert (found.name, found.status) == ("token", "ok")


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = next(iter(settings()))
    assert found.status == "note"
    assert found.remedy.startswith("unset HF_HUB_OFFLINE")


@pytest.mark.parametrize(
    ("address", "status", "shown"),
    [
        ("https://huggingface.co/", None, ""),
        ("https://mirror.example:8443/secret-path", "note", "https://mirror.example:8443,"),
        ("https://user:hunter2secret@mirror.example", "wrong", "is not the address"),
        ("file:///etc/secret-passwd", "wrong", "is not the address"),
    ],
)
def test_another_endpoint(address: str, status: str | None, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    found = [one for one in settings() if one.name == "endpoint"]
    assert [one.status for one in found] == ([status] if status else [])
    assert all(shown in one.text and one.remedy == "unset HF_ENDPOINT" for one in found)
    assert "secret" not in str(found)


def test_of_a_token_only_its_presence_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (found,) = settings()
    assert found.text == "A token is set."
    assert "hf_secret" not in str(found.to_dict())
