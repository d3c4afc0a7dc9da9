"""Locating files by name: on this disk without any socket, and from a Hub that answers over real HTTP on this machine."""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import huggingface_hub
import pytest
from hub_server import FRIEND, STRANGER, HubServer
from huggingface_hub import constants

from bertkit import hub
from bertkit.errors import BertkitError, HubError, UsageError
from bertkit.hub import Place

NAME = "google-bert/tiny"
WEIGHTS = os.urandom(300_000)
CONFIG = b'{"model_type": "bert"}'


class Locate(Protocol):
    def __call__(self, name: str | os.PathLike[str], **options: Any) -> Place: ...


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the user's token, cache, proxy and settings from the tests, and allow requests only to the test's Hub."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add(NAME, {"config.json": CONFIG, "onnx/config.json": b"{}"}, lfs={"model.safetensors": WEIGHTS})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def locate(tmp_path: Path) -> Locate:
    """hub.locate with an empty cache."""
    return partial(hub.locate, cache_dir=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "vocab.txt").write_text("[PAD]")
    (folder / "onnx" / "model.onnx").write_bytes(b"onnx")
    return folder


# On this disk.


@pytest.mark.usefixtures("no_network")
class TestDisk:
    def test_the_first_existing_name_is_found(self, folder: Path) -> None:
        place = hub.locate(folder)
        assert place.find("model.safetensors", "vocab.txt", "config.json") == folder / "vocab.txt"
        assert place.find("model.safetensors") is None
        assert place.file is None

    def test_strings_and_relative_names(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        for name in (str(folder), "model", "./model", "model/"):
            assert hub.locate(name).fetch("config.json").read_bytes() == CONFIG
        monkeypatch.chdir(folder)
        assert hub.locate(".").fetch("config.json").read_bytes() == CONFIG

    def test_the_home_folder_may_be_abbreviated(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(folder.parent))
        monkeypatch.setenv("USERPROFILE", str(folder.parent))
        assert hub.locate("~/model").find("config.json") == folder / "config.json"

    def test_a_file_as_the_name_of_a_model(self, folder: Path) -> None:
        place = hub.locate(folder / "vocab.txt")
        assert place.file == folder / "vocab.txt"
        assert place.find("config.json") == folder / "config.json"

    def test_a_subfolder(self, folder: Path) -> None:
        place = hub.locate(folder, subfolder="onnx")
        assert place.files == ("model.onnx",)
        assert place.fetch("model.onnx") == folder / "onnx" / "model.onnx"
        with pytest.raises(HubError, match=r"onxn cannot be read: No such file"):
            hub.locate(folder, subfolder="onxn")

    def test_missing_files_are_reported_with_the_existing_ones(self, folder: Path) -> None:
        with pytest.raises(HubError) as caught:
            hub.locate(folder).fetch("a.bin", "b.bin")
        assert str(caught.value) == (
            f"There is no a.bin or b.bin in the folder {folder}, which has config.json, vocab.txt."
        )

    def test_at_most_ten_files_are_listed(self, folder: Path) -> None:
        for number in range(20):
            (folder / f"shard-{number:02}").touch()
        with pytest.raises(HubError, match=r"config\.json, shard-00, .*shard-08 and 12 more\.$"):
            hub.locate(folder).fetch("a.bin")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(HubError, match="which has no files"):
            hub.locate(tmp_path).fetch("config.json")

    def test_a_built_in_model(self, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(hub.place, "ASSETS", folder.parent)
        assert hub.built_in_models() == ["builtin:model"]
        (tmp_path / "elsewhere" / "builtin:model").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert hub.locate("builtin:model").fetch("config.json") == folder / "config.json"
        assert hub.locate("./builtin:model").files == ()

    def test_all_folders_of_the_assets_are_built_in_models(self) -> None:
        assert all(hub.locate(name).files for name in hub.built_in_models())

    def test_the_hub_client_is_not_even_imported(self, folder: Path) -> None:
        code = (
            "import sys; from bertkit import hub; "
            f"hub.locate({str(folder)!r}).fetch('config.json'); "
            "sys.exit('huggingface_hub' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"})

    @pytest.mark.parametrize(
        "name",
        [
            "", " ", "/no/such/folder", "../no-such-folder", "./google-bert/tiny", "google-bert/tiny/", "a/b/c", "a//b",
            "C:\\models\\bert", "C:/models/bert", "models\\bert", "a b/c", "a/b\n", "a\0b", "a\x1b[2Jb", "\ud800",
            "a..b", "a--b", "a/..", "-a/b", "a/.b", "bert.git", "bért", "https://huggingface.co/a/b", "a/b@main", "a?b",
            "~nobody-of-that-name/model", "~\ud800", "~\0", "a/" + "b" * 97, "bert-base-uncased%2f..", "#", "a/b#c",
            Path("a/b"), Path("google-bert") / "tiny",
        ],
    )  # fmt: skip
    def test_a_name_that_cannot_be_on_the_hub_is_not_sent_there(self, name: str | Path) -> None:
        with pytest.raises(HubError, match=r"is not a folder or file here.*such as 'google-bert/bert-base-uncased'"):
            hub.locate(name)

    def test_a_name_that_is_too_long_for_the_disk(self) -> None:
        with pytest.raises(HubError, match="cannot be opened: File name too long"):
            hub.locate("b" * 5000)

    @pytest.mark.parametrize("name", [None, 3, b"model", ["model"]])
    def test_invalid_names(self, name: Any) -> None:
        with pytest.raises(UsageError, match="name of a model is a string or a path, not"):
            hub.locate(name)

    @pytest.mark.parametrize("text", ["..", "../x", "a/../..", "/etc", "a//b", "a/", ".", "C:", "a\\b", "a\0", "a\n"])
    def test_a_subfolder_or_revision_that_leads_elsewhere(self, folder: Path, text: str) -> None:
        with pytest.raises(HubError, match=r"subfolder=.* is invalid: it takes plain names"):
            hub.locate(folder, subfolder=text)
        with pytest.raises(HubError, match=r"revision=.* is invalid: it takes plain names"):
            hub.locate(NAME, revision=text)

    @pytest.mark.parametrize("name", ["../secret.txt", "onnx/../../secret.txt", "{}/secret.txt", "..", ".", "", "a\0"])
    def test_a_file_name_does_not_lead_out_of_the_folder(self, folder: Path, name: str) -> None:
        (folder.parent / "secret.txt").touch()
        place = hub.locate(folder)
        assert place.find(name.format(folder.parent)) is None
        with pytest.raises(HubError, match="There is no"):
            place.fetch(name)

    def test_links_are_followed_and_broken_ones_are_absent(self, folder: Path) -> None:
        (folder / "there").symlink_to(folder / "config.json")
        (folder / "gone").symlink_to(folder / "nowhere")
        assert hub.locate(folder).files == ("config.json", "there", "vocab.txt")

    def test_a_folder_that_cannot_be_read(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refuse)  # root, which runs some tests, may read all
        with pytest.raises(HubError, match="cannot be read: Permission denied"):
            hub.locate(folder)


# From the Hub.


def test_only_needed_files_are_downloaded_and_only_once(server: HubServer, locate: Locate) -> None:
    place = locate(NAME)
    assert place.files == ("config.json", "model.safetensors")
    assert place.find("tf_model.h5") is None
    assert server.requests == [f"GET /api/models/{NAME}/revision/main"]
    path = place.find("pytorch_model.bin", "model.safetensors", "config.json")
    assert path is not None
    assert path.read_bytes() == WEIGHTS
    assert server.bodies == ["model.safetensors"]

    assert len(server.requests) == 1 + 2  # the second one redirects
    assert place.find("config.json")
    assert len(server.requests) == 1 + 2 + 1

    server.forget()
    assert locate(NAME).fetch("model.safetensors") == path
    assert server.requests == [f"GET /api/models/{NAME}/revision/main"]


def test_a_folder_has_priority_over_the_hub(server: HubServer, locate: Locate, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename("bert-base-uncased")
    assert locate("bert-base-uncased").find("vocab.txt")
    assert server.requests == []


def test_all_files_come_from_one_commit(server: HubServer, locate: Locate) -> None:
    place = locate(NAME)
    config = place.fetch("config.json")
    server.add(NAME, {"config.json": b"new", "model.safetensors": b"new"})
    assert place.fetch("model.safetensors").read_bytes() == WEIGHTS
    assert place.fetch("model.safetensors").parent == config.parent
    assert locate(NAME).fetch("config.json").read_bytes() == b"new"


def test_a_bare_and_a_former_name(server: HubServer, locate: Locate) -> None:
    server.renamed["bert-tiny"] = NAME
    assert locate("bert-tiny").fetch("model.safetensors").read_bytes() == WEIGHTS


def test_revisions(server: HubServer, locate: Locate) -> None:
    commit = server.add(NAME, {"config.json": b"old"}, branch="refs/pr/1")
    assert locate(NAME, revision="refs/pr/1").fetch("config.json").read_bytes() == b"old"
    assert locate(NAME, revision=commit).fetch("config.json").read_bytes() == b"old"
    assert locate(NAME, revision=None).fetch("config.json").read_bytes() == CONFIG
    for revision in ("refs/pr/1", commit, "main"):
        cached = locate(NAME, revision=revision, local_files_only=True)
        assert cached.fetch("config.json").read_bytes() == (CONFIG if revision == "main" else b"old")
    with pytest.raises(HubError, match=rf"{NAME} has no revision 'v9': http://.*/{NAME}/tree/main lists"):
        locate(NAME, revision="v9")


def test_subfolder_of_a_repository(server: HubServer, locate: Locate) -> None:
    assert locate(NAME, subfolder="onnx").fetch("config.json").read_bytes() == b"{}"
    assert locate(NAME, subfolder="onnx", local_files_only=True).fetch("config.json").read_bytes() == b"{}"
    with pytest.raises(HubError, match=r"no config.json in http://.*/google-bert/tiny/tree/main/no/ne, which has no f"):
        locate(NAME, subfolder="no/ne").fetch("config.json")


def test_force_download(server: HubServer, locate: Locate) -> None:
    for _ in range(2):
        assert locate(NAME, force_download=True).fetch("model.safetensors").read_bytes() == WEIGHTS
    assert server.bodies == ["model.safetensors"] * 2


def test_a_missing_file_of_a_repository(server: HubServer, locate: Locate) -> None:
    server.add("many/files", {f"shard-{number:02}": b"" for number in range(12)})
    with pytest.raises(
        HubError, match=r"There is no vocab.txt in http://.*/tree/main, which has shard-00, .* and 2 more"
    ):
        locate("many/files").fetch("vocab.txt")
    assert server.bodies == []


def test_hostile_file_names_are_ignored(server: HubServer, locate: Locate, tmp_path: Path) -> None:
    names = ("../x", "/x", "a/../../x", "..", "a/..", "C:\\x", "..\\x", "x\n", "config.json", "a/config.json")
    server.add("evil/model", dict.fromkeys(names, b""))
    assert locate("evil/model").files == ("config.json",)
    assert locate("evil/model", subfolder="a").files == ("config.json",)
    assert locate("evil/model").find(*names) == locate("evil/model").fetch("config.json")
    assert not list(tmp_path.rglob("x"))


# Tokens.


def test_a_private_repository(server: HubServer, locate: Locate, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("me/mine", {"config.json": CONFIG}, private=True)
    for token in (None, False, STRANGER):
        with pytest.raises(
            HubError,
            match=r"no folder me/mine here.*no such repository \(40[14] .*if it is private, type once: hf auth login",
        ):
            locate("me/mine", token=token)
    with pytest.raises(HubError, match="token=True, but no token is stored on this machine: type once: hf auth login"):
        locate("me/mine", token=True)
    assert locate("me/mine", token=FRIEND).fetch("config.json").read_bytes() == CONFIG
    monkeypatch.setenv("HF_TOKEN", FRIEND)
    for token in (None, True):
        assert locate("me/mine", token=token, force_download=True).fetch("config.json").read_bytes() == CONFIG
    with pytest.raises(HubError, match="no such repository"):
        locate("me/mine", token=False, force_download=True)


def test_an_unknown_token(server: HubServer, locate: Locate) -> None:
    with pytest.raises(HubError, match="401 Invalid credentials in Authorization header"):
        locate(NAME, token="hf_expired")


@pytest.mark.parametrize("token", ["", "hf_friend\n", "hf friend", "hf_fr\u00efend", "\0"])
def test_invalid_tokens(server: HubServer, locate: Locate, token: str) -> None:
    with pytest.raises(UsageError, match="copy it again"):
        locate(NAME, token=token)
    assert server.requests == []


def test_a_gated_repository(server: HubServer, locate: Locate) -> None:
    server.add("meta/gated", {"config.json": CONFIG}, gated=True)
    for token in (False, STRANGER):
        with pytest.raises(
            HubError, match=rf"meta/gated is gated .*request access on {server.url}/meta/gated, and then type once"
        ):
            locate("meta/gated", token=token).fetch("config.json")
    assert locate("meta/gated", token=FRIEND).fetch("config.json").read_bytes() == CONFIG


def test_the_token_is_not_shown_to_the_host_of_large_files(server: HubServer, locate: Locate) -> None:
    locate(NAME, token=FRIEND).fetch("model.safetensors")
    shown = [("/cdn/" in path, headers.get("authorization")) for path, headers in server.log]
    assert set(shown) == {(True, None), (False, f"Bearer {FRIEND}")}


# Failures of the Hub.


def test_a_repository_that_does_not_exist(server: HubServer, locate: Locate) -> None:
    with pytest.raises(
        HubError, match=r"no folder google-bert/tyni here, and http://127.0.0.1.* check the spelling"
    ) as caught:
        locate("google-bert/tyni")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, huggingface_hub.errors.HfHubHTTPError)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (403, "does not allow you to read google-bert/tiny"),
        (429, "received too many requests from you"),
        (500, "failed"),
        (503, "failed"),
    ],
)
def test_refusals(server: HubServer, locate: Locate, status: int, sentence: str) -> None:
    server.answer = (status, b"<html>\n<p>soup</p></html>")
    with pytest.raises(HubError, match=rf"^http://\S+ {sentence} .*\({status}\)") as caught:
        locate(NAME)
    assert "soup" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [b"<html>Log in</html>", b"[]", b"{}", b"3", b'{"id": "a", "siblings": [1]}', b'{"id": "a", "sha": ".."}', b""],
)
def test_invalid_answers(server: HubServer, locate: Locate, answer: bytes) -> None:
    server.answer = (200, answer)
    with pytest.raises(HubError, match=r"sent an invalid answer .* check HF_ENDPOINT and the proxy"):
        locate(NAME)


