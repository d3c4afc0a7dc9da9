"""The playground without a browser: one document, nothing from elsewhere, a form for each task."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
import serving
from html_page import Page
from starlette.testclient import TestClient

from bertkit.serve.application import app_of
from bertkit.serve.models import _FOR_TRAINING
from bertkit.serve.page import page
from bertkit.serve.server import Server
from bertkit.tasks import TASKS

FORMS = {name for name in TASKS if name not in _FOR_TRAINING}  # those with a route


class Controls(HTMLParser):
    """The controls of each form, and those outside a label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: dict[str, list[str]] = {}
        self.without_label: list[str] = []
        self._form, self._in_label = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "fieldset":
            self._form = given["data-task"]
            self.forms[self._form] = []
        elif tag == "label":
            self._in_label = True
        elif tag in ("input", "select", "textarea"):
            self.forms.setdefault(self._form, []).append(given.get("name", given.get("id", "")))
            if not self._in_label:
                self.without_label.append(given.get("name", tag))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._in_label = False
        elif tag == "fieldset":
            self._form = ""


def part(text: str, tag: str) -> str:
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return str(found)


def test_one_document() -> None:
    text, _ = page()
    parsed = Page(text)
    assert parsed.errors == []
    assert set(parsed.links) == {"data:,", "openapi.json"}
    assert len(parsed.ids) == len(set(parsed.ids))
    assert re.findall(r"https?:|[\"'`(]//", text) == []
    assert not any(name == "style" or name.startswith("on") for name, _ in parsed.attributes)


def test_only_its_own_scripts_run() -> None:
    text, headers = page()
    policy = dict(line.split(" ", 1) for line in headers["content-security-policy"].split("; "))
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        found = base64.b64encode(hashlib.sha256(part(text, tag).encode()).digest()).decode()
        assert policy[name] == f"'sha256-{found}'"
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "cookie"):
        assert word not in text


def test_a_form_for_each_task() -> None:
    text, _ = page()
    controls = Controls(text)
    assert controls.without_label == []
    assert set(controls.forms) == FORMS | {"other", ""}
    sent = set(re.findall(r'^  "([a-z0-9-]+)": \{$', part(text, "script"), re.MULTILINE))
    assert sent == FORMS
    for task in FORMS:
        fields = re.search(rf'"{task}": \{{\n(.*?)^  \}},', part(text, "script"), re.DOTALL | re.MULTILINE)
        assert fields is not None
        assert set(re.findall(r"\bform\.(\w+)", fields[1])) == set(controls.forms[task])


@pytest.mark.parametrize("ready", [False, True])
def test_it_needs_no_key(ready: bool) -> None:
    """It is also sent while the models are loading."""
    server = Server(serving.settings("two", api_key="secret"))
    if ready:
        server.load()
    client = TestClient(app_of(server))
    found = client.get("/")
    assert found.status_code == 200
    assert found.text == page()[0]
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert found.headers["content-security-policy"] == page()[1]["content-security-policy"]
    assert client.get("/v1/models").status_code == 401
    assert "secret" not in found.text
