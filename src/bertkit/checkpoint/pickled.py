"""Interpret the part of pickle that files of tensors use, without running any code of the file.

A pickle is a program for a small stack machine. Its instructions push a value, collect the values above a mark, or look
up a function by its name and call it. Python's own unpickler calls any function, so a checkpoint can take over a
computer. The machine here has the instructions that build plain values, and a table of the names that are allowed, each
with a function of bertkit. Any other name is an error.

The code does not recurse into the values that it builds, and hashes only strings and short integers, so deep nesting
does no harm. MAX_STEPS and MAX_BYTES bound the time and the memory for any file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence

from bertkit.errors import FileFormatError, UnsafeFileError, printable

MAX_STEPS = 200_000  # BERT-large with the state of Adam needs 52,000
MAX_BYTES = 4 * 2**20  # BERT-large with the state of Adam needs 173,000
_MAX_INTEGER = 16  # bytes; the magic number of old PyTorch files has ten
_MAX_NAME = 200
_INSTEAD = "Use the model.safetensors of the same model, or save one with the program that wrote this file."

Builder = Callable[[tuple[object, ...]], object]
"""Replaces a function that a pickle may call: takes the arguments, and returns None if they are invalid."""


def load(
    data: memoryview, names: Mapping[str, object], outside: Callable[[object], object], what: str
) -> tuple[object, int]:
    """Return the value of the pickle at the start of `data`, and its length in bytes.

    `names` maps each allowed global, such as "collections.OrderedDict", to its value: a `Builder` if it may be called.
    `outside` returns the object of a persistent id, which is stored outside the pickle, or None if the id is invalid.
    `what` names the file in errors. Byte strings are returned as views of `data`.

    >>> import pickle
    >>> data = pickle.dumps({"epoch": 3, "loss": [0.5, 0.25]}, protocol=2) + b"what follows"
    >>> load(memoryview(data), {}, lambda key: None, "example.bin")
    ({'epoch': 3, 'loss': [0.5, 0.25]}, 56)
    """
    machine = _Machine(data, names, outside, what)
    return machine.run(), machine.position


def ordered_dict(arguments: tuple[object, ...]) -> object:
    """Builder of `collections.OrderedDict`: empty, or (Python 2) from a list of [key, value] lists."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(isinstance(pair, list) and len(pair) == 2 and _is_key(pair[0]) for pair in pairs):
            built, count = dict(pairs), len(pairs)
            pairs.clear()  # a file must not have one long list converted many times
            return built if len(built) == count else None
    return None


def _is_key(key: object) -> bool:
    """Whether this is an allowed key of a dictionary. Hashing others could be slow, or recurse too deeply."""
    return isinstance(key, str) or (isinstance(key, int) and -(2**63) <= key < 2**63)