def test_a_listed_file_that_does_not_exist(server: HubServer, locate: Locate) -> None:
    place = locate(NAME)
    for files in server.repositories[NAME].commits.values():
        del files["config.json"]
    with pytest.raises(
        HubError, match=r"google-bert/tiny lists a file that cannot be downloaded \(404 Entry not found\)"
    ):
        place.fetch("config.json")


def test_an_interrupted_download_is_continued(
    server: HubServer, locate: Locate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertkit.hub.download.PAUSE", 0.0)
    server.cut("model.safetensors", 100_000, 50_000)
    assert locate(NAME).fetch("model.safetensors").read_bytes() == WEIGHTS
    starts = [
        headers["range"] for request, headers in server.log if "/cdn/" in request and "range" in headers
    ]  # with older versions of huggingface_hub, less than 16 KB is not kept
    assert starts in (["bytes=100000-", "bytes=150000-"], ["bytes=98304-", "bytes=147456-"])


def test_a_download_that_is_always_interrupted(
    server: HubServer, locate: Locate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertkit.hub.download.PAUSE", 0.0)
    server.cut("model.safetensors", *[0] * 20)
    place = locate(NAME)
    place.fetch("config.json")
    with pytest.raises(HubError, match=r"the connection to .* failed .* type the same again; files"):
        place.fetch("model.safetensors")
    server.cut("model.safetensors")
    server.forget()
    assert locate(NAME).fetch("config.json", "model.safetensors").read_bytes() == CONFIG
    assert locate(NAME).fetch("model.safetensors").read_bytes() == WEIGHTS
    assert server.bodies == ["model.safetensors"]


def test_a_hub_that_stops_after_the_list_of_files(
    server: HubServer, locate: Locate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertkit.hub.download.PAUSE", 0.0)
    places = [locate(NAME), locate(NAME, force_download=True)]
    server.stop()
    for place in places:
        with pytest.raises(HubError, match=rf"the connection to {server.url} failed \(.*Connection refused"):
            place.fetch("config.json")


def test_connection_refused(locate: Locate, monkeypatch: pytest.MonkeyPatch, server: HubServer) -> None:
    server.stop()
    with pytest.raises(
        HubError, match=rf"the connection to {server.url} failed .*\(\[Errno \d+\] Connection refused\).*HF_ENDP"
    ):
        locate(NAME)


def test_connection_timeout(locate: Locate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(HubError, match=r"the connection to .* failed .*timed out"):
            locate(NAME)


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:8080",
        "ftp://hub",
        "https://",
        "hub",
        "http://a b",
        "http://[",
        "http://a:b",
        "http://a:99999",
        "http://h\u00f6st",
    ],
)
def test_an_endpoint_that_is_not_a_url(locate: Locate, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(HubError, match=r"HF_ENDPOINT=.* is not a URL"):
        locate(NAME)


# Failures of the disk.


def test_a_full_disk(server: HubServer, locate: Locate, monkeypatch: pytest.MonkeyPatch) -> None:
    place = locate(NAME)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=len(CONFIG) - 1))
    with pytest.raises(HubError, match=r"disk of the cache .*cache is full: free some space, or set cache_dir="):
        place.fetch("config.json")
    assert server.bodies == ["config.json"]
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=len(CONFIG)))
    assert place.fetch("config.json").read_bytes() == CONFIG


