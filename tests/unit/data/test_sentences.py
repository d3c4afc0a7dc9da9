"""Sentence splitting, by hand-made examples of several scripts."""

from __future__ import annotations

import pytest

from bertkit.data.shards.sentences import split_sentences

SENTENCES = {
    "abbreviations": ["Mr. Smith and Dr. J. R. Jones met at 3 p.m. on Jan. 5.", "They paid $3.50 each, e.g. in coins."],
    "abbreviations that end": ["She lives in the U.S.", "He does not, etc.", "They left."],
    "quotes": ['"Stop!" he said.', '"Why?"', "(She did not know.)", "Then he left..."],
    "marks": ["Really?!", "Yes…", "No!!", "¿Por qué?", "¡Vamos!"],
    "list": ["1. First comes the title.", "Next is the text."],
    "German": ["Das ist z.B. richtig.", "Ärzte kamen.", "Über Nacht, bzw. am Morgen."],
    "Russian": ["Он пришёл.", "Она ушла!", "Почему?"],
    "Korean": ["영화가 정말 재미있었다.", "배우들의 연기도 좋고요!", "다시 볼까?", "3.5점을 준다."],
    "Arabic": ["هل أنت بخير؟", "نعم."],
    "Hindi": ["वह आया।", "वह गया।"],
}
JOINED = {
    "Japanese": ["彼は「明日行く。」と言った。", "雨が降る！", "「なぜ？」", "彼女は笑った。"],
    "Chinese": ["他说：“我来了。”", "真的吗？！", "是的。", "好"],
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences_with_blanks(name: str) -> None:
    assert split_sentences(" ".join(SENTENCES[name])) == SENTENCES[name]


@pytest.mark.parametrize("name", JOINED)
def test_sentences_without_blanks(name: str) -> None:
    assert split_sentences("".join(JOINED[name])) == JOINED[name]


def test_lines_and_blanks() -> None:
    assert split_sentences("A title\n\n  The text. It is  short. \r\n\t\nEnd") == [
        "A title", "The text.", "It is  short.", "End",
    ]  # fmt: skip
    assert split_sentences(" \n ") == []


def test_a_long_line_without_blanks_takes_linear_time() -> None:
    assert split_sentences("." * 200_000 + "a" * 200_000) == ["." * 200_000 + "a" * 200_000]
    assert len(split_sentences("?" * 50_000 + "\" ' " * 50_000)) < 3
