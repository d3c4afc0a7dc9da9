"""Random invalid answers of a Hub: each results in an error or a file in the cache, quickly and in bounded memory.

    python tests/support/fuzz_hub.py [--rounds 10000] [--seed 0]

Each round asks a Hub on this machine for two files. One or more of its answers have something wrong: the status, a
header, the list of files, the contents. `locate` and `fetch` must then return a path in the cache or raise a HubError
of one printable line. No file may appear or change outside the cache. A round takes a few seconds at most, and the
whole process at most 200 MB beyond its start. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hub_server import HubServer, Reply

from bertkit import hub
from bertkit.errors import HubError
from bertkit.hub import download, transfer

NAME = "somebody/tiny"
FILES = ("config.json", "model.safetensors")
MEMORY = 200 * 2**20
SECONDS = 10.0
DISK = 2**27  # where no size is announced, all that is sent is kept

WORDS = [
    "", '""', "..", "../../../x", '"../../../x"', "/", "{root}/x", '"{root}/secret.json"', "\\..\\x", "C:\\x", "con",
    "a" * 40, "0" * 40, "0" * 64, "f" * 5000, "\x1b[2J\x1b]0;title\x07", "\x9b31m", "-1", "0", "1e9", "9" * 30, "NaN", "*",
    "bytes 0-9/10", "bytes 5-9/10", "bytes */*", "gzip", "chunked", "identity", "file:///etc/passwd", "//", "http://[",
    "http://[::::]/", "http://a:99999/", "http://localhost:1/", "/", "?", "#", "a/b/../../..", "\t", " ", "\xff\xfe",
    "RepoNotFound", "EntryNotFound", "GatedRepo", "RevisionNotFound", "http://xn--a/", "http://" + "a" * 70 + "/", "http://%00/",
]  # fmt: skip
HEADERS = [
    "ETag", "X-Linked-Etag", "X-Repo-Commit", "X-Linked-Size", "Content-Length", "Content-Range", "Content-Encoding",
    "Transfer-Encoding", "Location", "Retry-After", "X-Error-Code", "X-Error-Message", "Content-Type", "Set-Cookie", "Link",
    "X-Xet-Hash", "Connection", "X-HF-Warning",
]  # fmt: skip
STATUSES = [
    100,
    200,
    204,
    206,
    301,
    302,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    408,
    416,
    418,
    429,
    451,
    500,
    503,
    599,
    600,
    999,
]


class Liar:
    """Changes one answer in three, in one or two ways."""

    def __init__(self, seed: int, root: Path) -> None:
        self.rng = random.Random(seed)
        self.root = root

    def __call__(self, path: str, reply: Reply) -> Reply:
        """Return the answer to send."""
        rng = self.rng
        if rng.random() < 0.66:
            return reply
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            match rng.choice(["status", "header", "header", "header", "no header", "body", "listing"]):
                case "status":
                    reply = Reply(rng.choice(STATUSES), reply.headers, reply.body)
                case "header":
                    word = rng.choice(WORDS).replace("{root}", str(self.root))
                    reply = Reply(reply.status, {**reply.headers, rng.choice(HEADERS): word}, reply.body)
                case "no header":
                    gone = rng.choice(list(reply.headers) or [""])
                    kept = {name: text for name, text in reply.headers.items() if name != gone}
                    reply = Reply(reply.status, kept, reply.body)
                case "body" if isinstance(reply.body, bytes):
                    reply = self.body(reply, reply.body)
                case "listing" if path.startswith("/api/"):
                    listing = json.dumps(self.listing()).encode()
                    reply = Reply(reply.status, {**reply.headers, "Content-Length": str(len(listing))}, listing)
        return reply

    def body(self, reply: Reply, body: bytes) -> Reply:
        """Return other contents, with a right or wrong length."""
        rng = self.rng
        content = rng.choice(
            [
                b"",
                body[: rng.randrange(len(body) + 1)],
                body + b"x",
                body[::-1],
                b"[" * 5000,
                rng.randbytes(50),
                (b"x" * 2**16 for _ in range(600)),
                self.drip() if rng.random() < 0.1 else b"x",
            ]
        )
        headers = {name: text for name, text in reply.headers.items() if name != "Content-Length"}
        if isinstance(content, bytes) and rng.random() < 0.7:
            headers["Content-Length"] = str(len(content))
        elif rng.random() < 0.5:
            headers["Content-Length"] = str(rng.choice([len(body), len(body) + 1, 10**9, 10**14]))
        return Reply(reply.status, headers, content)

    def drip(self) -> Iterator[bytes]:
        """Yield a byte every 100 ms."""
        for _ in range(100):
            time.sleep(0.1)
            yield b"x"

    def listing(self) -> object:
        """Return a response of the API that is not a commit and its files."""
        rng = self.rng
        word = rng.choice([*WORDS, None, 3, [], {}])
        name = word.replace("{root}", str(self.root)) if isinstance(word, str) else word
        names = [{"rfilename": text} for text in ["config.json", name, f"../{name}", f"{name}/config.json"]]
        sha = rng.choice(["a" * 40, name])
        return rng.choice([name, {"sha": sha}, {"sha": sha, "siblings": name}, {"sha": sha, "siblings": names}])


def attempt(server: HubServer, root: Path, seed: int) -> str:
    """One round in the folder `root`, which is created and removed. Returns the outcome as one word."""
    cache = root / "a" / "b" / "c" / "cache"
    cache.mkdir(parents=True)
    (root / "secret.json").write_text("secret")
    (root / "link").symlink_to(root / "secret.json")
    if seed % 4 == 1:
        server.lie = lambda path, reply: reply
        hub.locate(NAME, cache_dir=cache).fetch("model.safetensors")
    before = [path for path in sorted(root.rglob("*")) if not path.is_relative_to(cache)]
    server.lie = Liar(seed, root)
    force = seed % 3 == 0
    outcome, message = "HubError", ""
    start = time.monotonic()
    try:
        place = hub.locate(NAME, cache_dir=cache, force_download=force)
        for path in filter(None, map(place.find, (*FILES, *place.files))):
            outcome = "fetched"
            blobs = cache / "models--somebody--tiny" / "blobs"
            assert path.resolve().parent == blobs.resolve(), path
    except HubError as error:
        message = str(error)
    seconds = time.monotonic() - start
    assert not message or (message.isprintable() and len(message) < 1200), message
    assert seconds < SECONDS, f"{seconds:.1f} seconds"
    after = sorted(root.rglob("*"))
    outside = [path for path in after if not path.is_relative_to(cache)]
    assert outside == before, outside
    assert (root / "secret.json").read_text() == "secret"
    inside = {path.relative_to(cache).parts[0] for path in after if path.is_relative_to(cache) and path != cache}
    assert inside <= {"CACHEDIR.TAG", ".locks", "models--somebody--tiny"}, inside
    files = [path for path in after if path.is_file()]
    assert not [path for path in files if path.suffix in (".incomplete", ".link", ".part")], files
    assert sum(path.stat().st_size for path in files) < DISK
    return outcome


@contextlib.contextmanager
def a_hub() -> Iterator[HubServer]:
    """A Hub with one small repository, with HF_ENDPOINT set to it."""
    with HubServer() as server:
        files = {"config.json": b'{"model_type": "bert"}', "vocab.txt": b"[PAD]\n"}
        server.add(NAME, files, lfs={"model.safetensors": bytes(range(256)) * 400})
        os.environ["HF_ENDPOINT"] = server.url
        yield server


def fuzz(rounds: int, seed: int) -> Counter[str]:
    """Run all rounds. Returns the number of each outcome. Pauses are shortened, as other tests cover them."""
    download.PAUSE, transfer.PATIENCE, usual = 0.0, 1.0, (download.PAUSE, transfer.PATIENCE)
    outcomes: Counter[str] = Counter()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = Path(tempfile.mkdtemp())
    try:
        with a_hub() as server:
            for number in range(seed, seed + rounds):
                try:
                    outcomes[attempt(server, folder / str(number), number)] += 1
                except Exception as error:
                    raise AssertionError(f"--seed {number} --rounds 1: {error!r}") from error
                shutil.rmtree(folder / str(number))
                server.forget()
    finally:
        download.PAUSE, transfer.PATIENCE = usual
        shutil.rmtree(folder)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024
    assert grown < MEMORY, f"{grown / 2**20:.0f} MB"
    return outcomes


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["NO_PROXY"] = "*"
    start = time.monotonic()
    print(dict(fuzz(given.rounds, given.seed)), f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