def test_a_cache_that_cannot_be_written(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match=r"The cache cannot be used .*: set cache_dir= or HF_HOME to a folder"):
        hub.locate(NAME, cache_dir=tmp_path / "file").fetch("config.json")


# Offline.


@pytest.fixture
def cached(server: HubServer, locate: Locate) -> Path:
    """The path of config.json in the cache. The Hub is stopped afterwards."""
    path = locate(NAME).fetch("config.json")
    server.stop()
    return path


def test_local_files_only(cached: Path, no_network: None, locate: Locate, tmp_path: Path) -> None:
    place = locate(NAME, local_files_only=True)
    assert place.fetch("model.safetensors", "config.json").read_bytes() == CONFIG
    assert place.find("vocab.txt") is None
    with pytest.raises(HubError) as caught:
        place.fetch("model.safetensors")
    assert str(caught.value) == (
        f"There is no model.safetensors in the cache of {NAME} (main), which has config.json. local_files_only=True "
        f"forbids requests to the Hub. To download all files while online, type: hf download {NAME} --revision main "
        f"--cache-dir {tmp_path / 'cache'}"
    )


@pytest.mark.parametrize("setting", ["HF_HUB_OFFLINE=1", "HF_HUB_OFFLINE=true", "TRANSFORMERS_OFFLINE=YES"])
def test_offline_mode(
    cached: Path, no_network: None, locate: Locate, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(*setting.split("="))
    assert locate(NAME).fetch("config.json").read_bytes() == CONFIG
    with pytest.raises(
        HubError, match=rf"no folder google-bert/other here, .*/other \(main\) is not in the cache .*{setting} forbids"
    ):
        locate("google-bert/other")
    with pytest.raises(UsageError, match=f"force_download=True needs the Hub, and {setting} forbids requests"):
        locate(NAME, force_download=True)


def test_the_cache_without_the_client(cached: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from bertkit import hub; "
        f"hub.locate({NAME!r}, cache_dir={str(tmp_path / 'cache')!r}, local_files_only=True).fetch('config.json'); "
        "sys.exit('huggingface_hub.errors' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"})


