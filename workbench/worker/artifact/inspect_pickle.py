"""Reads a pickle without unpickling it: opcodes build inert records, nothing is imported and nothing is called.

Owns the machine and its bounds. Lengths, memo numbers and nesting are a stranger's claims: none of them makes this
allocate more than the data it was given.
"""

from __future__ import annotations

import codecs
import struct
import time
from collections.abc import Callable
from typing import Any

from workbench.worker.artifact.inspect_records import BrokenPickle, Call, Global, Mapping, Persistent, TruncatedPickle

SECONDS = 30.0
"""The most of this thread's own time that one pickle may take; 500,000 tensors take about ten."""

_LOOK = 1 << 16
"""Opcodes between two looks at the clock."""


class Machine:
    """One pickle being read from `data` at `start`; afterwards `at` is behind it and `globals` has every name."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self.data, self.at = data, start
        self.globals: dict[Global, None] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The root object, inert. Raises `BrokenPickle`."""
        deadline, look = time.thread_time() + SECONDS, _LOOK
        data, table = self.data, _TABLE
        try:
            while True:
                code = data[self.at]
                self.at += 1
                if code == _STOP:
                    return self._stack.pop()
                table[code](self)
                look -= 1
                if not look:
                    look = _LOOK
                    if time.thread_time() > deadline:
                        raise BrokenPickle(f"the pickle takes more than {SECONDS:.0f} s to read")
        except IndexError as problem:
            if self.at >= len(data):
                raise TruncatedPickle("the pickle ends too early") from problem
            raise BrokenPickle("the pickle takes more from its stack than it has") from problem
        except KeyError as problem:
            raise BrokenPickle(f"the pickle refers to what it never made ({problem})") from problem
        except (ValueError, TypeError, AttributeError, struct.error, OverflowError) as problem:
            if isinstance(problem, BrokenPickle):
                raise
            raise BrokenPickle(f"the pickle is broken at byte {self.at}") from problem

    # what handlers use

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise TruncatedPickle("the pickle ends too early")
        found = self.data[self.at : end]
        self.at = end
        return found

    def counted(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "little"))

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise TruncatedPickle("the pickle ends inside a line")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def top(self) -> Any:
        return self._stack[-1]

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        start = self._marks.pop()
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def discard(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def remember(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def recall(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def name(self, module: Any, name: Any) -> Global:
        if type(module) is not str or type(name) is not str:  # as text, a few bytes of tuples in tuples have no end
            raise BrokenPickle("the pickle makes a name of what is no text")
        found = Global(module, name)
        self.globals[found] = None
        return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _quoted(raw: bytes) -> str:
    """A text between quotes, as Python 2 wrote it: its escapes are Python's own."""
    return codecs.escape_decode(raw.strip()[1:-1])[0].decode("latin-1")


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


def _add_pairs(machine: Machine, flat: list[Any]) -> None:
    target = machine.top()
    if not target.pairs:
        target.pairs = []  # made when needed: most of a million calls have none
    target.pairs.extend(zip(flat[::2], flat[1::2]))  # noqa: B905 (an odd value has no partner)


def _add_items(machine: Machine, items: list[Any]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        if not target.items:
            target.items = []
        target = target.items
    target.extend(items)


def _build(machine: Machine) -> None:
    state = machine.pop()
    target = machine.top()
    if isinstance(target, Call):
        target.state = state


def _call(machine: Machine) -> None:
    args = machine.pop()
    machine.push(Call(machine.pop(), args))


def _call_with_names(machine: Machine) -> None:
    names, args = machine.pop(), machine.pop()
    machine.push(Call(machine.pop(), args, state=names))


def _global(machine: Machine) -> None:
    machine.push(machine.name(_text(machine.line()), _text(machine.line())))


def _stack_global(machine: Machine) -> None:
    name = machine.pop()
    machine.push(machine.name(machine.pop(), name))


def _instance(machine: Machine) -> None:
    found = machine.name(_text(machine.line()), _text(machine.line()))
    machine.push(Call(found, tuple(machine.since_mark())))


def _object(machine: Machine) -> None:
    first, *rest = machine.since_mark()
    machine.push(Call(first, tuple(rest)))


def _extension(width: int) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.name("copyreg", f"extension {_little(machine.take(width))}"))


def _tuple_of(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.push(tuple([machine.pop() for _ in range(count)][::-1]))


def _mapping(machine: Machine) -> None:
    flat = machine.since_mark()
    machine.push(Mapping())
    _add_pairs(machine, flat)


def _broken(machine: Machine) -> None:
    raise BrokenPickle(f"byte {machine.at - 1} is no pickle opcode")


def _integer(line: bytes) -> Any:
    return {b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else int(line)


_STOP = ord(".")

_HANDLERS: dict[str, Callable[[Machine], Any]] = {
    "(": Machine.mark,
    "0": Machine.discard,
    "1": Machine.since_mark,
    "2": lambda m: m.push(m.top()),
    "F": lambda m: m.push(float(m.line())),
    "I": lambda m: m.push(_integer(m.line())),
    "J": lambda m: m.push(_little(m.take(4))),
    "K": lambda m: m.push(m.take(1)[0]),
    "L": lambda m: m.push(int(m.line().rstrip(b"L"))),
    "M": lambda m: m.push(int.from_bytes(m.take(2), "little")),
    "N": lambda m: m.push(None),
    "P": lambda m: m.push(Persistent(_text(m.line()))),
    "Q": lambda m: m.push(Persistent(m.pop())),
    "R": _call,
    "S": lambda m: m.push(_quoted(m.line())),
    "T": lambda m: m.push(m.counted(4).decode("latin-1")),
    "U": lambda m: m.push(m.counted(1).decode("latin-1")),
    "V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    "X": lambda m: m.push(_text(m.counted(4))),
    "a": lambda m: _add_items(m, [m.pop()]),
    "b": _build,
    "c": _global,
    "d": _mapping,
    "}": lambda m: m.push(Mapping()),
    "e": lambda m: _add_items(m, m.since_mark()),
    "g": lambda m: m.recall(int(m.line())),
    "h": lambda m: m.recall(m.take(1)[0]),
    "i": _instance,
    "j": lambda m: m.recall(int.from_bytes(m.take(4), "little")),
    "l": lambda m: m.push(m.since_mark()),
    "]": lambda m: m.push([]),
    "o": _object,
    "p": lambda m: m.remember(int(m.line())),
    "q": lambda m: m.remember(m.take(1)[0]),
    "r": lambda m: m.remember(int.from_bytes(m.take(4), "little")),
    "s": lambda m: _add_pairs(m, [m.pop(), m.pop()][::-1]),
    "t": lambda m: m.push(tuple(m.since_mark())),
    ")": lambda m: m.push(()),
    "u": lambda m: _add_pairs(m, m.since_mark()),
    "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    "B": lambda m: m.push(m.counted(4)),
    "C": lambda m: m.push(m.counted(1)),
    "\x80": lambda m: m.take(1),
    "\x81": _call,
    "\x82": _extension(1),
    "\x83": _extension(2),
    "\x84": _extension(4),
    "\x85": _tuple_of(1),
    "\x86": _tuple_of(2),
    "\x87": _tuple_of(3),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "\x8a": lambda m: m.push(_little(m.counted(1))),
    "\x8b": lambda m: m.push(_little(m.counted(4))),
    "\x8c": lambda m: m.push(_text(m.counted(1))),
    "\x8d": lambda m: m.push(_text(m.counted(8))),
    "\x8e": lambda m: m.push(m.counted(8)),
    "\x8f": lambda m: m.push([]),
    "\x90": lambda m: _add_items(m, m.since_mark()),
    "\x91": lambda m: m.push(m.since_mark()),
    "\x92": _call_with_names,
    "\x93": _stack_global,
    "\x94": Machine.memoize,
    "\x95": lambda m: m.take(8),
    "\x96": lambda m: m.push(m.counted(8)),
    "\x97": lambda m: m.push(Persistent("buffer")),
    "\x98": lambda m: None,
}
"""Every opcode of protocols 0 to 5 (pickletools.opcodes)."""

_TABLE: list[Callable[[Machine], Any]] = [_HANDLERS.get(chr(code), _broken) for code in range(256)]
