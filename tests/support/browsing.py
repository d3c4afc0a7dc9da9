"""Pages in Chromium, and what axe finds wrong with them for people with a keyboard or a screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIZES = [("light", 1280), ("light", 360), ("dark", 1280), ("dark", 360)]
EXTREMES = [("light", 1280), ("dark", 360)]


@contextmanager
def visiting(browser: Any, address: str, scheme: str = "light", width: int = 1280, **given: Any) -> Iterator[Any]:
    """The page, on which no script fails and nothing from elsewhere is loaded."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, **given)
    page = context.new_page()
    page.set_default_timeout(60_000)  # on a busy machine, a server loads its models for long
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Failed to load resource" not in line.text else None)
    page.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((address, "data:,")) else None)
    page.goto(address)
    yield page
    assert wrong == []
    context.close()


def violations(page: Any, *, least: str = "minor") -> list[str]:
    """What axe finds on a page: the impact, the rule, and the first element. Findings below the least impact are left out."""
    from axe_playwright_python.sync_playwright import Axe

    impacts = ("minor", "moderate", "serious", "critical")
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['nodes'][0]['html']}"
        for one in found
        if impacts.index(one["impact"]) >= impacts.index(least)
    ]