def test_the_cache_is_used_when_the_hub_is_unreachable(
    cached: Path, locate: Locate, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert locate(NAME).fetch("config.json").read_bytes() == CONFIG
    assert "the connection to" in caplog.text
    with pytest.raises(
        HubError, match=r"There is no vocab.txt in the cache .*the connection to .* failed.* while online"
    ):
        locate(NAME).fetch("vocab.txt")
    with pytest.raises(HubError, match="the connection to .* failed"):
        locate(NAME, force_download=True)
    with pytest.raises(HubError, match="the connection to .* failed"):
        locate(NAME, revision="other")


def test_the_default_cache_is_that_of_huggingface_hub(server: HubServer, tmp_path: Path) -> None:
    path = hub.locate(NAME).fetch("config.json")
    assert path.is_relative_to(tmp_path / "home" / "hub")
    assert huggingface_hub.hf_hub_download(NAME, "config.json", local_files_only=True) == str(path)
    assert hub.locate(NAME, local_files_only=True).fetch("config.json") == path


def test_files_cached_by_huggingface_hub_are_found(server: HubServer, locate: Locate, tmp_path: Path) -> None:
    huggingface_hub.HfApi(endpoint=server.url).hf_hub_download(NAME, "config.json", cache_dir=tmp_path / "cache")
    server.forget()
    assert locate(NAME, local_files_only=True).fetch("config.json").read_bytes() == CONFIG
    assert locate(NAME).fetch("config.json").read_bytes() == CONFIG
    assert server.bodies == []


@pytest.mark.parametrize("ref", [b"", b"..", b"../..", b"0" * 39, b"\xff" * 40, b"0" * 40])
def test_a_damaged_ref_is_ignored(cached: Path, locate: Locate, tmp_path: Path, ref: bytes) -> None:
    (tmp_path / "cache" / "models--google-bert--tiny" / "refs" / "main").write_bytes(ref)
    with pytest.raises(HubError, match="is not in the cache"):
        locate(NAME, local_files_only=True)


def test_a_damaged_ref_is_mended_online(server: HubServer, locate: Locate, tmp_path: Path) -> None:
    commit = locate(NAME).fetch("config.json").parent.name
    ref = tmp_path / "cache" / "models--google-bert--tiny" / "refs" / "main"
    ref.write_bytes(b"\xff")
    assert locate(NAME).find("config.json")
    assert ref.read_text() == commit


def test_a_cache_where_refs_cannot_be_written(server: HubServer, locate: Locate, tmp_path: Path) -> None:
    (tmp_path / "cache" / "models--google-bert--tiny").mkdir(parents=True)
    (tmp_path / "cache" / "models--google-bert--tiny" / "refs").touch()
    assert locate(NAME).fetch("config.json").read_bytes() == CONFIG


def test_every_error_is_a_bertkit_error_of_one_line(server: HubServer, locate: Locate) -> None:
    server.add("meta/gated", {"config.json": CONFIG}, gated=True)
    for name in ("a b", "no/such", "meta/gated"):
        with pytest.raises(BertkitError) as caught:
            locate(name).fetch("config.json")
        assert "\n" not in str(caught.value)
