"""The session: one bench as a face sees it, a verb for everything that can be asked. No rendering, no numerics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from workbench.protocol.artifacts import ExportResult, Fingerprint, Inspection, VerifyResult
from workbench.protocol.failures import error
from workbench.protocol.messages import (
    Done,
    Export,
    FindDivergence,
    Fire,
    GetDiff,
    GetFingerprint,
    Inspect,
    Kill,
    Load,
    Loaded,
    MeasureNoise,
    ModesNow,
    Restore,
    SaveState,
    Scan,
    Scanned,
    SetModes,
    SetReference,
    SetYardstick,
    Start,
    Verify,
    WeightsHashed,
    WorkerDied,
    WorkerReady,
)
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.protocol.runs import Diff, Divergence, RunRow, Yardstick

from .conversation import Conversation
from .scratch import Scratch
from .state import State

START_SECONDS = 120.0
"""How long a fresh worker may take in `recover`: an interpreter that says nothing is given up after 30 s already, and
torch from a cold network disk takes a minute."""


Aside = Callable[[], AbstractAsyncContextManager[None]]
"""Makes what is entered around a request that must not wait behind a fire without an end."""


class Session(Conversation):
    """The verbs. Each waits for its result, keeps `state` true, and raises `WorkbenchError` when the answer is no."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        warm: bool = False,
        state: State | None = None,
        python: str = "",
        attended: bool = False,
    ) -> None:
        """As a `Conversation`; `python` and `attended` as `launch` was given them for the bench worker."""
        super().__init__(process, warm, state)
        self.python = python
        """Interpreter of the bench and of the worker that measures noise; empty: the supervisor's own."""
        self._attended = attended
        self.judged_with: Yardstick | None = None
        """What was last measured or given; `state.yardstick` says whether it still holds."""
        self._scratch = Scratch()

    async def close(self) -> None:
        """End the engine and everything it started, and remove what was written for it."""
        await super().close()
        self._scratch.remove()

    # the worker

    async def started(self) -> WorkerReady:
        """Wait for the bench worker that was last asked for, and raise why it did not come; with none, start one."""
        if self.state.ready is not None:
            return self.state.ready
        asked = self._started
        if asked is None or (asked.done() and asked.exception() is None):  # it came, and is gone again
            return await self.start()
        return await asyncio.shield(asked)

    async def start(self, python: str = "", timeout: float = 0.0) -> WorkerReady:
        """Start a bench worker, in the place of the old one if any; without `python` where the last one ran."""
        self.python = python or self.python
        return await self.request(Start(self.python, self._attended), timeout)  # type: ignore[no-any-return]

    async def kill(self) -> None:
        """End the bench worker whatever it does."""
        await self.request(Kill("bench"))

    async def recover(self, python: str = "", timeout: float = 0.0) -> Loaded | None:
        """A fresh worker, in a new engine where that is gone, with the same interpreter, model, weights, modes and
        yardstick, and the inputs of its opening: those drawn since are lost. None when no model had been opened.
        `timeout` is that of the load; the start has one of its own."""
        recipe, modes = self.state.recipe, self.state.modes
        yardstick = self.judged_with
        if yardstick is not None and (yardstick.kind == "tolerance" or yardstick.kind != self.state.yardstick):
            yardstick = None  # of a model or a dtype that was left, or no measurement at all
        if self.state.engine == "gone":
            await self.renew()
        await self.start(python, START_SECONDS)
        if recipe is None:
            return None
        loaded = await self.open(recipe, complete(modes) if modes else ModeChange(), timeout)
        if yardstick is not None:
            await self.use(yardstick)
        return loaded

    # the model

    async def open(self, recipe: Recipe, change: ModeChange | None = None, timeout: float = 0.0) -> Loaded:
        """Put a model on the bench; the one that is there stays if this fails."""
        return await self.request(Load(recipe, change or ModeChange()), timeout)  # type: ignore[no-any-return]

    async def reload(self) -> Loaded:
        """Read the edited source again, with weights, modes and runs kept."""
        recipe, modes = self.open_recipe(), self.state.modes
        change = complete(modes) if modes else ModeChange()
        return await self.request(Load(recipe, change, keep_runs=True, keep_state=True))  # type: ignore[no-any-return]

    async def restore(self) -> Loaded:
        """Parameters and buffers as in the checkpoint again; modes stay."""
        return await self.request(Restore())  # type: ignore[no-any-return]

    async def change(self, change: ModeChange) -> ModesNow:
        """Turn switches; `undo` brings the old ones back."""
        before = self.state.modes
        now: ModesNow = await self.request(SetModes(change))
        if before is not None and before != now.modes:
            self.state.undo.append(before)
        return now

    async def undo(self) -> ModesNow | None:
        """The modes before the last change; None when there is nothing to undo."""
        if not self.state.undo:
            return None
        now: ModesNow = await self.request(SetModes(complete(self.state.undo[-1])))
        self.state.undo.pop()
        return now

    async def hashed(self, loaded: Loaded) -> Loaded:
        """The same with the sha256 of its weights, which for a large file comes after the model."""
        if not loaded.info.weights or loaded.info.weights_sha256:
            return loaded
        come = asyncio.Event()
        stop = self.listen(lambda body, _: come.set() if isinstance(body, WeightsHashed | WorkerDied | Done) else None)
        try:
            while self.state.engine == "ready" and self.state.info and not self.state.info.weights_sha256:
                come.clear()
                await come.wait()
        finally:
            stop()
        known = self.state.info.weights_sha256 if self.state.info is not None else ""
        return dataclasses.replace(loaded, info=dataclasses.replace(loaded.info, weights_sha256=known))

    # runs

    async def fire(self, count: int = 1, new_inputs: bool = False, timeout: float = 0.0) -> RunRow:
        """Run the model; `count` 0 goes on until `cancel`."""
        return await self.request(Fire(count, new_inputs), timeout)  # type: ignore[no-any-return]

    async def set_reference(self, run: int) -> None:
        """Compare with `run` from now on."""
        await self.request(SetReference(run))
        self.state.reference = run

    async def diff(self, run: int, against: int = 0) -> Diff:
        return await self.request(GetDiff(run, against))  # type: ignore[no-any-return]

    async def divergence(self, run: int, against: int = 0) -> Divergence:
        return await self.request(FindDivergence(run, against))  # type: ignore[no-any-return]

    async def measure_noise(
        self, timeout: float = 0.0, budget: float = 0.0, aside: Aside = contextlib.nullcontext
    ) -> Yardstick:
        """Measure eager's own error in a process of its own, and judge with it from now on.

        With a `budget` in seconds, a model too slow for it is judged by tolerance. `aside` is entered while the bench
        is needed. When another model, or another dtype or device, is there by the time it is known, it is not used.
        """
        recipe, modes, epoch = self.open_recipe(), self.state.modes or Modes(), self.state.epoch
        self.state.noise_asked = epoch
        async with self.saved_state(timeout, aside) as state:
            wanted = MeasureNoise(recipe, modes, state, budget, self.python)
            yardstick: Yardstick = await self.request(wanted, timeout)
        async with aside():
            await self.settled("Load", "SetModes", "Restore")
            if self.state.epoch == epoch:
                await self.use(yardstick)
        return yardstick

    async def use(self, yardstick: Yardstick) -> None:
        """Judge with this yardstick from now on; rows already there are judged again."""
        await self.request(SetYardstick(yardstick))
        self.judged_with = yardstick

    # artifacts

    async def export(
        self, request: Export, timeout: float = 0.0, aside: Aside = contextlib.nullcontext
    ) -> ExportResult:
        """Make, prove and publish an artifact. With a model on the bench, of its present parameters and buffers.

        `aside` is entered while the bench writes them.
        """
        if self.state.info is None or request.state:
            return await self.request(request, timeout)  # type: ignore[no-any-return]
        async with self.saved_state(timeout, aside) as state:
            return await self.request(dataclasses.replace(request, state=state), timeout)  # type: ignore[no-any-return]

    async def verify(self, request: Verify, aside: Aside = contextlib.nullcontext) -> VerifyResult:
        """Prove a bundle; or, with a recipe, what others made: against the model on the bench as it is now, if any."""
        if self.state.info is None or request.recipe is None or request.state:
            return await self.request(request)  # type: ignore[no-any-return]
        async with self.saved_state(0.0, aside) as state:
            return await self.request(dataclasses.replace(request, state=state))  # type: ignore[no-any-return]

    async def fingerprint(self, path: str) -> Fingerprint:
        return await self.request(GetFingerprint(path))  # type: ignore[no-any-return]

    async def inspect(self, path: str, timeout: float = 0.0) -> Inspection:
        return await self.request(Inspect(path), timeout)  # type: ignore[no-any-return]

    async def scan(self, path: str) -> Scanned:
        """What a source file offers, without running it."""
        return await self.request(Scan(path))  # type: ignore[no-any-return]

    # inside

    def open_recipe(self) -> Recipe:
        if self.state.recipe is None:
            raise error("usage", "No model is open.", remedy="Open one with o.")
        return self.state.recipe

    @contextlib.asynccontextmanager
    async def saved_state(self, timeout: float, aside: Aside) -> AsyncIterator[str]:
        """The bench's parameters and buffers as they are now, in a private file for one request of another worker.

        Raises `WorkbenchError("usage")` when they are no longer those of the model that was there at the call.
        """
        epoch = self.state.epoch
        with self._scratch.file() as path:
            async with aside():
                await self.request(SaveState(str(path)), timeout)
            if self.state.epoch != epoch:
                raise error("usage", "The model on the bench was changed meanwhile.", remedy="Ask for it again.")
            yield str(path)


def complete(modes: Modes) -> ModeChange:
    """The change that leads to exactly these modes from any others."""
    return ModeChange(
        training=modes.training,
        flips=modes.flips,
        grad=modes.grad,
        rng=modes.rng,
        seed=modes.seed,
        dtype=modes.dtype,
        device=modes.device,
        threads=modes.threads,
        keep_outputs=modes.keep_outputs,
    )
