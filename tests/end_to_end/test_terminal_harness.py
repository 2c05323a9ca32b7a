"""The terminal of the other end-to-end tests, tested: it sees, presses, waits and notices what was left behind."""

from __future__ import annotations

import re
import signal
import sys
import time

import psutil
import pytest

from .conftest import Open
from .keys import encode
from .screen import Emulator
from .terminal import NotSeen, Terminal, alive, assert_all_gone

APP = """
from textual.app import App
from textual.widgets import Button, Input, Label

class Small(App):
    BINDINGS = [("ctrl+p", "say('pressed')", "say")]
    ENABLE_COMMAND_PALETTE = False
    def compose(self):
        yield Label("hello", id="label")
        yield Button("push me", id="button")
        yield Input(placeholder="type here")
    def action_say(self, words):
        self.query_one("#label").update(words)
    def on_button_pressed(self):
        self.action_say("pushed")
    def on_resize(self, event):
        self.action_say(f"{event.size.width}x{event.size.height}")

Small().run()
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def app(open_terminal: Open) -> Terminal:
    terminal = open_terminal(python(APP), rows=24, columns=80)
    terminal.wait_for("push me")
    terminal.wait_for("80x24")
    return terminal


def test_an_app_is_seen_and_answers_keys_clicks_and_sizes(app: Terminal) -> None:
    assert app.emulator.alternate
    assert not app.cursor[2]
    pressed = app.send("ctrl+p")
    assert 0 < app.wait_for("pressed") - pressed < 5
    app.click_on("push me")
    app.wait_for("pushed")
    app.resize(30, 100)
    app.wait_for("100x30")
    assert len(app.text.split("\n")) == 30
    app.send("tab")
    app.wait_until(lambda: app.emulator.cursor[0] == 5, "the input has the focus")  # keys before that go to the button
    app.type("abc")
    app.wait_for(re.compile(r"\babc\b"))
    app.paste("déf")
    app.wait_for("abcdéf")
    app.wait_gone("pressed")


def test_an_app_that_quits_leaves_the_terminal_as_it_was(app: Terminal) -> None:
    family = app.family()
    assert family[0].pid == app.pid
    app.send("ctrl+q")
    assert app.wait_exit() == 0
    app.assert_restored()
    assert_all_gone(family)


def test_an_app_that_is_killed_does_not(app: Terminal) -> None:
    app.signal(signal.SIGKILL)
    assert app.wait_exit() == -signal.SIGKILL
    with pytest.raises(AssertionError) as refused:
        app.assert_restored()
    for left in ("alternate screen", "cursor shown", "mouse motion", "bracketed paste", "keyboard protocol", "termios"):
        assert left in str(refused.value)


def test_a_wait_that_fails_shows_the_screen_and_ends_with_the_program(open_terminal: Open) -> None:
    terminal = open_terminal(python("print('only this')"))
    began = time.monotonic()
    with pytest.raises(NotSeen, match=r"(?s)something else.*ended with 0.*only this"):
        terminal.wait_for("something else", timeout=60)
    assert time.monotonic() - began < 30


def test_a_wait_gives_up_in_time(open_terminal: Open) -> None:
    terminal = open_terminal(python("import time; print('up', flush=True); time.sleep(60)"))
    terminal.wait_for("up")
    with pytest.raises(NotSeen, match="still running"):
        terminal.wait_for("never", timeout=0.1)
    with pytest.raises(NotSeen, match="its end"):
        terminal.wait_exit(timeout=0.1)


def test_a_command_that_is_not_there_ends_with_127(open_terminal: Open) -> None:
    terminal = open_terminal(["/no/such/program"])
    assert terminal.wait_exit() == 127
    assert "No such file" in terminal.text


def test_exit_codes_output_before_the_end_and_the_size(open_terminal: Open) -> None:
    code = "import os,sys; print('x' * 100_000); print(os.get_terminal_size()); sys.exit(7)"
    terminal = open_terminal(python(code), rows=10, columns=50)
    assert terminal.wait_exit() == 7
    assert len(terminal.raw) > 100_000
    assert "columns=50, lines=10" in terminal.text
    terminal.assert_restored()


def test_ctrl_c_reaches_the_foreground_job(open_terminal: Open) -> None:
    code = (
        "import time\ntry:\n print('up', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n print('interrupted')"
    )
    terminal = open_terminal(python(code))
    terminal.wait_for("up")
    terminal.send("ctrl+c")
    assert terminal.wait_exit() == 0
    terminal.wait_for("interrupted")


def test_a_line_discipline_left_changed_is_noticed(open_terminal: Open) -> None:
    terminal = open_terminal(["stty", "-echo"])
    assert terminal.wait_exit() == 0
    with pytest.raises(AssertionError, match="termios"):
        terminal.assert_restored()


@pytest.mark.parametrize("sequence", ["?1049h", "?25l", "?1003h", "?1006h", "?1016h", "?2004h", "?2048h", ">1u", "?7l"])
def test_every_mode_left_changed_is_noticed(sequence: str) -> None:
    emulator = Emulator(5, 20, lambda data: None, frozenset())
    assert emulator.left_over() == []
    emulator.feed(f"\x1b[{sequence}".encode())
    assert len(emulator.left_over()) == 1
    undo = {"h": "l", "l": "h"}.get(sequence[-1])
    emulator.feed(f"\x1b[{sequence[:-1]}{undo}".encode() if undo else b"\x1b[<1u")
    assert emulator.left_over() == []


def test_children_left_behind_are_noticed_and_then_ended(open_terminal: Open) -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'], start_new_session=True)\n"
        "print('up', flush=True); time.sleep(100)"
    )
    terminal = open_terminal(python(code))
    terminal.wait_for("up")
    family = terminal.family()
    assert len(family) == 2
    terminal.signal(signal.SIGTERM)
    assert terminal.wait_exit() == -signal.SIGTERM
    with pytest.raises(AssertionError, match="processes left behind"):
        assert_all_gone(family, timeout=0.1)
    terminal.close()
    psutil.wait_procs(family, timeout=10)
    assert not any(alive(process) for process in family)


def test_a_hang_up_reaches_the_program(open_terminal: Open) -> None:
    code = "import signal,sys,time; print('up', flush=True); signal.signal(1, lambda *_: sys.exit(9)); time.sleep(100)"
    terminal = open_terminal(python(code))
    terminal.wait_for("up")
    terminal.hang_up()
    assert terminal.wait_exit() in (9, -signal.SIGHUP)


def test_a_paused_terminal_backs_up_and_goes_on(open_terminal: Open) -> None:
    code = "import sys\nfor i in range(200): sys.stdout.write('y' * 4096); sys.stdout.flush()\nprint('all written')"
    terminal = open_terminal(python("input('go?')\n" + code))
    terminal.wait_for("go?")
    with terminal.paused():
        terminal.type("\n")
        with pytest.raises(NotSeen):
            terminal.wait_for("all written", timeout=0.3)
        before = len(terminal.raw)
    terminal.wait_for("all written")
    assert len(terminal.raw) - before > 500_000


def test_nothing_is_shown_inside_a_synchronized_update(open_terminal: Open) -> None:
    code = (
        "import sys, time\n"
        "sys.stdout.write('\\x1b[?2026h half'); sys.stdout.flush(); sys.stdin.readline()\n"
        "sys.stdout.write(' whole\\x1b[?2026l'); sys.stdout.flush(); sys.stdin.readline()"
    )
    terminal = open_terminal(python(code))
    with pytest.raises(NotSeen):
        terminal.wait_for("half", timeout=0.5)
    terminal.type("\n")
    terminal.wait_for("whole")


def test_questions_are_answered(open_terminal: Open) -> None:
    code = (
        "import os, tty, termios\n"
        "old = termios.tcgetattr(0); tty.setraw(0)\n"
        "for ask in ('\\x1b[6n', '\\x1b[c', '\\x1b[?2026$p', '\\x1b[?2048$p'):\n"
        "    os.write(1, ask.encode()); print(repr(os.read(0, 100)), end='\\r\\n', flush=True)\n"
        "termios.tcsetattr(0, termios.TCSANOW, old)"
    )
    terminal = open_terminal(python(code))
    terminal.wait_exit()
    for answer in ("[1;1R", "[?62;22c", "[?2026;2$y", "[?2048;0$y"):
        assert answer in terminal.text
    terminal.assert_restored()


def test_the_main_screen_comes_back_and_commands_are_recorded() -> None:
    emulator = Emulator(3, 20, lambda data: None, frozenset())
    emulator.feed(b"before\x1b[?1049h\x1b[Hinside\x1b]52;c;aGk=\x07\x1b]0;title\x1b\\\x1b[>4;1mend")
    assert emulator.text.startswith("insideend")
    assert (emulator.commands, emulator.title) == (["52;c;aGk="], "title")
    emulator.feed(b"\x1b[?1049l \xc3")
    emulator.feed(b"\xa9\x07")
    assert emulator.text.startswith("before é")
    assert emulator.bells == 1


def test_names_of_keys() -> None:
    assert [encode(name) for name in ("ctrl+p", "shift+tab", "x", "pagedown", "ctrl+right", "f1", "f12", "alt+x")] == [
        b"\x10", b"\x1b[Z", b"x", b"\x1b[6~", b"\x1b[1;5C", b"\x1bOP", b"\x1b[24~", b"\x1bx",
    ]  # fmt: skip
    for unknown in ("hyper+x", "nokey", "ctrl+1"):
        with pytest.raises(ValueError, match="unknown"):
            encode(unknown)


def test_an_idle_program_sends_nothing(app: Terminal) -> None:
    app.wait_quiet(0.2)
    assert app.watch(0.5) == 0
