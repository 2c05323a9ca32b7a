"""Where in the user's own code something was raised, and a failure that says so.

Owns the reading of tracebacks. What an error means is `diagnosis.py`'s business.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType

from workbench.protocol.captures import LEFT_OUT
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.text import shorten

CUT_SHORT = (
    "Ran out of input", "pickle data was truncated", "failed finding central directory", "File is not a zip file"
)  # fmt: skip
"""What readers of pickles and of torch's archives say of a file that ends too early."""

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_STDLIB = os.path.dirname(os.__file__)


def frames(problem: BaseException) -> list[tuple[FrameType, int]]:
    """(frame, line) from the outermost call to where it was raised."""
    return list(traceback.walk_tb(problem.__traceback__))


def is_users(filename: str) -> bool:
    """Whether a frame of this file is the user's: not ours, not torch's, not the standard library's."""
    if filename.startswith(("<", _OURS + os.sep + "worker", _OURS + os.sep + "protocol")):
        return False
    torch = sys.modules.get("torch")
    home = os.path.dirname(torch.__file__) if torch is not None and torch.__file__ else ""
    if home and filename.startswith(home + os.sep):
        return False
    return not filename.startswith(_STDLIB + os.sep) or "site-packages" in filename


def users_place(problem: BaseException) -> str:
    """file:line of the innermost frame of the user's; empty when none is."""
    for frame, line in reversed(frames(problem)):
        if is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{line}"
    return ""


def first_line(problem: BaseException) -> str:
    """ "ValueError: width must be even", on one line."""
    text = str(problem).strip().split("\n")[0]
    name = type(problem).__name__
    return shorten(f"{name}: {text}" if text else name, 300)


def full_text(problem: BaseException) -> str:
    """The traceback as Python prints it."""
    return "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))


def wants_keyboard(problem: BaseException) -> bool:
    """Whether it was raised because there is nobody to answer `input()`."""
    return isinstance(problem, EOFError) and "reading a line" in str(problem)


def is_cut_short(problem: BaseException) -> bool:
    """Whether it was raised by a reader whose file, or pickle, ends too early."""
    end = isinstance(problem, EOFError) and not wants_keyboard(problem)
    return end or any(words in str(problem) for words in CUT_SHORT)


def left_out(problem: BaseException) -> str:
    """Why a name is missing that a capture could not take along, in words; empty for any other error."""
    name = getattr(problem, "name", None)
    for frame, _ in reversed(frames(problem)) if isinstance(problem, NameError) else ():
        known = frame.f_globals.get(LEFT_OUT)
        if isinstance(known, dict) and name in known:
            return f"it uses {name}, which is not in the capture: {known[name]}"
    return ""


LEFT_OUT_REMEDY = "In the program, define it in a module that is imported, then capture again."


def _root(problem: BaseException) -> BaseException:
    """What was raised first, where one error was raised from another."""
    seen = [problem]
    while seen[-1].__cause__ is not None and seen[-1].__cause__ not in seen:
        seen.append(seen[-1].__cause__)
    return seen[-1]


def failed_in(problem: BaseException, kind: str, what: str, otherwise: str, remedy: str = "") -> WorkbenchError:
    """The failure "`what`: SomeError: its text", at the user's file and line, or at `otherwise`."""
    if isinstance(problem, WorkbenchError):
        return problem
    if isinstance(problem, SystemExit):
        reason = f"it asked Python to exit ({problem.code!r})"
    elif wants_keyboard(problem):
        reason, remedy = "it reads from the keyboard, and a worker has none", remedy or "Take the input() out of it."
    elif left_out(problem):
        reason, remedy = left_out(problem), LEFT_OUT_REMEDY
    else:
        reason = first_line(problem)
        first = _root(problem)
        if first is not problem and str(first).strip().split("\n")[0] not in reason:
            reason += f", because of {first_line(first)}"
        if "torchvision::" in f"{problem} {first}":
            remedy = "This torchvision was built for another torch: install the one of this torch's release, or none."
    if is_cut_short(problem):
        reason, remedy = f"{reason}: a file that it reads ends too early", "Get that file again, or write it anew."
    if "before Module.__init__() call" in str(problem):
        remedy = "Call super().__init__() first in its __init__."
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        remedy = f"Install {problem.name} where the worker runs, or name an interpreter that has it: --python PATH"
    place = users_place(problem) or otherwise
    return error(kind, f"{what}: {reason}.", place, remedy or "Mend it and load again.", full_text(problem))
