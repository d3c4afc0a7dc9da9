"""A hostile Hub: no file outside the cache, no endless wait, bounded memory, and an error for each invalid answer."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import fuzz_hub
import pytest
from hub_server import FRIEND, HubServer, Lie, Reply

from bertkit import hub
from bertkit.errors import HubError
from bertkit.hub import Place, download, transfer

NAME = "google-bert/tiny"
CONFIG = b'{"model_type": "bert"}'
WEIGHTS = os.urandom(300_000)
REPOSITORY = "models--google-bert--tiny"
NOT_A_HUB = r"sent an invalid answer \(.*{}.*\): check HF_ENDPOINT and the proxy"


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "home" / "token"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add(NAME, {"config.json": CONFIG, "sub/config.json": b"{}"}, lfs={"model.safetensors": WEIGHTS})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a" / "b" / "cache"


@pytest.fixture
def locate(cache: Path) -> Callable[..., Place]:
    return partial(hub.locate, NAME, cache_dir=cache)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PATIENCE", 0.5)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def saying(file: str, **headers: str | None) -> Lie:
    """Other headers of one file, with _ for -; None for a header that is left out."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    def lie(path: str, reply: Reply) -> Reply:
        if not path.endswith(file) or "/cdn/" in path:
            return reply
        kept = {name: text for name, text in (reply.headers | named).items() if text is not None}
        return Reply(reply.status, kept, reply.body)

    return lie


def sending(file: str, body: bytes | Callable[[], Iterator[bytes]], **headers: str | None) -> Lie:
    """Another body of one file."""

    def lie(path: str, reply: Reply) -> Reply:
        if not path.endswith(file) or reply.status not in (200, 206):
            return reply
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        kept = {name: text for name, text in (reply.headers | named).items() if text is not None}
        return Reply(reply.status, kept, body if isinstance(body, bytes) else body())

    return lie


# ETags and names from a server must not lead out of the cache.

ETAGS = [
    "../../../x",
    "..",
    ".",
    "",
    "/tmp/x",
    "a/b",
    "a\\b",
    "C:x",
    "a.b",
    "a b",
    "x" * 129,
    "\xe9",
    "W/../x",
    '"',
    "a\tb",
]


@pytest.mark.parametrize("quotes", ['"{}"', "{}"])
@pytest.mark.parametrize("etag", ETAGS)
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("file", "header"), [("config.json", "ETag"), ("model.safetensors", "X_Linked_Etag")])
def test_an_invalid_etag(
    server: HubServer, locate: Callable[..., Place], cache: Path, quotes: str, etag: str, force: bool, file: str, header: str
) -> None:  # fmt: skip
    server.lie = saying(file, **{header: quotes.format(etag)})
    before = sorted(cache.parents[2].rglob("*"))
    with pytest.raises(HubError, match=NOT_A_HUB.format(r"the ETag of .* and only letters")):
        locate(force_download=force).fetch(file)
    assert [path for path in sorted(cache.parents[2].rglob("*")) if not path.is_relative_to(cache.parents[1])] == before
    assert not [path for path in cache.parents[1].rglob("*") if path.is_file() and not path.is_relative_to(cache)]
    assert not list((cache / REPOSITORY / "blobs").iterdir())


def test_an_etag_does_not_lead_to_a_file_that_is_there(
    server: HubServer, locate: Callable[..., Place], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"vocab_size": 7}')
    server.lie = saying("config.json", ETag=f'"{secret}"')
    for force in (False, True):
        with pytest.raises(HubError, match="the ETag of config.json"):
            locate(force_download=force).fetch("config.json")
    assert secret.read_text() == '{"vocab_size": 7}'


@pytest.mark.parametrize("etag", ['W/"{}"', "{}", '"{}"'])
def test_usual_forms_of_an_etag(server: HubServer, locate: Callable[..., Place], etag: str) -> None:
    name = hashlib.md5(CONFIG).hexdigest() + "-1"
    server.lie = saying("config.json", ETag=etag.format(name))
    path = locate().fetch("config.json")
    assert path.read_bytes() == CONFIG
    assert path.resolve().name == name


