"""PushToHubCallback with a local server in place of the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPT = """
import sys, numpy as np, tiny
from bertkit import PushToHubCallback, TFBertForSequenceClassification
model = TFBertForSequenceClassification(tiny.config(num_hidden_layers=1))
model.compile("adam")
upload = PushToHubCallback(sys.argv[1], hub_model_id="me/tuned", hub_token="hf_x", checkpoint=True, license="mit")
model.fit({"input_ids": np.ones((4, 3), int)}, np.array([0, 1, 2, 0]), epochs=1, callbacks=[upload], verbose=0)
"""


class Hub(BaseHTTPRequestHandler):
    """A server that accepts repositories and files, and records the names of the files of each commit."""

    commits: list[tuple[str, list[str]]]

    def do_POST(self) -> None:
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self.chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer: dict[str, object] = {"url": f"http://{self.headers['Host']}/me/tuned", "name": "me/tuned"}
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"]["path"] for line in lines if line["key"] == "file"]
            self.commits.append((lines[0]["value"]["summary"], sorted(files)))
            answer = {"commitUrl": f"http://{self.headers['Host']}/me/tuned/commit/1", "commitOid": "1" * 40}
        self.send(answer)

    def do_GET(self) -> None:
        self.send({"id": "me/tuned", "sha": "0" * 40, "siblings": []})

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def send(self, answer: dict[str, object]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Write no log."""


def test_uploads_after_an_epoch_and_at_the_end(tmp_path: Path) -> None:
    Hub.commits = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parents[3] / "support"), environment.get("PYTHONPATH", "")]
        )
        command = [sys.executable, "-c", SCRIPT, tmp_path / "tuned"]
        subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    finally:
        server.shutdown()
        server.server_close()
    assert Hub.commits[-1][0] == "End of training"
    assert {"README.md", "config.json", "model.safetensors", "checkpoint.weights.h5"} <= set(Hub.commits[-1][1])
    assert (tmp_path / "tuned" / "README.md").read_text().startswith("---\nlibrary_name: keras\nlicense: mit\n---")
