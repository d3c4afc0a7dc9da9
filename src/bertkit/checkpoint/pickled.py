"""The part of pickle that a file of tensors needs, read by a machine that cannot run anything.

A pickle is a program: each byte tells a small stack machine to push a value, to gather what lies above a mark, or to
fetch a function by its name and call it. Python's own reader will call any function there is, which is how a checkpoint
takes over a computer. The machine here knows the instructions that build plain values, and for the rest it has a table
of names, each with a function of ours. A name outside the table ends the reading.

Nothing here recurses into the values it builds, or hashes anything but texts and short integers, so their depth costs
nothing. Whatever the file says, MAX_STEPS and MAX_BYTES bound the time and the memory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence

from bertkit.errors import FileFormatError, UnsafeFileError, printable

MAX_STEPS = 200_000  # BERT-large with the state of its Adam takes 52,000
MAX_BYTES = 4 * 2**20  # the same takes 173,000
_MAX_INTEGER = 16  # bytes; the magic number of old PyTorch files has ten
_MAX_NAME = 200
_INSTEAD = "Take the model.safetensors of the same model, or save one with the program that wrote this file."

Builder = Callable[[tuple[object, ...]], object]
"""Stands for a function that a pickle may call: gets the arguments, gives None when they cannot be right."""


def load(
    data: memoryview, names: Mapping[str, object], outside: Callable[[object], object], what: str
) -> tuple[object, int]:
    """The value of the pickle that `data` begins with, and the number of its bytes.

    `names` says what a global such as "collections.OrderedDict" stands for: a `Builder` if it may be called.
    `outside` turns a persistent id into the object that lies outside of the pickle, or gives None if it cannot.
    `what` names the file in errors. Byte strings come back as views of `data`.

    >>> import pickle
    >>> data = pickle.dumps({"epoch": 3, "loss": [0.5, 0.25]}, protocol=2) + b"what follows"
    >>> load(memoryview(data), {}, lambda key: None, "example.bin")
    ({'epoch': 3, 'loss': [0.5, 0.25]}, 56)
    """
    machine = _Machine(data, names, outside, what)
    return machine.run(), machine.position


def ordered_dict(arguments: tuple[object, ...]) -> object:
    """The builder of `collections.OrderedDict`: empty, or (from Python 2) with a list of [key, value] lists."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(isinstance(pair, list) and len(pair) == 2 and _is_key(pair[0]) for pair in pairs):
            built, count = dict(pairs), len(pairs)
            pairs.clear()  # so that no file can have one long list turned again and again
            return built if len(built) == count else None
    return None


def _is_key(key: object) -> bool:
    """Whether a dictionary may have this key: more than these could be made slow, or too deep, to hash."""
    return isinstance(key, str) or (isinstance(key, int) and -(2**63) <= key < 2**63)


