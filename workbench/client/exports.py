"""Several exports of one model, one after the other: where each goes, and what they come to together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from workbench.protocol.artifacts import KINDS, ExportResult
from workbench.protocol.exits import Exit, exit_for, worst
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Export


def exit_of(verdict: str) -> Exit:
    """The code of a proof's verdict: what could not be proven would not load or run."""
    return {"pass": Exit.OK, "fail": Exit.VERDICT_NO, "error": Exit.LOAD}[verdict]


@dataclass(frozen=True)
class Ended:
    """One export of several: a result, or why there is none."""

    kind: str
    result: ExportResult | None
    failure: Failure | None = None

    @property
    def published(self) -> bool:
        """Whether there is a proven bundle now."""
        return self.result is not None and self.result.published

    @property
    def code(self) -> Exit:
        """What this one alone would leave with."""
        if self.result is None:
            return exit_for(self.failure.kind if self.failure is not None else "internal")
        return exit_of(self.result.proof.verdict)


def kinds_of(asked: Iterable[str]) -> tuple[str, ...]:
    """Kinds as they were asked for: "export,onnx", or one at a time. Raises `WorkbenchError("usage")`."""
    kinds = [one.strip() for text in asked for one in text.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            message = f"There is no artifact kind {kind!r}." if kind else "--to wants the kind of artifact."
            raise error("usage", message, "--to", f"Choose among {', '.join(KINDS)}.")
    return tuple(dict.fromkeys(kinds))


def each_kind(request: Export, kinds: tuple[str, ...]) -> list[Export]:
    """One request a kind: into `out` itself for a single one, into `out/KIND` for several."""
    if len(kinds) == 1:
        return [dataclasses.replace(request, kind=kinds[0])]
    return [dataclasses.replace(request, kind=kind, out=os.path.join(request.out, kind)) for kind in kinds]


async def run_exports(
    requests: Iterable[Export], run: Callable[[Export], Awaitable[ExportResult]], show: Callable[[Ended], None]
) -> tuple[list[Ended], Exit]:
    """Do them in their order; one that fails does not keep the others from being tried.

    Returns what each came to, and the code to leave with. Raises the `WorkbenchError` that ends all of them:
    "cancelled" or "internal".
    """
    ended = []
    for request in requests:
        try:
            one = Ended(request.kind, await run(request))
        except WorkbenchError as problem:
            if problem.failure.kind in ("cancelled", "internal"):
                raise
            one = Ended(request.kind, None, problem.failure)
        show(one)
        ended.append(one)
    return ended, worst(one.code for one in ended)


class ExportQueue:
    """Exports that were asked for while another runs: one at a time, in the order of asking."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        """Kinds that run or wait, the running one first."""
        self.outs: list[str] = []
        """Where they go."""
        self._turn = asyncio.Lock()  # serves in the order of asking

    @contextlib.asynccontextmanager
    async def turn(self, request: Export) -> AsyncIterator[None]:
        """Entered when all that were asked for before have ended."""
        self.kinds.append(request.kind)
        self.outs.append(request.out)
        try:
            async with self._turn:
                yield
        finally:
            self.kinds.remove(request.kind)
            self.outs.remove(request.out)
