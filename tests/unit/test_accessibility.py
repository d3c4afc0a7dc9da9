"""Pages in Chromium: axe finds nothing wrong for people with a keyboard or a screen reader, and none is wider than the screen.

python -m pytest -m browser tests/unit/test_accessibility.py

The playground is in tests/unit/serve/test_browser.py. The site is that of `mkdocs build`, in the folder site.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import explanations
import finished_runs
import pytest
from browsing import EXTREMES, violations, visiting

from bertkit.training.report import write_report

SITE = Path(__file__).parents[2] / "site"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the site."""
    if not os.environ.get("CI") and not SITE.is_dir():
        pytest.skip("needs the site: type mkdocs build")
    handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=SITE))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def check(browser: Any, path: Path) -> None:
    for scheme, width in EXTREMES:
        with visiting(browser, path.as_uri(), scheme, width) as page:
            assert page.evaluate("document.documentElement.scrollWidth") == width, (path.name, width)
            assert violations(page) == [], (path.name, scheme, width)


def test_explanations(browser: Any, tmp_path: Path) -> None:
    for name, one in explanations.every(tmp_path).items():
        check(browser, one.save_html(tmp_path / f"{name}.html"))


@pytest.mark.parametrize("kind", ["many labels", "regression", "entities", "choices"])
def test_reports(browser: Any, tmp_path: Path, kind: str) -> None:
    check(browser, write_report(finished_runs.write(tmp_path, kind)))


@pytest.mark.parametrize(
    "page",
    [
        "index.html",
        "ko/index.html",
        "ja/index.html",
        "architecture.html",
        "explain.html",
        "ko/tutorial/vectors.html",
        "ja/builtin.html",
        "ko/models.html",
    ],
)
def test_the_site(browser: Any, site: str, page: str) -> None:
    """One minor finding is left: the theme's button of the menu is a label."""
    for scheme, width in EXTREMES:
        with visiting(browser, site, scheme, width) as opened:
            opened.goto(site + page)
            assert opened.evaluate("document.documentElement.scrollWidth") == width
            assert violations(opened, least="moderate") == [], (page, scheme, width)


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("", "fine-tuning"),
        ("", "from_pretrained"),
        ("ko/", "학습률"),
        ("ko/", "BertModel"),
        ("ja/", "学習率"),
        ("ja/", "BertModel"),
    ],
)
def test_a_search_finds_pages_of_its_language(browser: Any, site: str, folder: str, text: str) -> None:
    with visiting(browser, site) as page:
        page.goto(f"{site}{folder}guides/speed.html")
        page.locator("input[name=query]").fill(text)
        first = page.locator(".md-search-result__list > li > a")
        first.first.wait_for()
        found = [link.get_attribute("href").removeprefix(site) for link in first.all()]
    languages = {link.split("/")[0] if link.startswith(("ko/", "ja/")) else "" for link in found}
    assert languages == {folder.rstrip("/")}, found


def test_the_menu_of_a_phone_opens_by_the_keyboard(browser: Any, site: str) -> None:
    """Until it is open, its links are no stops of the keyboard."""
    stop = "document.activeElement.closest('.md-sidebar--primary') !== null"
    with visiting(browser, site, width=360) as page:
        for _ in range(12):
            page.keyboard.press("Tab")
            assert not page.evaluate(stop)
        page.get_by_role("button", name="Menu").focus()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Installation").first.focus()
        assert page.evaluate(stop)
