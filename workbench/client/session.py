"""The session: one bench as a face sees it, a verb for everything that can be asked. No rendering, no numerics."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

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
from .launch import START_JOB
from .state import State


class Session(Conversation):
    """The verbs. Each waits for its result, keeps `state` true, and raises `WorkbenchError` when the answer is no."""

    def __init__(self, process: subprocess.Popen[bytes], warm: bool = False, state: State | None = None) -> None:
        super().__init__(process, warm, state)
        self._scratch = ""

    async def close(self) -> None:
        """End the engine and everything it started, and remove what was written for it."""
        await super().close()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # the worker

    async def started(self) -> WorkerReady:
        """Wait for the bench worker that `launch` asked for; start one when none was asked for."""
        if START_JOB in self._futures:
            return await asyncio.shield(self._futures[START_JOB])
        return self.state.ready or await self.start()

    async def start(self, python: str = "") -> WorkerReady:
        """Start a bench worker, in the place of the old one if there is one."""
        self.state.engine = "starting"
        return await self.request(Start("bench", python))  # type: ignore[no-any-return]

    async def kill(self) -> None:
        """End the bench worker whatever it does."""
        await self.request(Kill("bench"))

    async def recover(self, python: str = "") -> Loaded | None:
        """A fresh worker with the same model, weights, inputs and modes; None when no model had been opened."""
        recipe, modes = self.state.recipe, self.state.modes
        await self.start(python)
        if recipe is None:
            return None
        return await self.open(recipe, complete(modes) if modes else ModeChange())

    # the model

    async def open(self, recipe: Recipe, change: ModeChange | None = None, timeout: float = 0.0) -> Loaded:
        """Put a model on the bench; the one that is there stays if this fails."""
        loaded: Loaded = await self.request(Load(recipe, change or ModeChange()), timeout)
        self.state.recipe = recipe
        self.state.undo.clear()
        return loaded

    async def reload(self) -> Loaded:
        """Read the edited source again, with weights, modes and runs kept."""
        recipe, modes = self._recipe(), self.state.modes
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

    async def measure_noise(self, timeout: float = 0.0, budget: float = 0.0) -> Yardstick:
        """Measure eager's own error in a process of its own, and judge with it from now on.

        With a `budget` in seconds, a model too slow for it is judged by tolerance.
        """
        recipe, modes = self._recipe(), self.state.modes or Modes()
        state = await self._save_state()
        yardstick: Yardstick = await self.request(MeasureNoise(recipe, modes, state, budget), timeout)
        await self.use(yardstick)
        return yardstick

    async def use(self, yardstick: Yardstick) -> None:
        """Judge with this yardstick from now on; rows already there are judged again."""
        await self.request(SetYardstick(yardstick))
        self.state.yardstick = yardstick.kind

    # artifacts

    async def export(self, request: Export, timeout: float = 0.0) -> ExportResult:
        """Make, prove and publish an artifact. With a model on the bench, of its present parameters and buffers."""
        if self.state.info is not None and not request.state:
            request = dataclasses.replace(request, state=await self._save_state())
        result: ExportResult = await self.request(request, timeout)
        self.state.exports[result.kind] = result
        return result

    async def verify(self, request: Verify) -> VerifyResult:
        result: VerifyResult = await self.request(request)
        self.state.verified[result.path] = result
        return result

    async def fingerprint(self, path: str) -> Fingerprint:
        return await self.request(GetFingerprint(path))  # type: ignore[no-any-return]

    async def inspect(self, path: str, timeout: float = 0.0) -> Inspection:
        return await self.request(Inspect(path), timeout)  # type: ignore[no-any-return]

    async def scan(self, path: str) -> Scanned:
        """What a source file offers, without running it."""
        return await self.request(Scan(path))  # type: ignore[no-any-return]

    # inside

    def _recipe(self) -> Recipe:
        if self.state.recipe is None:
            raise error("usage", "No model is open.", remedy="Open one with o.")
        return self.state.recipe

    async def _save_state(self) -> str:
        """The bench's parameters and buffers in a private file, for another worker."""
        if not self._scratch:
            self._scratch = tempfile.mkdtemp(prefix="workbench-")
        path = Path(self._scratch) / "state.safetensors"
        await self.request(SaveState(str(path)))
        return str(path)


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
