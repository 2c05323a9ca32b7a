"""What workers print, as the command line shows it."""

from __future__ import annotations

import pytest

from workbench.cli.worker_lines import WorkerLines

KERNEL = "/a/Index.cu:16: gather: block: [{0},0,0], thread: [{1},0,0] Assertion `ind < size` failed."


def test_each_line_is_shown_but_those_of_a_failed_kernel_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    printed = WorkerLines()
    printed.show("bench", ["step 1", "step 2", KERNEL.format(1, 2)])
    printed.show("bench", [KERNEL.format(1, number) for number in range(30)])
    printed.show("bench", ["step 3", KERNEL.format(9, 9), KERNEL.format(9, 8)])
    printed.end()
    assert capsys.readouterr().err.splitlines() == [
        "[bench] step 1",
        "[bench] step 2",
        f"[bench] {KERNEL.format(1, 2)}",
        "… 30 more like it",
        "[bench] step 3",
        f"[bench] {KERNEL.format(9, 9)}",
        "… 1 more like it",
    ]
