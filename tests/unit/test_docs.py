"""The pages of the site: blocks of code run or say why not, links have targets, the menu has all pages, translations follow."""

from __future__ import annotations

import doctest
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pages
import pipeline_cases
import pipeline_models
import pytest
import tiny
import writing_cases
import yaml

import bertkit

PAGES = [str(path.relative_to(pages.DOCS)) for path in pages.pages()]
ANCHORS = pages.script("anchors")

PRINTED = {"fine_tuning.md": [["good"], [], ["good", "bad"]]}
"""Page -> the labels that its scripts print, as they predict those of their training texts."""

SENTENCES = ["Anna moved to Paris.", "The soup was cold.", "She came and went.", "The train leaves at seven."]


def of_rows(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


LABELLED = "text\tlabel\nA film to see twice.\tGOOD\nA cold soup.\tBAD\nWhat a joy!\tGOOD\nFar too long.\tBAD\n"
GLUE = (
    "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tAnna sings.\tAnna is singing.\n0\t3\t4\tIt rains.\tHe ran.\n"
)
PAIRS = [{"text": "It rains.", "text_pair": "Rain falls."}, {"text": "Anna sings.", "text_pair": "A song by Anna."}]
FILES = {
    "texts.txt": "".join(f"{text}\n" for text in SENTENCES),
    "documents.txt": "\n\n".join([" ".join(SENTENCES)] * 12) + "\n",
    "article.txt": " ".join(SENTENCES) + "\n",
    "words.txt": "paris\nphotosynthesis\n",
    "train.tsv": LABELLED,
    "dev.tsv": LABELLED,
    "MRPC/train.tsv": GLUE,
    "MRPC/dev.tsv": GLUE,
    "pairs.jsonl": of_rows(PAIRS),
    "news.jsonl": of_rows([{"body": text} for text in SENTENCES]),
    "articles.jsonl": of_rows([{"text": " ".join(SENTENCES)}]),
    "train.jsonl": of_rows([{"text": " ".join(SENTENCES), "summary": "Anna moved."}]),
    "dev.jsonl": of_rows([{"text": " ".join(SENTENCES), "summary": "Anna moved."}]),
}
OF_PAGE = {
    "embeddings.md": {"dev.jsonl": of_rows(PAIRS)},
    "evaluation.md": {"dev.jsonl": of_rows([{"body": "A film.", "gold": "GOOD"}, {"body": "Soup.", "gold": "BAD"}])},
}
"""Page -> files that have another form there."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Head -> the folder of a model with 512 positions, as those of the pages have."""
    found = {}
    for head in ("ForPreTraining", "ForSequenceClassification"):
        found[head] = tmp_path_factory.mktemp("base") / head
        config = pipeline_cases.config("two" if head == "ForSequenceClassification" else "joint")
        config.max_position_embeddings, config.num_hidden_layers = 512, 4
        bertkit.save_checkpoint(found[head], tiny.trained(config, head), config, head)
        bertkit.BertTokenizerFast(pipeline_cases.vocabulary(), model_max_length=512).save_pretrained(found[head])
    return found


@pytest.fixture
def reader(
    request: pytest.FixtureRequest, base: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pages.Reader]:
    """A reader in a folder with files of every kind. The model that pages call bert-base-uncased is a tiny one."""

    def folder_of(command: str) -> str:
        if command == "export":
            return str(base["ForSequenceClassification"])
        pair = command in ("summarize", "summarization")
        return str(writing_cases.pair_folder() if pair else pipeline_models.folder(pages.MODELS.get(command, "masked")))

    name = request.node.callspec.params["page"]
    monkeypatch.chdir(tmp_path)
    for path, text in {**FILES, **OF_PAGE.get(name, {})}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "texts.gz").write_bytes(gzip.compress(FILES["texts.txt"].encode()))
    (tmp_path / "bert-base-uncased").symlink_to(base["ForPreTraining"])
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "english").symlink_to(pipeline_models.folder("joint"))
    monkeypatch.setattr("bertkit.hub.place.ASSETS", tmp_path / "assets")
    (tmp_path / "bert-base-cased").symlink_to(base["ForPreTraining"])
    (tmp_path / "DIR").symlink_to(folder_of(Path(name).stem))
    reader = pages.Reader(name, folder_of, apart=name in PRINTED)
    yield reader
    reader.close()


@pytest.mark.filterwarnings("ignore")  # those of the Trainer and of PyTorch's tracer
@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("tutorial/")])
def test_the_blocks_of_a_page_run(page: str, reader: pages.Reader) -> None:
    """In order, in one folder. Blocks of the README run in tests/test_readme.py, the tutorial in tests/unit/test_tutorial.py."""
    elsewhere = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    found = pages.blocks((pages.DOCS / page).read_text(encoding="utf-8"))
    printed = []
    for block in found:
        runs = block.language in pages.RUN or block.file
        if runs and not block.reason and block.text not in elsewhere:
            output = reader.type(block)
            printed += [output] if not block.text.startswith(">>>") and block.language == "python" else []
    for output, labels in zip(printed, PRINTED.get(page, []), strict=page in PRINTED):
        assert re.findall(r"'label': '(\w+)'", output) == labels


