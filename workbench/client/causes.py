"""Verbs of a session about causes: where the error of a run starts and grows."""

from __future__ import annotations

from workbench.protocol.cause import ErrorTable, MeasureErrors

from .session import Session


async def errors(session: Session, run: int, against: int = 0, timeout: float = 0.0) -> ErrorTable:
    """The error of every module call of `run` against another run, 0: the reference."""
    return await session.request(MeasureErrors(run, against), timeout)  # type: ignore[no-any-return]
