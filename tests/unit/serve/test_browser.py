"""The playground in Chromium: each task is clicked, typed and read, and its answer is that of the pipeline.

python -m pytest -m browser tests/unit/serve/test_browser.py    pictures of each task go to the folder in BERTKIT_SCREENSHOTS
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pipeline_models
import pytest
import serving
import uvicorn
import writing_cases
from browsing import EXTREMES, SIZES, violations, visiting

from bertkit import pipeline
from bertkit.serve.application import app_of
from bertkit.serve.server import Server

TEXT = "😀 Ludwig van Beethoven was born in Bonn. Anna moved to Paris & <b>Rome</b>."
MODELS = ("joint", "two", "names", "answers", "masked", "follows", "choices", "order", "plain")

pytestmark = pytest.mark.browser


@contextmanager
def listening(server: Server) -> Iterator[str]:
    """The address of a server in a thread."""
    config = uvicorn.Config(app_of(server), port=0, log_level="error", timeout_graceful_shutdown=1)
    host = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(host.serve()))
    thread.start()
    try:
        while not host.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{host.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        host.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with listening(Server(serving.settings(*MODELS, task="pretraining"))) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder for pictures."""
    found = Path(os.environ.get("BERTKIT_SCREENSHOTS") or tmp_path)
    found.mkdir(parents=True, exist_ok=True)
    return found


def choose(page: Any, model: str, title: str) -> None:
    page.get_by_role("combobox", name="Model", exact=True).select_option(model)
    page.get_by_role("combobox", name="Task", exact=True).select_option(label=title)


def run(page: Any) -> None:
    page.get_by_role("button", name="Run").click()
    page.locator("#answer[aria-busy=false]").wait_for()


def box(page: Any, name: str) -> Any:
    return page.get_by_role("textbox", name=name, exact=True)


def number(score: float) -> str:
    """A score as the page writes it."""
    if score != 0 and abs(score) < 0.0001:
        return re.sub(r"e([-+])0?", r"e\1", f"{score:.0e}")
    return f"{score:.4f}"


def bars(page: Any) -> list[list[str]]:
    """Names and scores of the bars."""
    return [
        [item.locator(".name").inner_text(), item.locator(".number").inner_text()]
        for item in page.locator(".bars li").all()
    ]


def close(found: list[list[str]], expected: list[tuple[str, float]]) -> None:
    """The same names in the same order, and the same scores but for the last digit."""
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [float(score) for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-4)


def answer(task: str, name: str, example: Any, **options: Any) -> Any:
    return pipeline_models.ours(task, name).each([example], **options)[0]


# What is typed for each task, and how its answer is read


def classify(page: Any) -> None:
    box(page, "Text").fill(TEXT)
    run(page)
    expected = answer("text-classification", "two", TEXT, top_k=10)
    close(bars(page), [(one["label"], one["score"]) for one in expected])
    widths = page.locator(".fill").evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
    whole = page.locator(".bar").first.evaluate("one => one.getBoundingClientRect().width")
    assert [width / whole for width in widths] == pytest.approx([one["score"] for one in expected], abs=0.01)
    assert expected[0]["label"] in page.locator("#spoken").inner_text()


def name_entities(page: Any) -> None:
    box(page, "Text").fill(TEXT)
    run(page)
    expected = answer("token-classification", "names", TEXT, aggregation_strategy="simple")
    assert expected
    marks = page.locator("mark").evaluate_all("all => all.map((one) => one.firstChild.textContent)")
    assert marks == [TEXT[one["start"] : one["end"]] for one in expected]
    assert page.locator("mark .kind").all_inner_texts() == [one["entity_group"] for one in expected]
    rows = [row.locator("td").all_inner_texts() for row in page.locator("#drawing tbody tr").all()]
    assert [row[1] for row in rows] == [one["entity_group"] for one in expected]


