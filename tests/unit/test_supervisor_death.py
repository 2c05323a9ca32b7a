"""Causes of death in words."""

from __future__ import annotations

import pytest

from workbench.supervisor.death import cause, crash_place, last_error

SEGFAULT = (
    "Fatal Python error: Segmentation fault",
    "",
    "Thread 0x00007f01 (most recent call first):",
    '  File "/app/other.py", line 9 in reader',
    "",
    "Current thread 0x00007f02 (most recent call first):",
    '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at',
    '  File "/home/me/net.py", line 12 in forward',
    '  File "/v/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1775 in _call_impl',
    "",
    "Extension modules: torch._C (total: 1)",
)

ABORTED = ("terminate called after throwing an instance of 'std::runtime_error'", "  what():  no kernel for this shape")


@pytest.mark.parametrize(
    ("code", "rung", "tail", "starved", "words"),
    [
        (-11, "", SEGFAULT, False, "segmentation fault in native code, at /home/me/net.py:12 in forward"),
        (-11, "", (), False, "segmentation fault in native code"),
        (-6, "", ABORTED, False, "native code aborted: what():  no kernel for this shape"),
        (-9, "", (), True, "killed by the kernel: out of memory"),
        (-9, "", (), False, "killed from outside (SIGKILL)"),
        (-9, "", (), None, "killed from outside (SIGKILL; the kernel does that too when memory runs out)"),
        (-15, "", (), False, "killed from outside (SIGTERM)"),
        (-7, "", (), False, "bus error: a file that was mapped into memory became shorter or could not be read"),
        (0, "", (), False, "it ended by itself (exit code 0)"),
        (3, "", (), False, "it called os._exit(3)"),
        (3, "", ("/usr/bin/python3 cannot import torch: ModuleNotFoundError: No module named 'torch'",), False,
         "/usr/bin/python3 cannot import torch: ModuleNotFoundError: No module named 'torch'"),
        (-9, "kill", (), True, "ended by the workbench: killed, for it did not answer"),
        (0, "asked", (), False, "ended by the workbench: it went when asked"),
    ],
)  # fmt: skip
def test_cause(code: int, rung: str, tail: tuple[str, ...], starved: bool | None, words: str):
    assert cause(code, rung, tail, starved) == words


def test_every_signal_has_words():
    for number in range(1, 65):
        assert cause(-number)


def test_place_is_the_first_frame_of_the_persons_own_code():
    assert crash_place(SEGFAULT) == "at /home/me/net.py:12 in forward"
    library_only = [line for line in SEGFAULT if "net.py" not in line]
    assert crash_place(library_only) == "at /usr/lib/python3.11/ctypes/__init__.py:519 in string_at"
    assert crash_place(["Current thread 0x1 (most recent call first):", "  <no Python frame>"]) == ""


def test_error_of_the_last_traceback():
    tail = (
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "ValueError: an older one",
        "Traceback (most recent call last):",
        '  File "b.py", line 2, in <module>',
        "    import torch",
        "ModuleNotFoundError: No module named 'torch'",
        "some line after it",
    )
    assert last_error(tail) == "ModuleNotFoundError: No module named 'torch'"
    assert last_error(("a plain line", "KeyError: printed by somebody")) == ""
