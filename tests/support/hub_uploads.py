"""A Hub that also accepts commits of small files, with the part of its protocol that uploads of folders need.

with UploadServer() as server:
    ...                                       # HF_ENDPOINT=server.url
    server.repositories["me/tiny"].commits    # what was committed
"""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from hub_server import FRIEND, HubServer


class UploadServer(HubServer):
    """The server of hub_server.py, which also handles POST requests. Large files are uploaded like small ones."""

    def __init__(self) -> None:
        super().__init__()
        handler = self._http.RequestHandlerClass
        self._http.RequestHandlerClass = type("Uploads", (_Uploads, handler), {"hub": self})
        self.messages: list[str] = []


class _Uploads(BaseHTTPRequestHandler):
    hub: UploadServer

    def do_POST(self) -> None:
        path = unquote(self.path.partition("?")[0])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {FRIEND}":
            return self._answer(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        name, _, rest = path.removeprefix("/api/models/").rpartition("/")
        name, _, action = name.rpartition("/")
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": files})
        return self._take_commit(name, rest, [json.loads(line) for line in body.splitlines()])

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        known = name in self.hub.repositories
        if not known:
            self.hub.add(name, {}, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return self._answer(409 if known else 200, {"url": f"{self.hub.url}/{name}"})

    def _take_commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> None:
        repository = self.hub.repositories[name]
        files = dict(repository.commits[repository.branches[branch]])
        for line in lines:
            if line["key"] == "header":
                self.hub.messages.append(line["value"]["summary"])
            else:
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = self.hub.add(name, files, branch=branch)
        return self._answer(200, {"commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
