"""Several exports of one model, one after the other: where each goes, and what they come to together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.protocol.artifacts import KINDS, ExportResult
from workbench.protocol.exits import Exit, exit_for, worst
from workbench.protocol.failures import Failure, WorkbenchError, error

if TYPE_CHECKING:  # the face has its queue before the messages are imported
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


class Dropped(WorkbenchError):
    """An export was taken out of the queue before its turn came."""


@dataclass(eq=False)
class _Place:
    """One place in the queue."""

    kind: str
    out: str
    turn: asyncio.Future[None]
    """Done when it comes to the front; fails when it is dropped before."""


class ExportQueue:
    """Exports that were asked for while another runs: one at a time, in the order of asking."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    @property
    def kinds(self) -> list[str]:
        """Kinds that run or wait, the running one first."""
        return [one.kind for one in self._places]

    @property
    def outs(self) -> list[str]:
        """Where they go."""
        return [one.out for one in self._places]

    @contextlib.asynccontextmanager
    async def turn(self, request: Export) -> AsyncIterator[None]:
        """Entered when all that were asked for before have ended. Raises `Dropped` when it was taken out
        before."""
        place = _Place(request.kind, request.out, asyncio.get_running_loop().create_future())
        self._places.append(place)
        try:
            if self._places[0] is not place:
                await place.turn
            yield
        finally:
            self._remove(place)

    def drop(self, kind: str) -> bool:
        """Take one that waits out of the queue; False when none of this kind does."""
        place = next((one for one in self._places[1:] if one.kind == kind and not one.turn.done()), None)
        if place is None:
            return False
        self._remove(place)
        place.turn.set_exception(Dropped(Failure("cancelled", f"{kind} was taken out of the queue.")))
        return True

    def _remove(self, place: _Place) -> None:
        if place in self._places:
            self._places.remove(place)
        if self._places and not self._places[0].turn.done():
            self._places[0].turn.set_result(None)
