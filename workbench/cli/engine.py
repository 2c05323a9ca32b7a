"""Runs one command's conversation with an engine, from launch to the last process gone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from workbench.client.launch import launch
from workbench.client.session import Session
from workbench.protocol.codec import Envelope
from workbench.protocol.failures import error
from workbench.protocol.messages import LogLines, Progress

from .talk import ProgressLine
from .worker_lines import WorkerLines

Work = Callable[[Session, ProgressLine], Awaitable[int]]

TICK = 1.0
"""Seconds between two looks of the clock on the progress line."""


def converse(work: Work, bench: bool, python: str = "", quiet: bool = False) -> int:
    """Start an engine, do `work` with it, end it. Returns the exit code that `work` returned.

    `bench`: also start a bench worker; `quiet`: neither progress nor what the model prints is shown.
    Raises `WorkbenchError` with kind "cancelled" on SIGINT, SIGTERM and SIGHUP, when everything has ended.
    """
    return asyncio.run(_converse(work, bench, python, quiet))


async def _converse(work: Work, bench: bool, python: str, quiet: bool) -> int:
    session = Session(launch(bench=bench, python=python), warm=bench, python=python)
    line, printed = ProgressLine(not quiet), WorkerLines()

    def listen(body: Any, envelope: Envelope) -> None:
        match body:
            case Progress():
                line.show(body)
            case LogLines() if not quiet:
                line.clear()
                printed.show(body.role, body.lines)

    session.listen(listen)
    await session.attach()
    line.phase("starting")
    task = asyncio.ensure_future(work(session, line))
    clock = asyncio.create_task(_tick(line))
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise error("cancelled", "Interrupted; nothing was left half done.") from None
    finally:
        clock.cancel()
        line.clear()
        await session.close()
        printed.end()
        for number in signals:
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(number)


async def _tick(line: ProgressLine) -> None:
    while True:
        await asyncio.sleep(TICK)
        line.tick()
