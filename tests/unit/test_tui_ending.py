"""Endings: a supervisor that nobody talks to any more is gone, asked or not, and the terminal is told everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from workbench.protocol.exits import Exit
from workbench.tui.ending import RESTORE, Ending, end_process

OBEDIENT = "import sys; sys.stdin.read()"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def started(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


def test_an_engine_ends_with_its_stdin() -> None:
    process = started(OBEDIENT)
    end_process(process)
    assert process.returncode == 0


def test_one_that_does_not_is_killed() -> None:
    process = started(STUBBORN)
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    end_process(process, seconds=0.2)
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_asks_the_app_to_leave_and_old_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    ending, asked = Ending(started(OBEDIENT)), []
    ending.leave = asked.append
    with ending.guard():
        os.kill(os.getpid(), number)
    assert asked == [Exit.INTERRUPTED]
    assert signal.getsignal(number) is before
    assert ending.process.returncode is not None


def test_the_engine_goes_with_an_app_that_crashes() -> None:
    ending = Ending(started(OBEDIENT))
    with pytest.raises(ZeroDivisionError), ending.guard():
        raise ZeroDivisionError
    assert ending.process.returncode is not None


@pytest.mark.parametrize("mode", ["1049", "1000", "1003", "1006", "1016", "2004", "2048"])
def test_every_mode_that_an_app_may_have_set_is_taken_back(mode: str) -> None:
    assert f"\x1b[?{mode}l" in RESTORE
    assert RESTORE.endswith("\x1b[?25h")
