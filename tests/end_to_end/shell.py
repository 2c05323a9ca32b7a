"""The smallest shell: leads the session of a pty and runs one command in the foreground, as a terminal's shell does.

    python -I -S shell.py REPORT CONTROL COMMAND...

The program under test must not lead the session itself: when a session leader ends, the kernel resets the
terminal and signals everybody, which would hide a terminal left raw and children left behind.
Writes "began PID TIME" and "ended STATUS" to the descriptor REPORT and leaves when CONTROL is closed. Stdlib only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import time


def main() -> None:
    report, control, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    os.set_inheritable(report, False)
    os.set_inheritable(control, False)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # handing on the terminal must not stop us
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        become(command)
    signal.signal(signal.SIGHUP, lambda *_: os.killpg(child, signal.SIGHUP))
    os.write(report, f"began {child} {began!r}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(report, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())
    os.read(control, 1)
    os._exit(0)


def become(command: list[str]) -> None:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    # Python ignores some and a job in the background others, and exec would keep that
    for number in (signal.SIGTTOU, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as problem:
        os.write(2, f"{command[0]}: {problem.strerror}\r\n".encode())
        os._exit(127)


main()