def test_blocks_have_known_languages() -> None:
    """A block without a language would neither run nor say why."""
    for page in PAGES:
        for block in pages.blocks((pages.DOCS / page).read_text(encoding="utf-8")):
            assert block.language in (*pages.RUN, "text", "hcl", "dockerfile"), (page, block.text)


def every_page() -> list[Path]:
    return [page for language in ("en", *pages.LANGUAGES) for page in pages.pages(language)]


def targets(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the links of a page to other files: as written, the file, the anchor."""
    for link in pages.links(page.read_text(encoding="utf-8")):
        if not re.match(r"\w+:", link):
            path, _, anchor = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, anchor


def test_no_link_is_dead() -> None:
    """A translation may link to the English page, which the site replaces. Its headings have the anchors of the English ones."""
    for page in [*every_page(), *pages.ROOT.glob("*.md")]:
        for link, path, anchor in targets(page):
            assert path.is_file(), (page, link)
            english = path.with_name(pages.TRANSLATED.sub("", path.name))
            assert not anchor or anchor in ANCHORS.anchors(english.read_text(encoding="utf-8")), (page, link)


def test_pages_load_nothing_from_other_servers() -> None:
    for page in every_page():
        text = pages.prose(page.read_text(encoding="utf-8"))
        assert not re.search(r"!\[[^]]*\]\(\w+:|<(script|img|link|iframe)\b", text), page


def test_tests_that_run_a_block_elsewhere_exist() -> None:
    for page in pages.pages():
        for block in pages.blocks(page.read_text(encoding="utf-8")):
            for name in re.findall(r"tests/[\w/]+(?:\.py)?", block.reason):
                assert (pages.ROOT / name).exists(), (page, name)


def test_the_menu_has_all_pages() -> None:
    def files(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for inner in entry if isinstance(entry, list) else entry.values() if isinstance(entry, dict) else ():
            yield from files(inner)

    settings = yaml.safe_load((pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    menu = list(files(settings["nav"]))
    assert sorted(menu) == sorted(PAGES)
    assert settings["theme"]["font"] is False
    languages = next(plugin["i18n"]["languages"] for plugin in settings["plugins"] if "i18n" in plugin)
    assert [language["locale"] for language in languages] == ["en", *pages.LANGUAGES]


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_translations_follow_the_english_pages(language: str) -> None:
    """The same pages but those of the API, the same levels of headings, and the same blocks of code."""
    own = {path: path.with_name(pages.TRANSLATED.sub("", path.name)) for path in pages.pages(language)}
    assert set(own.values()) == {page for page in pages.pages() if page.parent.name != "api"}
    for path, english in own.items():
        ours, its = (page.read_text(encoding="utf-8") for page in (path, english))
        assert levels(ours) == levels(its), path
        assert code(ours) == code(its), f"the blocks of {path} are not those of {english}: copy them"


def levels(text: str) -> list[int]:
    return [level for level, _ in ANCHORS.headings(text)]


def code(text: str) -> list[tuple[str, str, str]]:
    return [(block.language, block.file, block.text) for block in pages.blocks(text)]


def test_what_is_read_of_a_page() -> None:
    page = "# One\n\n```bash\nls  # a\n```\n## Two\n"
    assert ANCHORS.headings(page) == [(1, "One"), (2, "Two")]
    assert pages.blocks(page) == [pages.Block("bash", "ls  # a\n")]
    assert pages.links("[a](b.md#c) `[d](e)` ![f](g.png)\n```text\n[h](i)\n```\n") == ["b.md#c", "g.png"]


@pytest.mark.parametrize("name", ["anchors", "theme"])
def test_examples_of_the_hooks(name: str) -> None:
    found = doctest.testmod(pages.script(name))
    assert found.attempted and not found.failed


def test_the_picture_of_the_rooms_follows_the_contract() -> None:
    """If it does not: python scripts/rooms.py > docs/rooms.svg. Those who do not see it get the same order in words."""
    rooms = pages.script("rooms")
    layers = rooms.layers()
    assert rooms.drawing(layers) + "\n" == (pages.DOCS / "rooms.svg").read_text(encoding="utf-8")
    every = [name for row in layers for name in row]
    for page in every_page():
        if page.name.startswith("architecture."):
            text = page.read_text(encoding="utf-8")
            (described,) = re.findall(r"!\[([^]]*)\]\(rooms\.svg\)", text)
            named = [name for name in re.findall(r"[a-z_]+", described) if name in every]
            assert named == [name for name in every if name in named]
            assert set(re.findall(r"^\| `(\w+)(?:\.py)?` \|", text, re.MULTILINE)) <= set(named)
