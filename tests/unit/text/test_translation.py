"""The arrays do what `str.translate` does."""

from __future__ import annotations

import threading

import nasty

from bertkit.text.wordpiece import translation
from bertkit.text.wordpiece.translation import Memo, Translation


def make(code: int) -> str:
    """Zero to three characters."""
    return "".join(chr((code + step) % 0xD800) for step in range(code % 4))


def test_like_str_translate() -> None:
    translate = Translation(make)
    for text in nasty.texts(seed=5, count=1000):
        for length in (1, 1 + translation._LONG // len(text)):
            long = text * length
            assert translate(long) == long.translate({ord(char): make(ord(char)) for char in long})
    assert translate("\x04" * 1000) == "" == translate("")


def test_threads_share_one() -> None:
    translate, texts = Translation(make), [text * 100 for text in nasty.texts(seed=6, count=200)]
    wanted, got = [Translation(make)(text) for text in texts], [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda out=out: out.extend(map(translate, texts))) for out in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(out == wanted for out in got)


def test_memo_is_bounded() -> None:
    memo = Memo(str)
    text = "".join(map(chr, range(0x10000, 0x10000 + 3 * translation._LARGEST_MEMO)))
    assert text.translate(memo) == "".join(str(ord(char)) for char in text)
    assert len(memo) <= translation._LARGEST_MEMO
