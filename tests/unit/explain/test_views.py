"""The four views of every explanation: terminal, page, picture, Jupyter."""

from __future__ import annotations

import base64
import builtins
import importlib.util
import re
import struct
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest
from explanations import TEXT, every
from html_page import Page

from bertkit import explain
from bertkit.errors import MissingExtraError
from bertkit.explain import Explanation
from bertkit.explain.markup import image, png
from bertkit.terminal import width
from bertkit.training.report.pictures import families, figure_of

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
    assert all('tabindex="0"' in start and "aria-label=" in start for start in scrolling)
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
    inner = unescape(frame.split('srcdoc="')[1].split('"></iframe>')[0])
    base = '<base href="about:srcdoc">'  # without it, the links in the frame lead to the notebook
    assert frame.count("<") == 2 and inner.count(base) == 1 and inner.replace(base, "") == found[kind].html()
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


def test_a_layer_that_is_passed_twice_is_shown_once() -> None:
    found = explain.attention(pipeline_models.folder("two"), TEXT, layers=[1, 1])
    page = Page(found.html())
    assert found.layers == (1,) and len(page.ids) == len(set(page.ids))


def many(count: int, words: int = 0) -> explain.Embeddings:
    """A map of many texts, of which many are at the same place."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count + words, 8)).astype(np.float32)
    near = ((explain.Neighbour("a text", 0.5),),) * count
    names = tuple(f"text {number} 東京は日本の首都です。" + "long " * 100 for number in range(count + words))
    places = np.round(rng.standard_normal((count + words, 2)) * 2).astype(np.float32)
    return explain.Embeddings(
        "tiny", names, count, vectors, vectors[:count] @ vectors[:count].T, near, places, vectors[0, :2] ** 2
    )


def test_a_map_of_many_texts(tmp_path: Path) -> None:
    found = many(1_000, 10)
    page = found.html()
    assert page.count("<circle") == page.count("</title></circle>") == 1_010 and 20 < page.count("<text ") <= 100
    assert "Point at one without a label to see its text." in page
    assert len(page) < 2_000_000 and "Similarity" not in page
    lines = str(found).splitlines()
    assert len(lines) < 130 and lines[-1] == "  900 more are not shown. The page has all."
    assert found.png(tmp_path / "picture.png").stat().st_size > 2_000


def test_no_label_is_on_another_one_or_outside() -> None:
    page = many(60).html().split('<svg class="map"')[1]
    bottom = int(re.findall(r'viewBox="0 0 640 (\d+)"', page)[0])
    found = re.findall(r'<text x="(\d+)" y="(\d+)" text-anchor="(\w+)"[^>]*>([^<]*)<', page)
    boxes = []
    for x, y, anchor, name in found:
        long = 6.5 * width(unescape(name))  # at 12 pixels
        left = int(x) - (long if anchor == "end" else 0)
        boxes.append((left, left + long, int(y)))
    assert (
        20 < len(boxes) <= 60
        and bottom <= 380 + 98
        and all(left >= 0 and right <= 640 and y < bottom for left, right, y in boxes)
    )
    for number, (left, right, y) in enumerate(boxes):
        for other, end, place in boxes[:number]:
            assert left >= end or other >= right or abs(y - place) >= 12


def test_the_picture_of_attributions_shows_the_check(found: dict[str, Explanation]) -> None:
    with figure_of((5, 5)) as figure:
        found["attribution"]._draw(figure)
        label = figure.axes[0].get_xlabel()
    assert " ".join(label.split()) in str(found["attribution"]) and "the error is" in label


def test_many_rows_and_tokens_are_cut(tmp_path: Path) -> None:
    words = pipeline_models.tokenizer()
    rows = explain.mask(words, ["soup", "a train"] * 150)
    assert "284 more rows of the batch are not shown." in str(rows) and "284 more rows" in rows.html()
    assert str(rows).count("Row ") == rows.html().count("<table>") == 16
    assert rows.png(tmp_path / "rows.png").stat().st_size > 2_000
    long = explain.tokens(words, "soup " * 1_000)
    assert long.png(tmp_path / "long.png").stat().st_size > 2_000 and long.html().count("<code>soup</code>") == 1_000
    mask = explain.mask(words, "soup " * 1_000)
    assert "874 more rows are not shown." in str(mask) and len(str(mask).splitlines()) < 140


def test_names_from_files_move_no_cursor() -> None:
    import bertkit

    model = bertkit.BertForSequenceClassification.from_pretrained(pipeline_models.folder("two"))
    model.config.id2label = {0: "\x1b[31mBAD", 1: "GOOD"}
    found = explain.attribution(model, TEXT, tokenizer=pipeline_models.tokenizer(), target="\x1b[31mBAD", steps=1)
    assert "\x1b" not in str(found) and "\\x1b[31mBAD" in str(found)


def test_fonts_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that matplotlib's own font lacks are drawn with fonts of the system."""
    font_manager = pytest.importorskip("matplotlib.font_manager", reason="matplotlib is not installed")
    entries = [font_manager.FontEntry(name=name) for name in ("Malgun Gothic", "DejaVu Sans", "Elsewhere")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    assert families() == ["DejaVu Sans", "Malgun Gothic"]
    assert families("DejaVu Sans Mono") == ["DejaVu Sans Mono", "DejaVu Sans", "Malgun Gothic"]


def test_a_picture_of_korean_and_japanese(monkeypatch: pytest.MonkeyPatch) -> None:
    font_manager = pytest.importorskip("matplotlib.font_manager", reason="matplotlib is not installed")
    from matplotlib import rcParams
    from matplotlib.ft2font import FT2Font

    paths = [path for path in font_manager.findSystemFonts() if "SansCJK" in path]
    if not paths:
        pytest.skip("this system has no font for Korean and Japanese: type apt-get install fonts-noto-cjk")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    for path in paths:
        font_manager.fontManager.addfont(path)
    with figure_of((2, 2)):
        fonts = [FT2Font(font_manager.findfont(name)) for name in rcParams["font.family"]]
    assert all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in "aé東한の")


def test_a_picture_of_an_array_has_its_values() -> None:
    matplotlib_image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    import io

    values = np.array([[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]])
    read = matplotlib_image.imread(io.BytesIO(png(values)))
    assert read.shape == (2, 3, 4)
    np.testing.assert_allclose(read[..., 3], values, atol=1 / 255)