class _Machine:
    """The stack machine: `stack` lies above the last mark, `below` holds what lies under each mark."""

    def __init__(
        self, data: memoryview, names: Mapping[str, object], outside: Callable[[object], object], what: str
    ) -> None:
        self.data, self.names, self.outside, self.what = data, names, outside, what
        self.position = 0
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Takes the steps of the program until it says stop, and gives the value that is then on top."""
        for _ in range(MAX_STEPS):
            code = self.take(1)[0]
            if code == ord("."):
                return self.pop()
            if code not in _STEPS:
                raise UnsafeFileError(
                    f"{self.what} has the pickle instruction {_instruction(code)} at byte {self.position - 1}, which "
                    f"no file of plain tensors has: it is damaged or hostile. {_INSTEAD}"
                )
            _STEPS[code](self)
        raise UnsafeFileError(f"{self.what} takes over {MAX_STEPS:,} steps to say which tensors it has. {_INSTEAD}")

    def damaged(self, why: str) -> FileFormatError:
        return FileFormatError(f"{self.what} {why}: it is cut off or damaged; download or copy it again.")

    # ---- reading the program

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        start, end = self.position, self.position + count
        if end > len(self.data):
            raise self.damaged(f"ends within its pickle, which wants {count} bytes at byte {start}")
        if end > MAX_BYTES:
            raise UnsafeFileError(f"{self.what} takes over {MAX_BYTES:,} bytes to say which tensors it has. {_INSTEAD}")
        self.position = end
        return self.data[start:end]

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def signed(self, width: int) -> int:
        if width > _MAX_INTEGER:
            raise self.damaged(f"has an integer of {width} bytes")
        return int.from_bytes(self.take(width), "little", signed=True)

    def real(self) -> float:
        (number,) = struct.unpack(">d", self.take(8))
        return float(number)

    def text(self, length: int) -> str:
        try:
            return str(self.take(length), "utf-8")
        except UnicodeDecodeError:
            raise self.damaged("has a text that is not UTF-8") from None

    def line(self) -> str:
        length = bytes(self.data[self.position : self.position + _MAX_NAME]).find(b"\n")
        if length < 0:
            raise self.damaged(f"has a name that goes on for over {_MAX_NAME} bytes")
        line = self.text(length)
        self.take(1)
        return line

    # ---- moving values

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise self.damaged("takes a value that it never made")
        return self.stack.pop()

    def top(self) -> object:
        self.push(value := self.pop())
        return value

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[object]:
        if not self.below:
            raise self.damaged("gathers values without a mark")
        values, self.stack = self.stack, self.below.pop()
        return values

    def last(self, count: int) -> tuple[object, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged(f"recalls value {index}, which it never stored")
        self.push(self.memo[index])

    # ---- filling containers

    def append(self, values: Sequence[object]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise self.damaged("appends to what is not a list")
        target.extend(values)

    def set(self, values: Sequence[object]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(values) % 2:
            raise self.damaged("sets the entries of what is not a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not _is_key(key):
                raise self.damaged(f"has a dictionary whose key is a {type(key).__name__}")
            if key in target:
                raise self.damaged(f"has {str(key)[:_MAX_NAME]!r} twice in one dictionary")
            target[key] = value

    def build(self, _state: object) -> None:
        """Drops attributes, of which only an OrderedDict has any: a state dict keeps its `_metadata` there."""
        if not isinstance(self.top(), dict):
            raise self.damaged("sets attributes of what has none")

    # ---- what Python's own reader would run

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.damaged("asks for a name that is not a text")
        spelt = f"{module}.{name}"
        if spelt not in self.names:
            raise self.whole_object(spelt) if self.is_whole_object() else self.unsafe(spelt)
        self.push(self.names[spelt])

    def is_whole_object(self) -> bool:
        """Whether the class just named is that of the object in the file, which torch.save(model) begins with."""
        if self.stack == ["module"]:  # before version 1.6: ("module", class, source file, source)
            return True
        ahead = bytes(self.data[self.position : self.position + 8])  # to the memo, then: empty tuple, new object
        return not self.stack and re.match(rb"(q.|r....|\x94)?\)\x81", ahead, re.DOTALL) is not None

    def whole_object(self, name: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.what} is a whole pickled {printable(name)}, which is code as well as tensors: nothing was run. Where "
            'it was made, type torch.save(model.state_dict(), "pytorch_model.bin"), or save a model.safetensors.'
        )

    def unsafe(self, name: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.what} asks to run {printable(name)}, which no file of plain tensors needs: nothing was run. {_INSTEAD}"
        )

    def instance(self) -> None:
        raise self.unsafe(f"{self.line()}.{self.line()}")

    def call(self, arguments: object) -> None:
        build = self.pop()
        if not callable(build) or not isinstance(arguments, tuple):
            raise self.damaged("calls what is not a function")
        self.push(self.made(build(arguments)))

    def fetch(self, key: object) -> None:
        self.push(self.made(self.outside(key)))

    def made(self, value: object) -> object:
        if value is None:
            raise self.damaged(f"makes an object, at byte {self.position - 1}, of values that do not fit together")
        return value


def _instruction(code: int) -> str:
    import pickletools  # only ever needed for this sentence

    return next((known.name for known in pickletools.opcodes if ord(known.code) == code), hex(code))


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    # a value
    b"N": lambda m: m.push(None),  # NONE
    b"\x88": lambda m: m.push(True),  # NEWTRUE
    b"\x89": lambda m: m.push(False),  # NEWFALSE
    b"K": lambda m: m.push(m.unsigned(1)),  # BININT1
    b"M": lambda m: m.push(m.unsigned(2)),  # BININT2
    b"J": lambda m: m.push(m.signed(4)),  # BININT
    b"\x8a": lambda m: m.push(m.signed(m.unsigned(1))),  # LONG1
    b"\x8b": lambda m: m.push(m.signed(m.unsigned(4))),  # LONG4
    b"G": lambda m: m.push(m.real()),  # BINFLOAT
    b"U": lambda m: m.push(m.text(m.unsigned(1))),  # SHORT_BINSTRING, the str of Python 2
    b"\x8c": lambda m: m.push(m.text(m.unsigned(1))),  # SHORT_BINUNICODE
    b"X": lambda m: m.push(m.text(m.unsigned(4))),  # BINUNICODE
    b"\x8d": lambda m: m.push(m.text(m.unsigned(8))),  # BINUNICODE8
    b"C": lambda m: m.push(m.take(m.unsigned(1))),  # SHORT_BINBYTES
    b"B": lambda m: m.push(m.take(m.unsigned(4))),  # BINBYTES
    b"\x8e": lambda m: m.push(m.take(m.unsigned(8))),  # BINBYTES8
    # several values
    b"(": lambda m: m.mark(),  # MARK
    b")": lambda m: m.push(()),  # EMPTY_TUPLE
    b"\x85": lambda m: m.push(m.last(1)),  # TUPLE1
    b"\x86": lambda m: m.push(m.last(2)),  # TUPLE2
    b"\x87": lambda m: m.push(m.last(3)),  # TUPLE3
    b"t": lambda m: m.push(tuple(m.above_mark())),  # TUPLE
    b"]": lambda m: m.push([]),  # EMPTY_LIST
    b"a": lambda m: m.append(m.last(1)),  # APPEND
    b"e": lambda m: m.append(m.above_mark()),  # APPENDS
    b"}": lambda m: m.push({}),  # EMPTY_DICT
    b"s": lambda m: m.set(m.last(2)),  # SETITEM
    b"u": lambda m: m.set(m.above_mark()),  # SETITEMS
    # a value again
    b"q": lambda m: m.put(m.unsigned(1)),  # BINPUT
    b"r": lambda m: m.put(m.unsigned(4)),  # LONG_BINPUT
    b"\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
    b"h": lambda m: m.get(m.unsigned(1)),  # BINGET
    b"j": lambda m: m.get(m.unsigned(4)),  # LONG_BINGET
    # what Python's own reader would run
    b"c": lambda m: m.find(m.line(), m.line()),  # GLOBAL
    b"\x93": lambda m: m.find(*m.last(2)),  # STACK_GLOBAL
    b"i": lambda m: m.instance(),  # INST
    b"R": lambda m: m.call(m.pop()),  # REDUCE
    b"b": lambda m: m.build(m.pop()),  # BUILD
    b"Q": lambda m: m.fetch(m.pop()),  # BINPERSID
}
_STEPS = {code[0]: step for code, step in _INSTRUCTIONS.items()}
