"""The console of a run that stands still: the frames of the user's code, and lines run in one of them.

Owns which frame is looked at and the words of a debugger (w, u, d, l, a, c, q). It traces nothing, so there is no
stepping: "n" and "s" say so.
"""

from __future__ import annotations

import ctypes
import linecache
import os
import sys
from types import FrameType
from typing import Any

from workbench.protocol.inside import Complete, Completions, Evaluate, Evaluated
from workbench.protocol.text import shorten
from workbench.worker.bench.failing import is_users
from workbench.worker.inside.completing import completions
from workbench.worker.inside.running import compiled, names_in, run
from workbench.worker.job import Job

AROUND = 4
"""Lines of source shown before and after the one that is about to run."""
LISTED = 11
"""Lines that `l` shows before and after."""
MOST_FRAMES = 40
_VALUE = 200
"""Characters of one argument's value."""

HELP = """c  go on                 q  abort the run
w  the stack             u, d  one frame up, down
l  the lines around      a  the arguments of this frame
A variable of the frame goes before w, u, d, l and a, whose whole words are where, up, down, list and args;
!c evaluates a variable c. Anything else is Python in this frame, and what it sets is set there."""

_STEPS = {"n", "next", "s", "step", "r", "return", "unt", "until", "j", "jump", "b", "break", "tbreak"}


class FrameConsole:
    """Lines run in the frames of one pause."""

    def __init__(self, frame: FrameType) -> None:
        self.verdict = ""
        """"continue" or "abort" once the pause is to end."""
        self._frames = _users_frames(frame)
        self._index = 0
        self._extra: list[dict[str, Any]] = [{} for _ in self._frames]
        """Names that were made at the console and that a frame has no place for."""
        self._last: Any = None

    @property
    def place(self) -> str:
        """ "net.py:41 forward"."""
        return _place(self._frame)

    def evaluate(self, request: Evaluate, job: Job) -> Evaluated:
        """One line, or several: a word of the debugger, or Python."""
        text = request.text.strip()
        word, _, rest = text.partition(" ")
        if text.startswith("!") or (word in ("p", "pp") and rest.strip() and rest.lstrip()[0] not in "=.[(,"):
            return self._python((text[1:] if text.startswith("!") else rest).lstrip())
        if text in _WORDS and (text not in self._names() or _WORDS[text] in _ALWAYS):  # b, c, h, w = x.shape
            return self._evaluated(getattr(self, _WORDS[text])())
        if text in _STEPS and text not in self._frame.f_locals:
            return self._evaluated("there is no stepping here: c goes on to the next breakpoint()")
        return self._python(request.text)

    def complete(self, request: Complete, job: Job) -> Completions:
        """How a line could go on, with the names of the frame."""
        return completions(request.text, self._names())

    def picture(self, around: int = AROUND) -> str:
        """The frame's place, and the lines around it, the one that is about to run marked."""
        code, line = self._frame.f_code, self._frame.f_lineno
        head = f"{code.co_filename}:{line} in {getattr(code, 'co_qualname', code.co_name)}"
        lines = [head]
        for number in range(max(1, line - around), line + around + 1):
            text = linecache.getline(code.co_filename, number, self._frame.f_globals)
            if text:
                mark = "→" if number == line else " "
                lines.append(shorten(f"{mark}{number:5}  {text.rstrip().expandtabs(4)}", _VALUE))
        return "\n".join(lines)

    # the words

    def _go_on(self) -> str:
        self.verdict = "continue"
        return ""

    def _give_up(self) -> str:
        self.verdict = "abort"
        return ""

    def _where(self) -> str:
        lines = []
        for index, frame in enumerate(self._frames):
            text = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals).strip()
            mark = "→" if index == self._index else " "
            lines.append(shorten(f"{mark} {_place(frame)}   {text}", _VALUE))
        return "\n".join(lines)

    def _up(self) -> str:
        return self._move(1, "this is the outermost frame of the user's code")

    def _down(self) -> str:
        return self._move(-1, "this is the frame that is paused")

    def _move(self, by: int, otherwise: str) -> str:
        if not 0 <= self._index + by < len(self._frames):
            return otherwise
        self._index += by
        return self.picture(1)

    def _list(self) -> str:
        return self.picture(LISTED)

    def _arguments(self) -> str:
        code, held = self._frame.f_code, self._frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count] or tuple(name for name in held if not name.startswith("__"))
        return "\n".join(shorten(f"{name} = {_said(held[name])}", _VALUE) for name in names if name in held)

    def _help(self) -> str:
        return HELP

    # Python

    @property
    def _frame(self) -> FrameType:
        return self._frames[self._index]

    def _names(self) -> dict[str, Any]:
        frame = self._frame
        return {**frame.f_globals, **frame.f_locals, **self._extra[self._index], "_": self._last}

    def _python(self, text: str) -> Evaluated:
        statements, expression, wrong = compiled(text)
        if wrong:
            return self._evaluated("", wrong)
        frame = self._frame
        own = dict(frame.f_locals)
        namespace = self._names()  # one dictionary, so that functions typed here see the frame's names too
        if "locals" in names_in(statements, expression) and "locals" not in namespace:
            namespace["locals"] = lambda: dict(own)
        before = dict(namespace)
        outcome = run(statements, expression, namespace)
        self._keep(frame, before, namespace)
        if outcome.value is not None:
            self._last = outcome.value
        return self._evaluated(outcome.output, outcome.error)

    def _keep(self, frame: FrameType, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Names that were set: into the frame where it has a place for them, else kept for the console."""
        code = frame.f_code
        places = {*code.co_varnames, *code.co_cellvars, *code.co_freevars} if code.co_flags & 2 else None
        changed = {name: value for name, value in after.items() if name not in before or before[name] is not value}
        changed.pop("__builtins__", None)
        changed.pop("locals", None)
        held = frame.f_locals
        for name, value in changed.items():
            if places is None or name in places:
                held[name] = value
            else:
                self._extra[self._index][name] = value
        if sys.version_info < (3, 13) and places is not None:  # from 3.13 on the mapping writes through
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))

    def _evaluated(self, output: str, error: str = "") -> Evaluated:
        return Evaluated(output, error, place=self.place, ended=bool(self.verdict))


_WORDS = {
    **dict.fromkeys(("c", "cont", "continue"), "_go_on"),
    **dict.fromkeys(("q", "quit", "exit"), "_give_up"),
    **dict.fromkeys(("w", "where", "bt"), "_where"),
    **dict.fromkeys(("u", "up"), "_up"),
    **dict.fromkeys(("d", "down"), "_down"),
    **dict.fromkeys(("l", "ll", "list"), "_list"),
    **dict.fromkeys(("a", "args"), "_arguments"),
    **dict.fromkeys(("h", "help", "?"), "_help"),
}


_ALWAYS = ("_go_on", "_give_up")
"""Words that act also where the frame has a variable of that name."""


def _users_frames(frame: FrameType) -> list[FrameType]:
    """The frame and those above it that are the user's, innermost first."""
    found, above = [frame], frame.f_back
    while above is not None and len(found) < MOST_FRAMES:
        name = above.f_code.co_filename
        if is_users(name) or name.startswith("<console"):
            found.append(above)
        above = above.f_back
    return found


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_name}"


def _said(value: Any) -> str:
    try:
        return repr(value).replace("\n", " ")
    except Exception as problem:  # noqa: BLE001 (the repr of a foreign object)
        return f"<{type(value).__name__}: its repr raised {type(problem).__name__}>"