def answer_question(page: Any) -> None:
    box(page, "Question").fill("Where was Beethoven born?")
    box(page, "Text").fill(TEXT)
    run(page)
    expected = answer(
        "question-answering", "answers", {"question": "Where was Beethoven born?", "context": TEXT}, top_k=3
    )
    assert page.locator("mark").inner_text() == expected[0]["answer"]
    assert page.locator(".text").inner_text() == TEXT
    close(bars(page), [(one["answer"], one["score"]) for one in expected])


def fill_masks(page: Any) -> None:
    text = "The [MASK] runs from north to [MASK]."
    box(page, "Text with [MASK]").fill(text)
    page.get_by_label("Words to show").fill("3")
    run(page)
    expected = answer("fill-mask", "masked", text, top_k=3)
    close(bars(page), [(one["token_str"], one["score"]) for words in expected for one in words])
    first, second = (words[0]["token_str"] for words in expected)
    assert page.locator("#drawing .text").inner_text() == f"The {first} runs from north to {second}."


def choose_labels(page: Any) -> None:
    box(page, "Text").fill(TEXT)
    box(page, "Labels, with commas between them").fill("music, <img src=x>, law")
    page.get_by_label("Several labels may fit").check()
    run(page)
    labels = ["music", "<img src=x>", "law"]
    expected = answer("zero-shot-classification", "follows", TEXT, candidate_labels=labels, multi_label=True)
    close(bars(page), list(zip(expected["labels"], expected["scores"], strict=True)))
    assert page.locator("img").count() == 0


def choose_choices(page: Any) -> None:
    choices = ["He left.", "The soup was cold.", "Nobody knew why."]
    box(page, "Text").fill("It rains.")
    box(page, "Choices, one on each line").fill("\n".join(choices) + "\n\n")
    run(page)
    expected = answer("multiple-choice", "choices", {"text": "It rains.", "choices": choices})
    close(bars(page), [(one["choice"], one["score"]) for one in expected])


def follow(page: Any) -> None:
    box(page, "First text").fill("It rains.")
    box(page, "Second text").fill("We stay at home.")
    run(page)
    expected = answer(
        "next-sentence-prediction", "order", {"text": "It rains.", "text_pair": "We stay at home."}, top_k=2
    )
    found = [[name.partition(":")[0], score] for name, score in bars(page)]
    close(found, [(one["label"], one["score"]) for one in expected])


def compare(page: Any) -> None:
    sentences = ["It rains.", "Rain is expected.", "The soup was cold."]
    box(page, "Sentences, one on each line, 2 to 12").fill("\n".join(sentences))
    run(page)
    for source, row in zip(sentences, page.locator(".heat tbody tr").all(), strict=True):
        assert row.locator("th").inner_text().endswith(source)
        expected = answer("sentence-similarity", "plain", {"source_sentence": source, "sentences": sentences})
        assert [float(cell) for cell in row.locator("td").all_inner_texts()] == pytest.approx(expected, abs=0.006)


def embed(page: Any) -> None:
    box(page, "Text").fill(TEXT)
    page.get_by_label("combined by").select_option("cls")
    run(page)
    vector = answer("feature-extraction", "plain", TEXT, pooling="cls")
    cells = page.locator(".vector span")
    signs = cells.evaluate_all("all => all.map((one) => one.className)")
    assert signs == ["minus" if value < 0 else "plus" for value in vector]
    assert page.get_by_role("img", name=f"{len(vector)} numbers from {number(min(vector))}").count() == 1


def score(page: Any) -> None:
    box(page, "Text").fill("The soup was cold.")
    run(page)
    expected = answer("sentence-scoring", "masked", "The soup was cold.", tokens=True)
    assert page.locator(".tokens .name").all_inner_texts() == [one["token"] for one in expected["tokens"]]
    assert f"{expected['perplexity']:,.2f}"[:-2] in page.locator("#drawing p").first.inner_text()


