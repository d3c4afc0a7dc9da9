"""The pages of the documentation: their blocks of code and links, and a reader who types all of it."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LANGUAGES = ("ko", "ja")
TRANSLATED = re.compile(r"\.(ko|ja)(?=\.md$)")

BLOCK = re.compile(
    r'(?:^<!-- (not run[^>]*?) -->\n+)?^```(\w*)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)")
RUN = ("python", "bash", "sh")
"""The languages of blocks that run. The others are outputs, files and diagrams."""

MODELS = {
    "classify": "two",
    "ner": "names",
    "qa": "answers",
    "embed": "plain",
    "similarity": "plain",
    "nsp": "order",
    "choose": "choices",
    "zero-shot": "follows",
    "predict": "two",
    "bench": "two",
    "evaluate": "two",
    "generate": "decoder",
    "export": "two",
    "explain attribution": "two",
    # the last words of routes, and the names of guides
    "text_classification": "two",
    "token_classification": "names",
    "question_answering": "answers",
    "next_sentence": "order",
    "multiple_choice": "choices",
    "search": "plain",
    "zero_shot": "follows",
    "question-answering": "answers",
    "feature-extraction": "plain",
    "rerank": "stars",
}
"""Command, route or guide -> the tiny model of pipeline_cases that DIR stands for; for the others "masked"."""


def pages(language: str = "en") -> list[Path]:
    """Return the pages of a language. The log is no page of the site."""
    found = {path: TRANSLATED.search(path.name) for path in sorted(DOCS.rglob("*.md")) if path.name != "log.md"}
    return [path for path, other in found.items() if (other[1] if other else "en") == language]


@dataclass(frozen=True)
class Block:
    """A block of code. reason: why it does not run, if a comment says so. file: the file that it shows."""

    language: str
    text: str
    reason: str = ""
    file: str = ""


def blocks(text: str) -> list[Block]:
    r"""Return the blocks of a page.

    >>> blocks("<!-- not run: needs a GPU -->\n```bash\nnvidia-smi\n```\n")
    [Block(language='bash', text='nvidia-smi\n', reason='needs a GPU', file='')]
    """
    return [Block(name, code, why.partition(":")[2].strip(), file) for why, name, file, code in BLOCK.findall(text)]


def prose(text: str) -> str:
    """Return a page without its code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`(?!\])", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Return the targets of the links and pictures of a page."""
    return LINK.findall(prose(text))


def script(name: str) -> ModuleType:
    """Import a script of the site, such as scripts/anchors.py, which gives headings their anchors."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Reader:
    """One who types the blocks of a page, one after the other, in a folder.

    folder_of: the model that DIR is, by the command. Scripts start anew, sessions (>>>) go on. apart: scripts write what commands
    have written, so each runs in a folder of its own.
    """

    def __init__(self, name: str, folder_of: Callable[[str], str], apart: bool = False) -> None:
        self.name, self.folder_of, self.apart = name, folder_of, apart
        self.session: dict[str, Any] = {"__name__": "__main__"}
        self.opened = contextlib.ExitStack()
        self.client: Any = None
        self.count = 0

    def close(self) -> None:
        self.opened.close()

    def type(self, block: Block) -> str:
        """Run a block, or write the file that it shows, and return what was printed. An error fails the test."""
        self.count += 1
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
            return ""
        if block.language == "python" and block.text.startswith(">>>"):
            return self._session(block.text)
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")) as printed:
            if block.language == "python":
                apart = contextlib.chdir(tempfile.mkdtemp(dir=".")) if self.apart else contextlib.nullcontext()
                with apart:
                    exec(compile(block.text, self.name, "exec"), {"__name__": "__main__"})
            else:
                for line in lines(block.text):
                    self._command(line)
        printed.seek(0)
        return printed.read()

    def _session(self, text: str) -> str:
        name = f"{self.name} block {self.count}"  # TensorFlow finds the source of a function by the name of its file
        test = doctest.DocTestParser().get_doctest(text, self.session, name, name, 0)
        failed = io.StringIO()
        found = doctest.DocTestRunner().run(test, out=failed.write, clear_globs=False)
        self.session.update(test.globs)  # the parser copies them
        assert found.failed == 0, failed.getvalue()
        return ""

    def _command(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        plain = not re.search(r"[|<>]|&&|^\w+=", re.sub(r"'[^']*'|\"[^\"]*\"", "", line))
        if words[:2] == ["bertkit", "serve"]:
            self._serve(words[2:])
        elif words[0] == "curl":
            self._curl(words[1:])
        elif words[0] == "bertkit" and plain:
            from bertkit.cli import main

            assert main(self._with_model(words[1:])) == 0, line
        else:
            bin_folder = str(Path(sys.executable).parent)
            environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
            line = re.sub(r"\bDIR\b", self.folder_of("embed"), line)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line], env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"

    def _with_model(self, words: list[str]) -> list[str]:
        command = " ".join(words[:2]) if words[0] == "explain" else words[0]
        return [re.sub(r"^(\w+=)?DIR$", rf"\g<1>{self.folder_of(command)}", word) for word in words]

    def _serve(self, words: list[str]) -> None:
        """Answer the requests that follow, by the application that `bertkit serve` would run."""
        models = [words[place + 1] for place, word in enumerate(words) if word == "--model"]
        named = [model.rpartition("=")[::2] for model in models]
        self.client = self._client({name or Path(path).name: path for name, path in named})

    def _client(self, models: dict[str, str]) -> Any:
        from starlette.testclient import TestClient

        from bertkit.serve import Settings
        from bertkit.serve.application import app_of
        from bertkit.serve.server import Server

        server = Server(Settings(models=models))
        client = self.opened.enter_context(TestClient(app_of(server), base_url="http://localhost:8080"))
        until = time.monotonic() + 60
        while not server.ready and time.monotonic() < until:
            time.sleep(0.005)
        assert server.ready
        return client

    def _curl(self, words: list[str]) -> None:
        """Send a request as curl would."""
        headers, body, address = {}, None, ""
        rest = iter(words)
        for word in rest:
            if word in ("-H", "--header"):
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            elif word in ("-d", "--data"):
                body = next(rest)
            elif not word.startswith("-"):
                address = word
        path = "/" + address.removeprefix("http://").partition("/")[2]
        client = self.client or self._client({"model": self.folder_of(path.rpartition("/")[2])})
        answer = client.request("GET" if body is None else "POST", path, headers=headers, content=body)
        assert answer.status_code == 200, (words, answer.text)
        print(answer.text)


def lines(text: str) -> Iterator[str]:
    """Yield the commands of a block of a shell, without comments and with their continuations."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()
