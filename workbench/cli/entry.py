"""Where the `workbench` command begins. Imports next to nothing, so that the splash and the engine come first."""

from __future__ import annotations

import gc
import os
import signal
import sys

COMMANDS = ("run", "check", "compare", "matrix", "export", "verify", "inspect", "repair", "convert", "demo")
SPLASH = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[{row};{column}H\x1b[1mworkbench\x1b[0m  opening …"
UNSPLASH = "\x1b[?25h\x1b[?1049l"
_shown: list[bool] = []
"""Not empty once the splash is on the screen."""


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # until the app or the command has handlers of its own
    splashed = _opens_app(arguments) and _splash()
    if splashed:
        gc.disable()  # imports make no garbage worth a look; the app enables it again behind its first frame
        _without_ssl()
    from .main import command_line

    sys.exit(command_line(arguments, splashed))


def _opens_app(arguments: list[str]) -> bool:
    """Whether these arguments lead to the app rather than to text; `main` has the last word."""
    if any(word in ("--help", "-h", "--version") for word in arguments):
        return False
    return not arguments or arguments[0] == "demo" or arguments[0] not in COMMANDS


def _without_ssl() -> None:
    """Have asyncio do without TLS, as on a Python that was built without it: 4 MB that a face never uses, for it opens
    no network connection. Before anything imports asyncio."""
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # None is how Python marks what must not be imported


def _leave(number: int, frame: object) -> None:
    """End at once: nothing has begun that would need more than the screen given back."""
    if _shown:
        os.write(1, UNSPLASH.encode())
    os._exit(130)


def _splash() -> bool:
    """A first frame by hand, long before Textual is imported."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return False
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    _shown.append(True)
    os.write(sys.stdout.fileno(), SPLASH.format(row=max(1, rows // 2), column=max(1, columns // 2 - 10)).encode())
    return True
