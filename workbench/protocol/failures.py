"""What a failure looks like on the wire, and the exception that carries one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong, in words for the person who has to act on it."""

    kind: str
    """One of `exits.KINDS`; decides the exit code."""
    message: str
    """What happened, in one or two plain sentences."""
    where: str = ""
    """File and line, module path, file name or option; empty when there is no better place than the message."""
    remedy: str = ""
    """What to press or type next; empty when nothing sensible can be said."""
    details: str = ""
    """The full traceback, or the words of the library that refused; never shown first."""
    difference: str = ""
    """Everything that does not fit, line by line, where the message can only count it; shown below the message."""
    repair: str = ""
    """A value of `Recipe.repair` with which the same would go well; empty: none would."""
    asks: tuple[str, ...] = ()
    """Constructor arguments that are missing: "width: int"."""
    convert: str = ""
    """Path of a pickled module that stands in the way and could be converted, after a yes; empty: there is none."""


class WorkbenchError(Exception):
    """Raised anywhere on either side with a `Failure` that already says everything."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def error(
    kind: str,
    message: str,
    where: str = "",
    remedy: str = "",
    details: str = "",
    difference: str = "",
    repair: str = "",
    convert: str = "",
    asks: tuple[str, ...] = (),
) -> WorkbenchError:
    """Shorthand: `raise error("weights", "…", where=path, remedy="…")`."""
    return WorkbenchError(Failure(kind, message, where, remedy, details, difference, repair, asks, convert))


def unreadable(kind: str, path: str, problem: OSError | ValueError, where: str = "") -> WorkbenchError:
    """What to raise for a file that the operating system does not give, or that is no whole file."""
    words = getattr(problem, "strerror", None) or str(problem)
    missing, denied = isinstance(problem, FileNotFoundError), isinstance(problem, PermissionError)
    remedy = "Check the path." if missing else "Look at its permissions." if denied else "Copy it again."
    return error(kind, f"{path} cannot be read: {words}.", where or path, remedy, str(problem))