def test_a_listing_with_names_for_the_terminal(server: HubServer, locate: Callable[..., Place]) -> None:
    names = ["a\x1b[2J", "b\x9b31m", "c\u202e", "d" * 2000, "é\u200b"]
    server.add(NAME, {"config.json": CONFIG, **dict.fromkeys(names, b"")})
    assert locate().files == ("config.json",)


def test_a_listing_with_long_names_is_shortened_in_the_error(server: HubServer, locate: Callable[..., Place]) -> None:
    server.add(NAME, {f"{number}{'d' * 200}": b"" for number in range(20)})
    with pytest.raises(HubError, match="and 10 more") as caught:
        locate().fetch("config.json")
    assert len(str(caught.value)) < 1200


# One commit.


@pytest.mark.parametrize("commit", ["1" * 40, "main", "../../x", "", None])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_files_of_another_commit(
    server: HubServer, locate: Callable[..., Place], cache: Path, file: str, commit: str | None
) -> None:
    server.lie = saying(file, X_Repo_Commit=commit)
    place = locate()
    with pytest.raises(
        HubError, match=NOT_A_HUB.format(rf"{file} of commit [0-9a-f]{{40}} was requested, and it sent that")
    ):
        place.fetch(file)
    assert not (cache / REPOSITORY / "refs").exists()
    assert place.find("config.json" if file != "config.json" else "model.safetensors")


def test_a_requested_commit_is_checked(server: HubServer, locate: Callable[..., Place]) -> None:
    """An answer for another commit is refused, and the cache is used if it has the requested one."""
    commit = server.repositories[NAME].branches["main"]
    assert locate(revision=commit).fetch("config.json").read_bytes() == CONFIG
    other = server.add(NAME, {"config.json": b"{}"})

    def lie(path: str, reply: Reply) -> Reply:
        body = bytes(reply.body).replace(commit.encode(), other.encode()) if path.startswith("/api/") else reply.body  # type: ignore[arg-type]
        return Reply(reply.status, reply.headers, body)

    server.lie = lie
    with pytest.raises(HubError, match=NOT_A_HUB.format(f"commit {commit} was requested, and it listed {other}")):
        locate(revision=commit, force_download=True)
    assert locate(revision=commit).fetch("config.json").read_bytes() == CONFIG


# Contents.


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_contents_with_a_wrong_hash(server: HubServer, locate: Callable[..., Place], cache: Path, file: str) -> None:
    content = {"config.json": CONFIG, "model.safetensors": WEIGHTS}[file]
    server.lie = sending(file, content[:-1] + b"?")
    with pytest.raises(
        HubError, match=NOT_A_HUB.format(f"the contents of {file} do not have the announced hash [0-9a-f]+")
    ):
        locate().fetch(file)
    assert not list((cache / REPOSITORY / "blobs").iterdir())
    server.lie = lambda path, reply: reply
    assert locate().fetch(file).read_bytes() == content


def test_a_mirror_may_name_contents_by_their_plain_hash(server: HubServer, locate: Callable[..., Place]) -> None:
    for number, algorithm in enumerate(("sha1", "sha256")):
        content = str(number).encode()
        server.add(NAME, {"config.json": content})
        server.lie = saying("config.json", ETag=f'"{hashlib.new(algorithm, content).hexdigest().upper()}"')
        assert locate().fetch("config.json").read_bytes() == content


@pytest.mark.parametrize("length", [None, str(10**9)])
def test_more_than_announced(server: HubServer, locate: Callable[..., Place], cache: Path, length: str | None) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**30:
            sent += 2**16
            yield b"x" * 2**16

    server.lie = sending("model.safetensors", endless, Content_Length=length)
    with (
        within(10),
        pytest.raises(
            HubError, match=NOT_A_HUB.format("model.safetensors was announced as 300000 bytes, but [0-9]+ or")
        ),
    ):
        locate().fetch("model.safetensors")
    assert sent < 2**26  # what the sockets hold
    assert not list((cache / REPOSITORY / "blobs").iterdir())


