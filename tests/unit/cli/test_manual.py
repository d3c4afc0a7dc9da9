"""All examples in the help of the commands run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import finished_runs
import pages
import pipeline_models
import pytest
import writing_cases

from bertkit.cli import COMMANDS, main
from bertkit.cli.manual import EXAMPLES

TEXTS = ["Anna moved to Paris.", "The soup was cold."]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "english").symlink_to(pipeline_models.folder("joint"))
    monkeypatch.setattr("bertkit.hub.place.ASSETS", tmp_path / "assets")
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    (tmp_path / "words.txt").write_text("paris\nphotosynthesis\n")
    (tmp_path / "masked.txt").write_text("The [MASK] was cold.\n")
    (tmp_path / "texts.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "pairs.tsv").write_text("text\ttext_pair\nShe came.\tShe went.\n")
    (tmp_path / "dev.tsv").write_text("text\tlabel\nA film.\tGOOD\nA soup.\tBAD\n")
    (tmp_path / "train.tsv").write_text("text\tlabel\nA film.\tGOOD\nA soup.\tBAD\n")
    (tmp_path / "dev.jsonl").write_text('{"body": "A film.", "gold": "GOOD"}\n')
    text = "Anna moved to Paris. The soup was cold.\n\nShe came. She went.\n\n"
    (tmp_path / "two-documents.txt").write_text(text * 3)
    tokenizer = str(pipeline_models.folder("masked"))
    assert main(["prepare", "two-documents.txt", "--tokenizer", tokenizer, "--out", "my-shards"]) == 0
    (tmp_path / "choices.jsonl").write_text('{"text": "It rains.", "choices": ["a", "b"]}\n')
    return tmp_path


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command != "serve"]
)  # tests/unit/serve starts it
def test_the_examples_of_a_command_run(command: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "explain training":
        finished_runs.write(files / "my-model", "two labels")
    folder = pipeline_models.folder(pages.MODELS.get(command, "masked"))
    model = str(writing_cases.pair_folder() if command == "summarize" else folder)
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    page = re.sub(r" \\\n +", " ", capsys.readouterr().out)  # lines that a shell reads as one
    assert len(EXAMPLES[command]) == 2
    for example in EXAMPLES[command]:
        assert page.count(f"  bertkit {command} {example}\n") == 1
        words, _, target = example.partition(" > ")
        assert main([*command.split(), *(model if word == "DIR" else word for word in shlex.split(words))]) == 0
        found = capsys.readouterr()
        output = next(
            (word for name, word in zip(words.split(), words.split()[1:], strict=False) if name == "--output"), ""
        )
        assert (files / output).stat().st_size > 10 if output else found.out or target
        assert "failed" not in found.err