def send_json(page: Any) -> None:
    example = {"text": "The [MASK] was cold.", "text_pair": "We left."}
    box(page, "Inputs, as JSON").fill(json.dumps(example))
    run(page)
    (found,) = json.loads(page.locator("#drawing pre").inner_text())
    expected = answer("pretraining", "joint", example)
    assert [one["token_str"] for one in found["masks"][0]] == [one["token_str"] for one in expected["masks"][0]]


PARTS: list[tuple[str, str, Callable[[Any], None]]] = [
    ("two", "Text classification", classify),
    ("names", "Named entities", name_entities),
    ("answers", "Question answering", answer_question),
    ("masked", "Fill in words", fill_masks),
    ("follows", "Classification with your labels", choose_labels),
    ("choices", "Multiple choice", choose_choices),
    ("order", "Next sentence", follow),
    ("plain", "Similarity", compare),
    ("plain", "Vector", embed),
    ("masked", "How usual a text is", score),
    ("joint", "pretraining", send_json),
]


@pytest.mark.parametrize(("model", "title", "use"), PARTS, ids=[use.__name__ for _, _, use in PARTS])
def test_task(browser: Any, address: str, folder: Path, model: str, title: str, use: Callable[[Any], None]) -> None:
    """The answer is read in light and dark, on a wide screen and on a phone, and nothing is wider than the screen."""
    for scheme, width in SIZES:
        with visiting(browser, address, scheme, width) as page:
            choose(page, model, title)
            use(page)
            assert page.locator("#status").inner_text().startswith("Answered in ")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert (scheme, width) not in EXTREMES or violations(page) == []
            page.screenshot(path=folder / f"{use.__name__}-{scheme}-{width}.png", full_page=True)


@pytest.fixture(scope="module")
def writers() -> Iterator[str]:
    """The address of a server with models that write."""
    models = {"decoder": str(pipeline_models.folder("decoder")), "pair": str(writing_cases.pair_folder())}
    with listening(Server(serving.settings(models=models, engine="torch"))) as found:
        yield found


@pytest.mark.parametrize(
    ("model", "title", "task", "name"),
    [
        ("decoder", "Continue a text", "text-generation", "Beginning of the text"),
        ("pair", "Summary", "summarization", "Text"),
        ("pair", "Text to text", "text2text-generation", "Text"),
    ],
)
def test_task_that_writes(
    browser: Any, writers: str, folder: Path, model: str, title: str, task: str, name: str
) -> None:
    with visiting(browser, writers) as page:
        choose(page, model, title)
        box(page, name).fill(TEXT)
        form = page.locator("fieldset:enabled")
        form.get_by_label("New words at most").fill("5")
        beams = {} if task == "text-generation" else {"num_beams": 2}
        if beams:
            form.get_by_label("Beams").fill("2")
        else:
            form.get_by_label("Choose words at random").uncheck()
        run(page)
        place = writing_cases.pair_folder() if model == "pair" else pipeline_models.folder("decoder")
        options = {"max_new_tokens": 5, "do_sample": False, **beams}
        (expected,) = pipeline(task, place, engine="torch").each([TEXT], **options)[0][0].values()
        assert page.locator("#drawing .text").text_content() == expected
        if task == "text-generation":
            assert page.locator("mark").text_content() == expected.removeprefix(TEXT)
        page.screenshot(path=folder / f"{task}.png", full_page=True)


def test_the_lines_of_code_give_the_same_answer(browser: Any, address: str) -> None:
    text = "It's 5 o'clock: \"now\" \\n 😀 $HOME `x`\nA second line é"
    with visiting(browser, address) as page:
        choose(page, "follows", "Classification with your labels")
        box(page, "Text").fill(text)
        run(page)
        raw = json.loads(page.locator("#raw pre").text_content())
        curl, python = page.locator("#curl").text_content(), page.locator("#python").text_content()
    of_curl = subprocess.run(["bash", "-c", curl], capture_output=True, check=True, timeout=60).stdout
    of_python = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, check=True, timeout=60, text=True
    ).stdout
    assert raw["results"][0]["answer"]["sequence"] == text
    assert json.loads(of_curl) == raw
    assert of_python.strip() == repr(raw["results"])


