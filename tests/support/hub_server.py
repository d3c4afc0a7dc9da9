"""A Hub on this machine, with the part of its protocol that downloads need, over real HTTP.

    with HubServer() as server:
        server.add("google-bert/tiny", {"config.json": b"{}"}, lfs={"model.safetensors": weights})
        ...                            # HF_ENDPOINT=server.url
        server.requests                # the requests, as "GET /api/models/google-bert/tiny/revision/main", ...
        server.bodies                  # the files whose contents were sent
        server.log                     # the requests with their headers
        server.lie = lambda path, reply: Reply(200, reply.headers | {"ETag": '"../../x"'}, reply.body)

As on the real Hub, a small file comes from /resolve/ itself, and a large one (LFS) from another host: a redirect to
`localhost`, which to a client is not the host `127.0.0.1`. Nothing is said of xet, so that plain HTTP is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote

FRIEND = "hf_friend"
"""A token that may read all repositories."""
STRANGER = "hf_stranger"
"""A valid token that may not read private or gated repositories."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response. A body of several pieces is sent piece by piece."""

    status: int
    headers: dict[str, str]
    body: bytes | Iterable[bytes] = b""


Lie = Callable[[str, Reply], Reply]
"""The requested path and the correct response -> the response that is sent instead."""


@dataclass
class Repository:
    """The commits of a repository: a commit -> its files, a branch -> its commit."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    private: bool = False
    gated: bool = False


class HubServer:
    """The server, with its repositories, the log of its requests, and the faults that a test sets."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.log: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[str] = []
        self.cuts: dict[str, list[int]] = {}
        self.answer: tuple[int, bytes] | None = None
        self.lie: Lie = lambda path, reply: reply
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.cdn = f"http://localhost:{self._http.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server, so that connections are refused."""
        self._http.shutdown()
        self._http.server_close()

    def add(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        branch: str = "main",
        lfs: dict[str, bytes] | None = None,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """A commit of `files` and `lfs` on a branch of a repository, created if it is new; returns its hash."""
        repository = self.repositories.setdefault(name, Repository(private=private, gated=gated))
        content = files | (lfs or {})
        commit = hashlib.sha1(repr(sorted(content.items())).encode()).hexdigest()
        repository.commits[commit] = content
        repository.branches[branch] = commit
        repository.lfs |= set(lfs or {})
        return commit

    def cut(self, file: str, *after: int) -> None:
        """Break the connection after this number of bytes of the file: once for each number, in this order."""
        self.cuts[file] = list(after)

    @property
    def requests(self) -> list[str]:
        """The method and path of each request."""
        return [request for request, _ in self.log]

    def forget(self) -> None:
        """Clear the logs."""
        self.log.clear()
        self.bodies.clear()


@dataclass
class _RefusalError(Exception):
    status: int
    code: str
    message: str


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.log.append((f"{self.command} {path}", {name.lower(): text for name, text in self.headers.items()}))
        try:
            if self.hub.answer is not None:
                self._send(*self.hub.answer, {"Content-Type": "text/html"})
            elif path.startswith("/cdn/"):
                name, commit, file = path.removeprefix("/cdn/").split("/", 2)
                self._send_file(name, commit, file)
            elif path.startswith("/api/models/"):
                name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                self._send_info(name, revision)
            else:
                name, _, rest = path[1:].partition("/resolve/")
                revision, _, file = rest.partition("/")
                self._resolve(name, revision, file)
        except KeyError:  # an unknown path
            self._send(404, b"", {})
        except _RefusalError as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(refusal.status, b"", {name: text for name, text in headers.items() if text})

    def _send_info(self, name: str, revision: str) -> None:
        """GET /api/models/<name>/revision/<revision>: the commit and the files, also of gated repositories."""
        if name in self.hub.renamed:
            return self._send(307, b"", {"Location": f"/api/models/{self.hub.renamed[name]}/revision/{revision}"})
        repository = self._repository(name)
        commit = self._commit(repository, revision)
        siblings = [{"rfilename": file} for file in repository.commits[commit]]
        info = {"id": name, "sha": commit, "siblings": siblings, "private": repository.private, "tags": []}
        return self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _resolve(self, name: str, revision: str, file: str) -> None:
        """HEAD or GET /<name>/resolve/<revision>/<file>: a file, or a redirect to it."""
        if name in self.hub.renamed:
            return self._send(307, b"", {"Location": f"/{self.hub.renamed[name]}/resolve/{revision}/{file}"})
        repository = self._repository(name)
        if repository.gated and self._token() != FRIEND:
            message = f"Access to model {name} is restricted."
            raise _RefusalError(403 if self._token() else 401, "GatedRepo", message)
        commit = self._commit(repository, revision)
        if file not in repository.commits[commit]:
            raise _RefusalError(404, "EntryNotFound", "Entry not found")
        if file not in repository.lfs:
            return self._send_file(name.replace("/", "|"), commit, file)
        content = repository.commits[commit][file]
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.hub.cdn}/cdn/{name.replace('/', '|')}/{commit}/{file}",
        }
        return self._send(302, b"", headers)

    def _send_file(self, name: str, commit: str, file: str) -> None:
        content = self.hub.repositories[name.replace("|", "/")].commits[commit][file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_git_hash(content)}"', "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cuts = self.hub.cuts.get(file) if self.command == "GET" else None
        if self.command == "GET":
            self.hub.bodies.append(file)
        self._send(206 if start else 200, content[start:], headers, cut=cuts.pop(0) if cuts else None)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        honest = Reply(status, {**headers, "Content-Length": str(len(body))}, body[:cut])
        reply = self.hub.lie(unquote(self.path.partition("?")[0]), honest)
        with contextlib.suppress(OSError):  # the client closed the connection
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                    self.wfile.write(piece)

    def _repository(self, name: str) -> Repository:
        """Return the repository. Raises the Hub's error if it does not exist, or if the token may not read it."""
        token = self._token()
        if token not in (None, FRIEND, STRANGER):
            raise _RefusalError(401, "", "Invalid credentials in Authorization header")
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and token != FRIEND):
            message = "Repository not found" if token else "Invalid username or password."
            raise _RefusalError(404 if token else 401, "RepoNotFound", message)
        return repository

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _token(self) -> str | None:
        authorization = self.headers.get("Authorization")
        return authorization.removeprefix("Bearer ") if authorization else None


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
