"""The console: a transcript, and a line to type Python on. It shows and edits; what is typed runs in the worker.

While a run stands still at a breakpoint, the same console types in its frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from workbench.client.state import State
from workbench.report import numbers
from workbench.tui.bars import Bar
from workbench.tui.draw.spans import Line
from workbench.tui.panes.transcript import TranscriptPane
from workbench.tui.transcript import Transcript, wants_more

CLOCK = 1.0
"""Seconds between two looks of the clock while something runs or stands still."""

INDENT = "    "


class Prompt(Input):
    """One line of an entry. Its keys are answered here and at once: a binding comes after letters typed later."""

    def __init__(self, keys: Mapping[str, Callable[[], None]], pasted: Callable[[str], None]) -> None:
        """`keys`: what else than editing a key does; `pasted` gets a text of several lines."""
        super().__init__(compact=True, id="line")
        self._keys, self._pasted = keys, pasted
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        act = self._keys.get(event.key)
        if act is not None:
            event.stop()
            event.prevent_default()
            act()

    def _on_paste(self, event: events.Paste) -> None:
        if "\n" in event.text.strip("\n"):
            event.prevent_default()
            event.stop()
            self._pasted(event.text)


class ConsoleScreen(Screen[None]):
    """Enter runs, up and down go through what was typed, tab completes, esc cancels or closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "escape", "close", show=False, priority=True),
        Binding("pageup", "page(-1)", "page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "page down", show=False, priority=True),
        Binding("ctrl+l", "clear", "clear", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    ConsoleScreen {
        layout: vertical; overflow: hidden;
        & > Horizontal { height: 1; width: 100%; }
        & Input { height: 1; border: none; padding: 0; background: $foreground 10%; width: 1fr;
                  &:focus { border: none; background: $primary 25%; } }
        & #prompt-word { width: auto; height: 1; padding: 0 1; text-style: bold; }
        &:ansi Input { background: ansi_default; text-style: underline; }
    }
    """

    def __init__(
        self,
        transcript: Transcript,
        state: State,
        enter: Callable[[str], None],
        complete: Callable[[str, Callable[[int, tuple[str, ...]], None]], None],
        cancel: Callable[[], None],
        unicode: bool = True,
    ) -> None:
        """`enter` runs an entry; `complete` calls back with how a line could go on; `cancel` ends what runs."""
        super().__init__()
        self.by_itself = False
        """It came with a run that stood still, and goes with it."""
        self._transcript, self._state, self._unicode = transcript, state, unicode
        self._enter, self._complete, self._cancel = enter, complete, cancel
        self._pending: list[str] = []
        """Lines of an entry that is not finished."""
        self._place = 0
        """How far back in the history; 0: on the line that is being typed."""
        self._clock = False
        self._head, self._foot = Bar("console-head", unicode), Bar("console-foot", unicode)
        self._lines = TranscriptPane(transcript, unicode=unicode)
        self._word = Static("", markup=False, id="prompt-word")
        keys = {
            "enter": self._entered,
            "tab": self._tab,
            "up": lambda: self._go_back(1),
            "down": lambda: self._go_back(-1),
        }
        self._line = Prompt(keys, self._pasted)

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._lines
        with Horizontal():
            yield self._word
            yield self._line
        yield self._foot

    def on_mount(self) -> None:
        self._transcript.changed = self.look
        self._line.focus()
        self._lines.look()
        self._bars()

    def on_unmount(self) -> None:
        self._transcript.changed = None

    # what it shows

    @property
    def prompt(self) -> str:
        """What stands before the next line."""
        if self._pending:
            return "…" if self._unicode else "."
        return f"{self._state.paused.event.where}>" if self._state.paused is not None else ">>>"

    @property
    def busy(self) -> bool:
        """A line runs, or waits to."""
        return any(job.name == "Evaluate" for job in self._state.running)

    def look(self) -> None:
        """Something is other than it was."""
        self._lines.look()
        self._bars()

    def _bars(self) -> None:
        head, hint, clock = status(self._state, asyncio.get_running_loop().time())
        self._head.set_line(head)
        self._foot.set_line(((" " + hint, "dim"),))
        words = self.prompt
        if str(self._word.content) != words:
            self._word.update(Content(words))
        if clock and not self._clock:
            self._clock = True
            self.set_timer(CLOCK, self._tick)

    def _tick(self) -> None:
        self._clock = False
        self._bars()

    # what is typed

    def _entered(self) -> None:
        text = self._line.value
        self._set("")
        self._place = 0
        if self._pending and not text.strip():
            entry = "\n".join(self._pending) + "\n"
        else:
            entry = "\n".join([*self._pending, text])
            if wants_more(entry):
                self._go_on(text)
                return
        self._run(entry)

    def _pasted(self, text: str) -> None:
        entry = "\n".join([*self._pending, self._line.value + text])
        self._set("")
        self._run(entry)

    def _go_on(self, text: str) -> None:
        """The entry has another line, indented as far as this one and further in a new block."""
        self._transcript.add(f"{self.prompt} {text}", "strong")
        self._pending.append(text)
        depth = text[: len(text) - len(text.lstrip())] + (INDENT if text.rstrip().endswith(":") else "")
        self._set(depth)
        self._bars()

    def _run(self, entry: str) -> None:
        pending, self._pending = self._pending, []
        if pending:
            rest = entry.split("\n")[len(pending) :]
            for line in rest:
                if line.strip():
                    self._transcript.add(f"{'…' if self._unicode else '.'} {line}", "strong")
            self._transcript.history.append(entry.rstrip("\n"))
        elif entry.strip():
            self._transcript.typed(self.prompt, entry)
        if entry.strip():
            self._enter(entry)
        self._bars()

    def _set(self, text: str) -> None:
        self._line.value = text
        self._line.cursor_position = len(text)

    # keys

    def interrupt(self) -> bool:
        """Ctrl+C: drops what was typed, or cancels the line that runs; False when there was neither."""
        if self._pending or self._line.value:
            self._pending = []
            self._set("")
            self._bars()
            return True
        if self.busy:
            self._cancel()
            return True
        return False

    def action_escape(self) -> None:
        """Cancel the line that runs; with none, drop an unfinished entry; with none, close."""
        if self.busy and not self._stands_in_a_line():
            self._cancel()
        elif self._pending:
            self.interrupt()
        else:
            self.dismiss(None)

    def _stands_in_a_line(self) -> bool:
        """The only line that runs is the one that stands still at a breakpoint."""
        paused = self._state.paused
        return paused is not None and all(job.number == paused.job for job in self._state.running)

    def _go_back(self, by: int) -> None:
        """To an older entry, or a newer one with a negative `by`."""
        history = self._transcript.history
        place = self._place + by
        if not 0 <= place <= len(history):
            return
        self._place = place
        *self._pending, line = history[-place].split("\n") if place else [""]
        self._set(line)
        self._bars()

    def _tab(self) -> None:
        line, at = self._line.value, self._line.cursor_position
        if not line[:at].strip():
            self._line.insert_text_at_cursor(INDENT)
            return
        self._complete(line[:at], lambda start, words: self._completed(line, at, start, words))

    def _completed(self, line: str, at: int, start: int, words: tuple[str, ...]) -> None:
        if (self._line.value, self._line.cursor_position) != (line, at) or not words:
            return  # somebody typed on meanwhile
        longer = _common(words)
        if longer != line[start:at]:
            self._line.value = line[:start] + longer + line[at:]
            self._line.cursor_position = start + len(longer)
        elif len(words) > 1:
            self._transcript.add("  ".join(words[:60]) + ("  …" if len(words) > 60 else ""), "dim")

    def action_page(self, direction: int) -> None:
        self._lines.action_page(direction)

    def action_clear(self) -> None:
        self._transcript.clear()


def status(state: State, now: float) -> tuple[Line, str, bool]:
    """The line above, the keys below, and whether there is a clock that goes; `now` is the event loop's."""
    line = next((job for job in state.running if job.name == "Evaluate"), None)
    name: Line = ((" console ", "strong"), (state.info.name if state.info else "", ""))
    if state.paused is not None and (line is None or line.number == state.paused.job):
        clock = f" · {numbers.clock(now - state.paused.since)}"
        head: Line = (*name, (f"  paused at {state.paused.event.where}", "warn"), (clock, ""))
        return head, "c continues · q aborts the run · h helps · tab completes · esc closes", True
    if line is not None:
        return (*name, ("  running ", "accent"), (numbers.clock(now - line.started), "")), "esc cancels the line", True
    if state.engine != "ready":
        gone = "the worker is gone" if state.engine == "dead" else "torch is loading"
        return (*name, (f"  {gone}", "bad")), "esc closes, then K starts a fresh worker with the same model", False
    hint = "enter runs · ↑↓ history · tab completes · ctrl+l clears · esc closes"
    return (*name, ("  on the bench, grad on", "dim")), hint, False


def _common(words: tuple[str, ...]) -> str:
    """What all of them begin with."""
    first, last = min(words), max(words)
    size = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:size]