def test_the_keyboard_is_enough(browser: Any, address: str) -> None:
    with visiting(browser, address) as page:
        page.locator("#form").wait_for()
        seen = []
        for _ in range(20):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
            if seen[-1] == "model":
                page.keyboard.type("two")  # chooses the option that begins so
        expected = ["model", "task", "text", "text_pair", "top_k", "run"]
        assert seen[: len(expected)] == expected
        box(page, "Text").focus()
        page.keyboard.press("Control+Enter")
        page.locator("#answer[aria-busy=false]").wait_for()
        assert bars(page)[0][0] in ("BAD", "GOOD")


def test_an_answer_is_announced(browser: Any, address: str) -> None:
    with visiting(browser, address) as page:
        choose(page, "two", "Text classification")
        run(page)
        roles = [page.locator(name).get_attribute("role") for name in ("#status", "#spoken", "#problem")]
        assert roles == ["status", "status", "alert"]
        assert page.locator("#spoken").inner_text().startswith("Answer: ")


def test_refusals_are_shown(browser: Any, address: str) -> None:
    with visiting(browser, address) as page:
        choose(page, "masked", "Fill in words")
        box(page, "Text with [MASK]").fill("no mask")
        run(page)
        assert "The text has no [MASK]" in page.get_by_role("alert").inner_text()
        assert page.locator("#drawing").inner_text() == ""
        choose(page, "plain", "Similarity")
        assert page.get_by_role("alert").count() == 0
        box(page, "Sentences, one on each line, 2 to 12").fill("one")
        page.get_by_role("button", name="Run").click()
        assert "There are 1 sentences" in page.get_by_role("alert").inner_text()
        choose(page, "joint", "pretraining")
        box(page, "Inputs, as JSON").fill("{")
        page.get_by_role("button", name="Run").click()
        assert "not JSON" in page.get_by_role("alert").inner_text()
        choose(page, "two", "Text classification")
        page.context.set_offline(True)
        run(page)
        assert "does not answer" in page.get_by_role("alert").inner_text()
        page.context.set_offline(False)
        run(page)
        assert page.get_by_role("alert").count() == 0
        assert len(bars(page)) == 2


def test_a_key(browser: Any, folder: Path) -> None:
    server = Server(serving.settings("two", api_key="a-secret"))
    with listening(server) as address, visiting(browser, address, width=360) as page:
        page.get_by_role("alert").get_by_text("This server needs a key.").wait_for()
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_role("alert").get_by_text("does not accept this key").wait_for()
        assert violations(page) == []
        page.screenshot(path=folder / "key-light-360.png", full_page=True)
        page.get_by_label("API key").fill("a-secret")
        page.keyboard.press("Enter")
        page.locator("#form").wait_for()
        run(page)
        assert len(bars(page)) == 2
        assert "$BERTKIT_API_KEY" in page.locator("#curl").inner_text()
        curl, python = page.locator("#curl").text_content(), page.locator("#python").text_content()
        assert "a-secret" not in page.content()
        assert page.get_by_role("link").count() == 0  # a link cannot send the key
        assert page.get_by_label("API key").input_value() == ""
        assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        given = {**os.environ, "BERTKIT_API_KEY": "a-secret"}
        for command in (["bash", "-c", curl], [sys.executable, "-c", python]):
            done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True, env=given)
            assert bars(page)[0][0] in done.stdout


def test_a_server_that_is_loading(browser: Any) -> None:
    server, may_load = Server(serving.settings("two")), threading.Event()
    load = server.load
    server.load = lambda: (may_load.wait(), load())  # type: ignore[method-assign]
    with listening(server) as address, visiting(browser, address) as page:
        page.get_by_role("status").get_by_text("still loading").wait_for()
        assert page.locator("#form").is_hidden()
        may_load.set()
        page.locator("#form").wait_for()
        run(page)
        assert len(bars(page)) == 2
