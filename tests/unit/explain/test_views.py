"""The four views of every explanation: terminal, page, picture, Jupyter."""

from __future__ import annotations

import base64
import builtins
import importlib.util
import re
import struct
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import finished_runs
import numpy as np
import pipeline_models
import pytest
from finished_runs import HOSTILE
from html_page import Page

from bertkit import explain
from bertkit.errors import MissingExtraError
from bertkit.explain import Explanation
from bertkit.explain.markup import image, png
from bertkit.terminal import width

TEXT = "The soup was cold, the waiter was rude."


@cache
def every(folder: Path) -> dict[str, Explanation]:
    words, two = pipeline_models.tokenizer(), pipeline_models.folder("two")
    return {
        "tokens": explain.tokens(words, TEXT, "Anna moved to Zürich."),
        "hostile tokens": explain.tokens(words, HOSTILE),
        "padding": explain.mask(words, [TEXT, "Anna moved."]),
        "packed": explain.mask(words, [TEXT, "Anna moved."], packed=True, causal=True),
        "long": explain.mask(words, " ".join(["soup"] * 100)),
        "cross": explain.mask(words, "Anna moved.", sources=TEXT),
        "attention": explain.attention(two, TEXT),
        "one head": explain.attention(two, TEXT, "Anna moved.", layers=[1], heads=[0]),
        "attribution": explain.attribution(two, TEXT, steps=4),
        "attention times gradient": explain.attribution(two, HOSTILE[:40], method="attention-gradient"),
        "texts": explain.embeddings(pipeline_models.folder("plain"), [TEXT, HOSTILE[:60], "Anna moved."]),
        "words": explain.embeddings(two, ["soup", "train"], words=True),
        "run": explain.training(finished_runs.write(folder / "run", "hostile labels")),
        "pretraining": explain.training(
            finished_runs.write(folder / "bare", "two labels", task="pretraining", model=None)
        ),
    }


KINDS = (
    "tokens", "hostile tokens", "padding", "packed", "long", "cross", "attention", "one head", "attribution",
    "attention times gradient", "texts", "words", "run", "pretraining",
)  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Explanation]:
    explanations = every(tmp_path_factory.mktemp("runs"))
    assert tuple(explanations) == KINDS
    return explanations


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_valid_and_loads_nothing(found: dict[str, Explanation], kind: str) -> None:
    text = found[kind].html()
    page = Page(text)
    assert not page.errors
    assert len(page.ids) == len(set(page.ids))
    assert not page.tags & {"script", "link", "iframe", "object", "image"}
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "prefers-color-scheme:dark" in text and "default-src 'none'" in text
    scrolling = re.findall(r'<div class="(?:scroll|grid)"[^>]*>', text)
    assert all('tabindex="0"' in start for start in scrolling if "<img" not in start) or kind == "long"
    assert all(value for name, value in page.attributes if name in ("alt", "aria-label"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_view_for_a_terminal(found: dict[str, Explanation], kind: str) -> None:
    explanation = found[kind]
    assert str(explanation) == repr(explanation) == explanation.text() and "\x1b" not in str(explanation)
    assert re.sub(r"\x1b\[[\d;]*m", "", explanation.text(80, colours=True)) == str(explanation)
    narrow = explanation.text(50).splitlines()
    if kind in ("padding", "packed", "long", "one head"):
        shaded = [line for line in narrow if "██" in line or "··" in line]
        assert shaded and max(map(width, shaded)) <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_and_the_view_in_jupyter(found: dict[str, Explanation], kind: str, tmp_path: Path) -> None:
    path = found[kind].png(tmp_path / "picture.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 2_000
    frame = found[kind]._repr_html_()
    assert frame.count("<") == 2 and unescape(frame.split('srcdoc="')[1].split('"></iframe>')[0]) == found[kind].html()
    assert found[kind].save_html(tmp_path / "page.html").read_text("utf-8") == found[kind].html()


def test_a_picture_without_matplotlib(
    found: dict[str, Explanation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pages need no matplotlib: a run has tables then."""
    real = importlib.util.find_spec
    missing = lambda name, *rest: None if name == "matplotlib" else real(name, *rest)  # noqa: E731
    monkeypatch.setattr("bertkit.explain.view.find_spec", missing)
    monkeypatch.setattr("bertkit.training.report.pictures.find_spec", missing)
    imported = builtins.__import__

    def no_matplotlib(name: str, *rest: Any) -> Any:
        assert not name.startswith("matplotlib")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(MissingExtraError, match="pip install matplotlib"):
        found["attention"].png(tmp_path / "picture.png")
    assert "<svg" not in found["run"].html() and all(found[kind].html() for kind in KINDS)


def test_a_large_picture_has_the_largest_values_of_its_parts() -> None:
    values = np.zeros((300, 10))
    values[299, 9] = 1
    source = image(values, "a name").split("base64,")[1].split('"')[0]
    assert struct.unpack(">II", base64.b64decode(source)[16:24]) == (10, 128)
    assert base64.b64decode(source) == png(np.concatenate([np.zeros((127, 10)), [[0] * 9 + [1]]]))


def test_a_picture_of_an_array_has_its_values() -> None:
    matplotlib_image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    import io

    values = np.array([[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]])
    read = matplotlib_image.imread(io.BytesIO(png(values)))
    assert read.shape == (2, 3, 4)
    np.testing.assert_allclose(read[..., 3], values, atol=1 / 255)
