"""What a terminal makes of a program's bytes: a screen, its modes, and answers to the program's questions.

pyte draws; it knows neither the alternate screen nor most private modes, and takes some sequences for text.
So the stream is cut into tokens here, modes are kept here, and pyte sees only what it understands.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

import pyte

ALTERNATE = frozenset({47, 1047, 1049})
SYNCHRONIZED = 2026
IN_BAND_RESIZE = 2048
FRESH = {7: "autowrap", 25: "cursor shown"}
"""Private modes that are set in a terminal that nobody has touched."""
CHANGED = {
    1: "application cursor keys",
    47: "alternate screen",
    1000: "mouse buttons",
    1002: "mouse drag",
    1003: "mouse motion",
    1004: "focus reports",
    1005: "mouse UTF-8",
    1006: "mouse SGR",
    1015: "mouse urxvt",
    1016: "mouse pixels",
    1047: "alternate screen",
    1049: "alternate screen",
    2004: "bracketed paste",
    2026: "synchronized output",
    2048: "in-band resize",
}
"""Private modes that a program has to put back."""

_TOKEN = re.compile(
    r"\x1b\[(?P<sign>[<-?]?)(?P<numbers>[\d;:]*)(?P<middle>[ -/]*)(?P<final>[@-~])"  # CSI
    r"|\x1b\](?P<osc>[^\a\x1b]*)(?:\a|\x1b\\)"
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC: nothing in them is drawn
    r"|(?P<simple>\x1b[ -/]*[0-OQ-WYZ`-~\\])"
    r"|(?P<text>[^\x1b]+)"
)


class Emulator:
    """A terminal without a window: `feed` it bytes, look at `text`, `modes` and `cursor`."""

    def __init__(self, rows: int, columns: int, reply: Callable[[bytes], object], supports: frozenset[int]) -> None:
        """`reply` takes the answers; `supports` are the private modes it says it knows when asked."""
        self.rows, self.columns = rows, columns
        self.modes = set(FRESH)
        self.kitty_depth = 0
        """Keyboard protocols pushed and not popped."""
        self.title = ""
        self.commands: list[str] = []
        """Operating system commands other than titles: a clipboard that was set shows here."""
        self.bells = 0
        self._reply = reply
        self._supports = supports
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._screens = (pyte.Screen(columns, rows), pyte.Screen(columns, rows))
        self._streams = tuple(pyte.Stream(screen) for screen in self._screens)
        self._lines: dict[int, str] = {}

    @property
    def alternate(self) -> bool:
        return bool(self.modes & ALTERNATE)

    @property
    def in_frame(self) -> bool:
        """The program is inside a synchronized update: what is drawn so far is not shown yet."""
        return SYNCHRONIZED in self.modes and SYNCHRONIZED in self._supports

    @property
    def screen(self) -> pyte.Screen:
        return self._screens[self.alternate]

    @property
    def cursor(self) -> tuple[int, int, bool]:
        """Row and column from 0, and whether it is shown."""
        return self.screen.cursor.y, self.screen.cursor.x, 25 in self.modes

    @property
    def text(self) -> str:
        """All rows, trailing blanks kept, joined by newlines."""
        for row in self.screen.dirty:
            self._lines.pop(row, None)
        self.screen.dirty.clear()
        for row in range(self.rows):
            if row not in self._lines:
                line = self.screen.buffer[row]
                self._lines[row] = "".join(line[column].data for column in range(self.columns))
        return "\n".join(self._lines[row] for row in range(self.rows))

    def left_over(self) -> list[str]:
        """What is not as in a fresh terminal, in words; empty when everything was put back."""
        found = [f"{words} (?{mode}) left off" for mode, words in FRESH.items() if mode not in self.modes]
        found += [f"{words} (?{mode}) left on" for mode, words in CHANGED.items() if mode in self.modes]
        if self.kitty_depth > 0:
            found.append(f"keyboard protocol pushed {self.kitty_depth} times more than popped")
        return found

    def resize(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        for screen in self._screens:
            screen.resize(rows, columns)
        self._lines.clear()
        if IN_BAND_RESIZE in self.modes:
            self._report_size()

    def feed(self, data: bytes) -> None:
        text = self._rest + self._decoder.decode(data)
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                if len(text) - at < 100_000:
                    break  # a sequence that is not all there yet
                at += 1
                continue
            at = token.end()
            if token["text"] is not None or token["simple"] is not None:
                self.bells += token[0].count("\a")
                self._draw(token[0])
            elif token["osc"] is not None:
                self._command(token["osc"])
            elif token["final"] is not None:
                self._control(token)
        self._rest = text[at:]

    def _draw(self, text: str) -> None:
        self._streams[self.alternate].feed(text)

    def _command(self, body: str) -> None:
        number, _, rest = body.partition(";")
        if number in ("0", "2"):
            self.title = rest
        else:
            self.commands.append(body)

    def _control(self, token: re.Match[str]) -> None:
        sign, final, middle = token["sign"], token["final"], token["middle"]
        numbers = [int(part) for part in re.split("[;:]", token["numbers"]) if part]
        first = numbers[0] if numbers else 0
        if sign == "?" and final in "hl" and not middle:
            for mode in numbers:
                self._set_mode(mode, final == "h")
        elif sign == "?" and (middle, final) == ("$", "p"):
            known = 2 - (first in self.modes) if first in self._supports else 0
            self._reply(f"\x1b[?{first};{known}$y".encode())
        elif final == "u" and sign in ("<", ">"):
            self.kitty_depth += 1 if sign == ">" else -max(1, first)
        elif final == "c" and not sign:
            self._reply(b"\x1b[?62;22c")
        elif final == "n" and not sign:
            row, column, _ = self.cursor
            self._reply(b"\x1b[0n" if first == 5 else f"\x1b[{row + 1};{column + 1}R".encode())
        elif not sign and not middle and final not in "tus" and ":" not in token["numbers"]:
            self._draw(token[0])

    def _set_mode(self, mode: int, on: bool) -> None:
        was = self.alternate
        (self.modes.add if on else self.modes.discard)(mode)
        if mode in (5, 6, 7):
            for screen in self._screens:
                (screen.set_mode if on else screen.reset_mode)(mode, private=True)
        if self.alternate != was:
            self._lines.clear()
            if on:
                self._screens[True].reset()
                self._screens[True].dirty.update(range(self.rows))
        if mode == IN_BAND_RESIZE and on and mode in self._supports:
            self._report_size()

    def _report_size(self) -> None:
        self._reply(f"\x1b[48;{self.rows};{self.columns};{self.rows * 16};{self.columns * 8}t".encode())