class _Machine:
    """The stack machine. `stack` has the values above the last mark, `below` those below each mark."""

    def __init__(
        self, data: memoryview, names: Mapping[str, object], outside: Callable[[object], object], what: str
    ) -> None:
        self.data, self.names, self.outside, self.what = data, names, outside, what
        self.position = 0
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Run the program until its STOP instruction, and return the value on top of the stack."""
        for _ in range(MAX_STEPS):
            code = self.take(1)[0]
            if code == ord("."):
                return self.pop()
            if code not in _STEPS:
                raise UnsafeFileError(
                    f"{self.what} has the pickle instruction {_instruction(code)} at byte {self.position - 1}, which "
                    f"files of plain tensors do not have: it is damaged or hostile. {_INSTEAD}"
                )
            _STEPS[code](self)
        raise UnsafeFileError(f"{self.what} needs over {MAX_STEPS:,} instructions to list its tensors. {_INSTEAD}")

    def damaged(self, why: str) -> FileFormatError:
        return FileFormatError(f"{self.what} {why}: it is cut off or damaged; download or copy it again.")

    # ---- reading the program

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        start, end = self.position, self.position + count
        if end > len(self.data):
            raise self.damaged(f"ends within its pickle, which needs {count} bytes at byte {start}")
        if end > MAX_BYTES:
            raise UnsafeFileError(f"{self.what} needs over {MAX_BYTES:,} bytes to list its tensors. {_INSTEAD}")
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
            raise self.damaged(f"has a name of over {_MAX_NAME} bytes")
        line = self.text(length)
        self.take(1)
        return line

    # ---- moving values

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise self.damaged("takes a value from an empty stack")
        return self.stack.pop()

    def top(self) -> object:
        self.push(value := self.pop())
        return value

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[object]:
        if not self.below:
            raise self.damaged("collects values without a mark")
        values, self.stack = self.stack, self.below.pop()
        return values

    def last(self, count: int) -> tuple[object, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged(f"reads value {index} of its memo, which it never stored")
        self.push(self.memo[index])

    # ---- filling containers

    def append(self, values: Sequence[object]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise self.damaged("appends to a value that is not a list")
        target.extend(values)

    def set(self, values: Sequence[object]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(values) % 2:
            raise self.damaged("sets entries of a value that is not a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not _is_key(key):
                raise self.damaged(f"has a dictionary with a key of type {type(key).__name__}")
            if key in target:
                raise self.damaged(f"has {str(key)[:_MAX_NAME]!r} twice in one dictionary")
            target[key] = value

    def build(self, _state: object) -> None:
        """Discard attributes. Only an OrderedDict has any: the `_metadata` of a state dict."""
        if not isinstance(self.top(), dict):
            raise self.damaged("sets attributes of a value that has none")

    # ---- calls, which Python's own unpickler would run

    def find(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.damaged("looks up a name that is not a text")
        path = f"{module}.{name}"
        if path not in self.names:
            raise self.whole_object(path) if self.is_whole_object() else self.unsafe(path)
        self.push(self.names[path])

    def is_whole_object(self) -> bool:
        """Whether the class just named is that of the saved object, as at the start of a file of torch.save(model)."""
        if self.stack == ["module"]:  # before version 1.6: ("module", class, source file, source)
            return True
        ahead = bytes(
            self.data[self.position : self.position + 8]
        )  # into the memo; then an empty tuple and a new object
        return not self.stack and re.match(rb"(q.|r....|\x94)?\)\x81", ahead, re.DOTALL) is not None

    def whole_object(self, name: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.what} is a pickled {printable(name)}, which has code as well as tensors: nothing was run. In the "
            'program that saved it, type torch.save(model.state_dict(), "pytorch_model.bin"), or save a model.safetensors.'
        )

    def unsafe(self, name: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.what} tries to run {printable(name)}, which files of plain tensors do not: nothing was run. {_INSTEAD}"
        )

    def instance(self) -> None:
        raise self.unsafe(f"{self.line()}.{self.line()}")

    def call(self, arguments: object) -> None:
        build = self.pop()
        if not callable(build) or not isinstance(arguments, tuple):
            raise self.damaged("calls a value that is not a function")
        self.push(self.made(build(arguments)))

    def fetch(self, key: object) -> None:
        self.push(self.made(self.outside(key)))

    def made(self, value: object) -> object:
        if value is None:
            raise self.damaged(f"calls a function with invalid arguments at byte {self.position - 1}")
        return value


def _instruction(code: int) -> str:
    import pickletools  # only needed for this error

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
    # containers
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
    # memo
    b"q": lambda m: m.put(m.unsigned(1)),  # BINPUT
    b"r": lambda m: m.put(m.unsigned(4)),  # LONG_BINPUT
    b"\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
    b"h": lambda m: m.get(m.unsigned(1)),  # BINGET
    b"j": lambda m: m.get(m.unsigned(4)),  # LONG_BINGET
    # names and calls
    b"c": lambda m: m.find(m.line(), m.line()),  # GLOBAL
    b"\x93": lambda m: m.find(*m.last(2)),  # STACK_GLOBAL
    b"i": lambda m: m.instance(),  # INST
    b"R": lambda m: m.call(m.pop()),  # REDUCE
    b"b": lambda m: m.build(m.pop()),  # BUILD
    b"Q": lambda m: m.fetch(m.pop()),  # BINPERSID
}
_STEPS = {code[0]: step for code, step in _INSTRUCTIONS.items()}