def test_the_limit_for_a_file_without_an_announced_size(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_MOST_UNANNOUNCED", 2**20)
    server.lie = sending("config.json", lambda: (b"x" * 2**16 for _ in range(100)), Content_Length=None)
    with pytest.raises(HubError, match=NOT_A_HUB.format("config.json was announced without a size, but 1[0-9]{6} or")):
        locate().fetch("config.json")


@pytest.mark.parametrize("size", ["-1", "1e3", "x", "9" * 20, str(51 * 2**30), "\xb2"])
def test_an_invalid_size(server: HubServer, locate: Callable[..., Place], size: str) -> None:
    server.lie = saying("model.safetensors", X_Linked_Size=size)
    with pytest.raises(HubError, match=NOT_A_HUB.format("the size of model.safetensors is .* bytes are accepted")):
        locate().fetch("model.safetensors")


def test_an_announced_size_of_a_text_file(server: HubServer, locate: Callable[..., Place]) -> None:
    """It is refused before it is downloaded: no reader accepts a config.json of 10 GB."""
    server.lie = saying("config.json", X_Linked_Size=str(10 * 2**30))
    with pytest.raises(
        HubError, match=NOT_A_HUB.format("the size of config.json is .* up to 268435456 bytes are accepted")
    ):
        locate().fetch("config.json")


def test_less_than_announced(server: HubServer, locate: Callable[..., Place]) -> None:
    server.lie = saying("model.safetensors", X_Linked_Size="300001")
    with pytest.raises(
        HubError, match=NOT_A_HUB.format("model.safetensors was announced as 300001 bytes, but only 300000")
    ):
        locate().fetch("model.safetensors")


def test_bodies_that_are_always_interrupted(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server.lie = sending("model.safetensors", WEIGHTS[:10_000])
    place = locate()
    with pytest.raises(HubError, match="the connection to .* failed"):
        place.fetch("model.safetensors")
    assert server.bodies.count("model.safetensors") == 20


@pytest.mark.parametrize("headers", [{}, {"Content_Range": "bytes 0-1/300000"}, {"Content_Range": "bytes 7-8/300000"}])
def test_another_part_than_requested(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server.cut("model.safetensors", 100_000)

    def lie(path: str, reply: Reply) -> Reply:
        if reply.status != 206:
            return reply
        kept = {name: text for name, text in reply.headers.items() if name != "Content-Range"}
        return Reply(206, kept | {name.replace("_", "-"): text for name, text in headers.items()}, reply.body)

    server.lie = lie
    with pytest.raises(
        HubError, match=NOT_A_HUB.format("model.safetensors was requested from byte .* another part was sent")
    ):
        locate().fetch("model.safetensors")


def test_a_server_that_sends_all_again(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server.cut("model.safetensors", 100_000)

    def lie(path: str, reply: Reply) -> Reply:
        if reply.status != 206:
            return reply
        return Reply(200, {"Content-Length": str(len(WEIGHTS))}, WEIGHTS)

    server.lie = lie
    assert locate().fetch("model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_changes_between_two_parts(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server.cut("model.safetensors", 100_000)
    linked = saying("model.safetensors", X_Linked_Etag='"another"')
    server.lie = lambda path, reply: linked(path, reply) if "model.safetensors" in server.bodies else reply
    with pytest.raises(HubError, match=NOT_A_HUB.format("model.safetensors changed while it was downloaded")):
        locate().fetch("model.safetensors")


def test_compressed_contents(server: HubServer, locate: Callable[..., Place]) -> None:
    server.lie = saying("config.json", Content_Encoding="gzip")
    with pytest.raises(
        HubError, match=NOT_A_HUB.format("the contents are encoded as 'gzip'; uncompressed contents were requested")
    ):
        locate().fetch("config.json")
    assert all(headers["accept-encoding"] == "identity" for _, headers in server.log)


# Valid answers in another form.


def test_a_file_in_xet_storage_comes_over_plain_http(server: HubServer, locate: Callable[..., Place]) -> None:
    link = f'<{server.url}/api/models/{NAME}/xet-read-token/main>; rel="xet-auth"'
    server.lie = saying("model.safetensors", X_Xet_Hash="0" * 64, Link=link)
    assert locate().fetch("model.safetensors").read_bytes() == WEIGHTS


def test_a_file_without_a_size(server: HubServer, locate: Callable[..., Place]) -> None:
    server.lie = saying("config.json", Content_Length=None)
    assert locate().fetch("config.json").read_bytes() == CONFIG


def test_a_redirect_within_the_hub_keeps_the_token(server: HubServer, locate: Callable[..., Place]) -> None:
    def lie(path: str, reply: Reply) -> Reply:
        if path.startswith("/google-bert/tiny/resolve/") and path.endswith("config.json"):
            target = "/moved" + path
            return Reply(307, {"Location": target, "ETag": '"wrong"', "Content-Length": "0"})
        return reply

    server.renamed["moved/google-bert/tiny"] = "a/b"
    server.add("a/b", {"config.json": CONFIG}, private=True)
    server.repositories["a/b"].commits = server.repositories[NAME].commits
    server.lie = lie
    assert locate(token=FRIEND).fetch("config.json").read_bytes() == CONFIG
    assert [headers["authorization"] for _, headers in server.log] == [f"Bearer {FRIEND}"] * 4


def test_the_token_does_not_follow_a_redirect_of_the_api(server: HubServer, locate: Callable[..., Place]) -> None:
    def lie(path: str, reply: Reply) -> Reply:
        if path.startswith("/api/") and len(server.log) == 1:
            return Reply(307, {"Location": f"{server.cdn}{path}", "Content-Length": "0"})
        return reply

    server.lie = lie
    assert locate(token=FRIEND).files
    assert [headers.get("authorization") for _, headers in server.log] == [f"Bearer {FRIEND}", None]


# Redirects.

TARGETS = [
    "file:///etc/passwd",
    "ftp://a/b",
    "http://a:99999/",
    "http://[/",
    "http://u@a/",
    "x:y",
    "http://a/" + "b" * 20_000,
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", ["config.json", "revision/main"])
def test_a_redirect_to_an_invalid_address(
    server: HubServer, locate: Callable[..., Place], target: str, file: str
) -> None:
    server.lie = lambda path, reply: Reply(302, reply.headers | {"Location": target}) if path.endswith(file) else reply
    with pytest.raises(HubError, match=NOT_A_HUB.format("it redirected to .* http:// or https:// address")) as caught:
        locate().fetch("config.json")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("cookie", ["\x9b31m=1", "a=1"])
def test_cookies_are_not_kept(server: HubServer, locate: Callable[..., Place], cookie: str) -> None:
    """They would be sent with all requests of the process, and an invalid cookie would make all of them fail."""
    server.lie = lambda path, reply: Reply(reply.status, reply.headers | {"Set-Cookie": cookie}, reply.body)
    for _ in range(2):
        assert locate(force_download=True).fetch("config.json").read_bytes() == CONFIG
    assert not any("cookie" in headers for _, headers in server.log)


def test_redirects_without_end(server: HubServer, locate: Callable[..., Place]) -> None:
    server.lie = lambda path, reply: Reply(307, {"Location": path + "x", "Content-Length": "0"})
    with pytest.raises(HubError, match=NOT_A_HUB.format("it redirected 8 times")):
        locate()
    assert len(server.log) == 8


# Time.


@pytest.mark.parametrize("after", ["9999", "31", "9" * 9])
def test_a_server_that_asks_to_wait_for_long(server: HubServer, locate: Callable[..., Place], after: str) -> None:
    server.lie = lambda path, reply: Reply(429, {"Retry-After": after}) if "/resolve/" in path else reply
    with within(5), pytest.raises(HubError, match=r"received too many requests from you \(429\): wait some minutes"):
        locate().fetch("config.json")
    assert len(server.log) == 2


def test_a_server_that_asks_to_wait_again_and_again(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", _recorded(waited, threading.Event.wait))
    server.lie = lambda path, reply: Reply(503, {"Retry-After": "15"}) if "/resolve/" in path else reply
    with pytest.raises(HubError, match=r"failed \(503\)"):
        locate().fetch("config.json")
    assert waited == [15]


def test_a_server_that_is_busy_for_a_moment(
    server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server.lie = lambda path, reply: (
        Reply(503, {"Retry-After": "0"}) if "/resolve/" in path and len(server.log) < 4 else reply
    )
    assert locate().fetch("config.json").read_bytes() == CONFIG


def _recorded(waited: list[float], wait: Callable[..., bool]) -> Callable[..., bool]:
    """Event.wait that notes long waits instead of waiting."""

    def noted(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None or not 10 < timeout < 60:
            return wait(event, timeout)
        waited.append(timeout)
        return False

    return noted


def drip() -> Iterator[bytes]:
    """A byte every 50 ms, so that no timeout of an HTTP library is reached."""
    for _ in range(200):
        time.sleep(0.05)
        yield b" "


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("file", ["revision/main", "config.json", "model.safetensors"])
def test_a_body_that_drips(server: HubServer, locate: Callable[..., Place], cache: Path, file: str) -> None:
    server.lie = sending(file, drip)
    with (
        within(3),
        pytest.raises(HubError, match=NOT_A_HUB.format("only [0-9]+ bytes arrived within 0.5 seconds")),
    ):
        locate().fetch("model.safetensors", "config.json") if "model" in file else locate().fetch("config.json")
    assert not list(cache.rglob("*.incomplete"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"]
)
def test_headers_that_drip(locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(head)
            for _ in range(100):
                time.sleep(0.05)
                connection.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        with (
            within(3),
            pytest.raises(HubError, match="only 0 bytes arrived within 0.5 seconds|the connection to .* failed"),
        ):
            locate()


@pytest.mark.usefixtures("impatient")
def test_a_slow_server(server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take longer than PATIENCE, as long as enough arrives."""
    monkeypatch.setattr(download, "_LEAST", 2**14)

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(WEIGHTS), 2**14):
            time.sleep(0.08)
            yield WEIGHTS[start : start + 2**14]

    server.lie = sending("model.safetensors", slowly)
    assert locate().fetch("model.safetensors").read_bytes() == WEIGHTS


# Memory.


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (lambda: (b" " * 2**16 for _ in range(10_000)), "its list of files has more than 33554432 bytes"),
        (
            lambda: (b"[]," * 2**14 for _ in range(100)),
            "it has more than 2,500,000 commas and brackets|not JSON|Expecting",
        ),
        (lambda: iter([b"[" * 200, b"]" * 200]), "its list of files is nested more than 100 deep"),
        (
            lambda: iter([b'{"siblings": [' + b"[]," * 3_000_000 + b"0]}"]),
            "it has more than 2,500,000 commas and brackets",
        ),
    ],
)
def test_a_list_of_files_without_end(
    server: HubServer, locate: Callable[..., Place], body: Callable[[], Iterator[bytes]], sentence: str
) -> None:
    server.lie = sending("revision/main", body, Content_Length=None)
    tracemalloc.start()
    try:
        with within(30), pytest.raises(HubError, match=NOT_A_HUB.format(f"({sentence})")):
            locate()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * 2**20


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(500, r"failed \(500\)"), (302, "it redirected 8 times"), (204, "the status is 204")],
)
def test_an_endless_page_of_an_error(
    server: HubServer, locate: Callable[..., Place], status: int, sentence: str
) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**30:
            sent += 2**16
            yield b"x" * 2**16

    server.lie = lambda path, reply: Reply(status, {"Location": "/again"}, endless())
    with within(5), pytest.raises(HubError, match=sentence):
        locate()
    assert sent < 2**26


# Messages.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 451, 500])
def test_messages_of_the_server_are_shown_in_one_short_line(
    server: HubServer, locate: Callable[..., Place], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    said = "\x1b]0;title\x07\x1b[31mred\x9b2J" + "x" * 5000
    locate().fetch("config.json")
    server.lie = lambda path, reply: Reply(status, {"X-Error-Message": said})
    with pytest.raises(HubError, match=rf"{status} \\x1b\]0;title\\x07\\x1b\[31mred") as caught:
        locate(force_download=True)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600
    with caplog.at_level(logging.WARNING):
        assert locate().fetch("config.json").read_bytes() == CONFIG
    assert caplog.messages and all(text.isprintable() and len(text) < 600 for text in caplog.messages)


def test_a_refused_request_is_not_reported_as_a_broken_connection(
    server: HubServer, locate: Callable[..., Place]
) -> None:
    server.lie = lambda path, reply: Reply(400, {"X-Error-Message": "Invalid revision"})
    with pytest.raises(HubError, match=r"refused the request for google-bert/tiny \(400 Invalid revision\): check"):
        locate()


def test_a_long_name_is_shortened_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ({"name": "a" * 10**6}, {"name": "a\n" * 10**6}, {"name": "a", "revision": "/" * 10**6}):
        with pytest.raises(HubError) as caught:
            hub.locate(**arguments)
        assert len(str(caught.value)) < 600
    monkeypatch.setenv("HF_ENDPOINT", "x" * 100_000)
    with pytest.raises(HubError, match="is not a URL") as caught:
        hub.locate(NAME)
    assert len(str(caught.value)) < 600


# The cache.


@pytest.fixture
def ref(server: HubServer, locate: Callable[..., Place], cache: Path) -> Path:
    """The file that holds the commit of main, after a load."""
    locate().fetch("config.json")
    return cache / REPOSITORY / "refs" / "main"


def test_a_ref_that_is_a_link_is_not_followed(ref: Path, locate: Callable[..., Place], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(ref.read_text())
    ref.unlink()
    ref.symlink_to(outside)
    with pytest.raises(HubError, match="is not in the cache"):
        locate(local_files_only=True)
    commit = outside.read_text()
    outside.write_text("kept")
    assert locate().fetch("config.json").read_bytes() == CONFIG
    assert outside.read_text() == "kept"
    assert ref.read_text() == commit and not ref.is_symlink()


def test_a_folder_of_refs_that_is_a_link_is_not_followed(
    ref: Path, locate: Callable[..., Place], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    ref.parent.rename(outside)
    ref.parent.symlink_to(outside)
    with pytest.raises(HubError, match="is not in the cache"):
        locate(local_files_only=True)
    (outside / "main").write_text("kept")
    assert locate().fetch("config.json").read_bytes() == CONFIG
    assert (outside / "main").read_text() == "kept"


def test_a_ref_that_is_large_or_a_pipe(ref: Path, locate: Callable[..., Place]) -> None:
    with open(ref, "wb") as file:
        file.truncate(10 * 2**30)
    tracemalloc.start()
    try:
        with within(5), pytest.raises(HubError, match="is not in the cache"):
            locate(local_files_only=True)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    ref.unlink()
    os.mkfifo(ref)
    with within(5), pytest.raises(HubError, match="is not in the cache"):
        locate(local_files_only=True)
    assert locate().fetch("config.json").read_bytes() == CONFIG
    assert ref.is_file()


@pytest.mark.parametrize("folder", ["", REPOSITORY, f"{REPOSITORY}/blobs"])
def test_a_cache_on_another_disk(
    server: HubServer, locate: Callable[..., Place], cache: Path, tmp_path: Path, folder: str
) -> None:
    """Users may replace a folder of the cache by a link."""
    (tmp_path / "disk").mkdir()
    (cache / folder).parent.mkdir(parents=True, exist_ok=True)
    (cache / folder).symlink_to(tmp_path / "disk")
    for options in ({}, {}, {"local_files_only": True}):
        assert locate(**options).fetch("config.json").read_bytes() == CONFIG
        assert locate(**options).fetch("model.safetensors", "config.json")
    assert server.bodies == ["config.json", "model.safetensors"]
    server.add(NAME, {"config.json": CONFIG, "README.md": b"new"})
    assert locate().fetch("config.json").read_bytes() == CONFIG


def test_contents_that_another_commit_has_are_not_written_again(
    server: HubServer, locate: Callable[..., Place]
) -> None:
    first = locate().fetch("model.safetensors")
    server.add(NAME, {"config.json": b"new"}, lfs={"model.safetensors": WEIGHTS})
    second = locate().fetch("model.safetensors")
    assert first.parent != second.parent
    assert first.resolve() == second.resolve()
    assert server.bodies == ["model.safetensors"]


def test_contents_that_are_a_link_out_of_the_cache_are_ignored(
    ref: Path, server: HubServer, locate: Callable[..., Place], tmp_path: Path
) -> None:
    blob = (ref.parents[1] / "snapshots" / ref.read_text() / "config.json").resolve()
    (tmp_path / "outside").write_text("kept")
    blob.unlink()
    blob.symlink_to(tmp_path / "outside")
    server.add(NAME, {"config.json": CONFIG, "README.md": b"new"})
    assert locate().fetch("config.json").read_bytes() == CONFIG
    assert (tmp_path / "outside").read_text() == "kept"


def test_a_disk_without_links(server: HubServer, locate: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = locate().fetch("config.json")
    assert path.read_bytes() == CONFIG and not path.is_symlink()
    assert locate(local_files_only=True).fetch("config.json") == path
    assert locate(force_download=True).fetch("config.json").read_bytes() == CONFIG


@contextlib.contextmanager
def without_root() -> Iterator[None]:
    """Run the block as the user nobody, since root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_cache_that_is_read_only(server: HubServer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        locate = partial(hub.locate, NAME, cache_dir=Path(folder, "cache"))
        locate().fetch("config.json")
        for path in [*Path(folder).rglob("*"), Path(folder)]:
            path.chmod(0o555)
        with without_root():
            assert locate().fetch("config.json").read_bytes() == CONFIG
            assert locate(local_files_only=True).fetch("config.json").read_bytes() == CONFIG
            with pytest.raises(
                HubError, match=r"The cache cannot be used .*Permission denied.*set cache_dir= or HF_HOME"
            ):
                locate().fetch("model.safetensors")
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o755)


def test_several_processes_at_once(server: HubServer, cache: Path) -> None:
    """Each file is sent once, and all processes read it."""
    server.lie = sending("model.safetensors", lambda: _slowly(WEIGHTS))
    code = (
        "from bertkit import hub; import hashlib; "
        f"place = hub.locate({NAME!r}, cache_dir={str(cache)!r}); "
        "data = place.fetch('config.json').read_bytes() + place.fetch('model.safetensors').read_bytes(); "
        "print(hashlib.sha256(data).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": "src"}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {process.communicate(timeout=60)[0].strip() for process in running}
    assert said == {hashlib.sha256(CONFIG + WEIGHTS).hexdigest()}
    assert sorted(server.bodies) == ["config.json", "model.safetensors"]
    assert len(list((cache / REPOSITORY / "blobs").iterdir())) == 2


def _slowly(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 2**16):
        time.sleep(0.2)
        yield content[start : start + 2**16]


# At random.


def test_answers_with_random_faults() -> None:
    outcomes = fuzz_hub.fuzz(200, seed=0)
    assert min(outcomes["HubError"], outcomes["fetched"]) > 30
