"""Texts that are hard to normalize. They depend only on the seed, also across versions of Python."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

ALPHABETS: dict[str, list[tuple[int, int]]] = {
    "ascii": [(0x20, 0x7E)],
    "words and blanks": [(0x41, 0x46), (0x61, 0x66), (0x20, 0x20), (0x2C, 0x2E)],
    "controls": [(0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0xFFFD, 0xFFFD), (0xFEFF, 0xFEFF), (0x180E, 0x180E)],
    "zero width and blanks": [(0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000)],
    "latin": [(0xC0, 0x24F), (0x1E00, 0x1EFF), (0x130, 0x131), (0x212A, 0x212B)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF), (0x3A3, 0x3A3), (0x3A3, 0x3A3), (0x27, 0x27), (0x345, 0x345)],
    "sigmas": [(0x3A3, 0x3A3), (0x3A3, 0x3A3), (0x391, 0x392), (0x2019, 0x2019), (0x27, 0x27), (0x20, 0x20), (0x301, 0x301)],
    "marks": [(0x300, 0x36F), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x8CA, 0x902), (0x61, 0x65)],
    "semitic": [(0x591, 0x5F4), (0x600, 0x6FF), (0xFB1D, 0xFB4F)],
    "indic": [(0x900, 0xDFF), (0x958, 0x95F)],
    "vowels in two parts": [(0x9C7, 0x9D7), (0xB47, 0xB57), (0xBC6, 0xBD7), (0xCC6, 0xCD6), (0xDD9, 0xDDF), (0x1B05, 0x1B44)],
    "tibetan": [(0xF40, 0xFBC), (0xF71, 0xF84)],
    "jamo": [(0x1100, 0x1112), (0x1161, 0x1175), (0x11A7, 0x11C2), (0xAC00, 0xAC1C)],
    "hangul": [(0xAC00, 0xD7A3), (0x3130, 0x318F), (0xA960, 0xA97C), (0xD7B0, 0xD7FB)],
    "chinese": [(0x4E00, 0x4E40), (0x3400, 0x3410), (0xF900, 0xFAFF), (0x2B81E, 0x2B822), (0x2B91E, 0x2B922), (0x2F800, 0x2FA1F)],
    "japanese": [(0x3000, 0x30FF), (0xFF00, 0xFFEF)],
    "emoji": [(0x1F600, 0x1F64F), (0x1F3FB, 0x1F3FF), (0x200D, 0x200D), (0xFE0F, 0xFE0F), (0x1F468, 0x1F469), (0x1F1E6, 0x1F1FF)],
    # Characters with a combining class that are not non-spacing marks, so they are not removed.
    "left behind": [(0x302E, 0x302F), (0x1B44, 0x1B44), (0x1BAA, 0x1BAA), (0x1BF2, 0x1BF3), (0x1D15E, 0x1D172)],
    "left behind by old tables": [(0x8D4, 0x8E0), (0x1DFA, 0x1DFB), (0x11442, 0x11446), (0x1E000, 0x1E02A), (0x1E944, 0x1E94A)],
    "private and unassigned": [(0xE000, 0xE010), (0x378, 0x37A), (0x10FFFD, 0x10FFFF), (0xE0001, 0xE007F), (0x1FA70, 0x1FAFF)],
    "new": [(0x870, 0x8E1), (0xA7C0, 0xA7DC), (0x10570, 0x105BC), (0x11930, 0x11946), (0x16EA0, 0x16ED3), (0x1C80, 0x1C8A)],
    "all": [(0, 0xD7FF), (0xE000, 0x10FFFF)],
}  # fmt: skip
LENGTHS = (2, 5, 12, 40, 120)


def texts(seed: int, count: int) -> Iterator[str]:
    """Yield texts of 1 to 120 characters from one to five alphabets. One in a thousand is a word of 10,000 characters."""
    # Python promises the same numbers in all versions only for `random()`.
    numbers = random.Random(seed).random
    names = list(ALPHABETS)

    def below(limit: int) -> int:
        return int(numbers() * limit)

    for number in range(count):
        ranges = [bounds for _ in range(1 + below(5)) for bounds in ALPHABETS[names[below(len(names))]]]
        length = 10_000 if number % 1000 == 999 else 1 + below(LENGTHS[below(len(LENGTHS))])
        chosen = (ranges[below(len(ranges))] for _ in range(length))
        yield "".join(chr(first + below(last + 1 - first)) for first, last in chosen)


def code_points() -> list[int]:
    """Return all code points except surrogates."""
    return [*range(0xD800), *range(0xE000, 0x110000)]


def sample() -> list[int]:
    """Return a tenth of the code points: all in planes with scripts, the edges of blocks, and some in unassigned ranges."""
    dense = [
        range(0x3400),
        range(0xA000, 0xAC10),
        range(0xD790, 0xD800),
        range(0xF8FF, 0x14500),
        range(0x16000, 0x17000),
    ]
    dense += [range(0x1AFF0, 0x20002), range(0x2A6D0, 0x2A708), range(0x2B730, 0x2B748), range(0x2B818, 0x2B828)]
    dense += [range(0x2B918, 0x2B928), range(0x2CEA0, 0x2CEB8), range(0x2F800, 0x2FA24), range(0xE0000, 0xE0200)]
    chosen = {code for codes in dense for code in codes} | set(code_points()[::29])
    return sorted(chosen.intersection(code_points()))


def outcome(code: int, words: list[str]) -> str:
    """Encode the words of "a" + char + "a" as a line: `=` is the character, `_` a space, numbers are other characters."""
    inside = {chr(code): "=", " ": "_", "a": "a"}
    return "".join(inside.get(char, f"{ord(char):X},") for char in " ".join(words))


def digest(words: list[str]) -> bytes:
    """Return a digest of two bytes for a list of words."""
    return (zlib.crc32(" ".join(words).encode()) & 0xFFFF).to_bytes(2, "big")
