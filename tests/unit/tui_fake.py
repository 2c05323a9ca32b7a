"""A session without an engine, for tests of the app: it answers at once, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from workbench.client.session import Aside
from workbench.client.state import OpenJob, State
from workbench.protocol.artifacts import CheckRow, ExportResult, Fingerprint, VerifyResult
from workbench.protocol.codec import Envelope, plain
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import Check, Done, Export, Loaded, ModesNow, Scanned, Verify, WorkerDied, WorkerReady
from workbench.protocol.model import Candidate, InputInfo, ModeChange, ModelInfo, Modes, ModuleColumns, Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL, Diff, Divergence, LeafDiff, RunRow, Spread, Yardstick
from workbench.tui.app import WorkbenchApp
from workbench.tui.options import AppOptions

from .pane_records import export_result, proof

RECIPE = Recipe("story.py:Net")

COLUMNS = ModuleColumns(
    names=("", "fc", "drop"), depths=(0, 1, 1), type_index=(0, 1, 2), types=("Net", "Linear", "Dropout"),
    parameters=(44, 44, 0), details=("", "in_features=10, out_features=4", "p=0.5"),
)  # fmt: skip

INFO = ModelInfo(
    name="Net", target="story.py:Net", source="story.py", source_sha256="", weights="", weights_sha256="",
    trust="CODE (Python)", parameters=44, parameter_bytes=176, buffer_bytes=0, dtypes={"float32": 44}, modules=COLUMNS,
    inputs=(InputInfo("x", "x=float32[4,10]", "given", parts=("x=float32[4,10]",)),), batch=4, seconds=0.1,
)  # fmt: skip


def spread(count: int = 1) -> Spread:
    return Spread(count, 1e-3, 1e-3, 1e-3, 1e-3, 0.0, 1000.0)


class FakeSession:
    """The verbs of `client.session.Session`; in train mode runs differ, in eval mode they do not."""

    def __init__(self, ready: bool = True) -> None:
        self.state = State()
        self.asked: list[Any] = []
        self.refuse: WorkbenchError | None = None
        """Raised by the next verb that could fail."""
        self.answers: dict[str, Callable[[Any, asyncio.Event], Awaitable[Any]]] = {}
        """How requests are answered, by their name; the event is set when they are cancelled. Others get None."""
        self.worker = asyncio.Event()
        self.gate: asyncio.Event | None = None
        """While set, a fire waits for it, or until it is cancelled."""
        self._stops: dict[int, asyncio.Event] = {}
        self._listeners: list[Callable[[Any, Envelope], None]] = []
        self._ready = ready
        self._numbers = 1

    async def attach(self) -> None:
        if self._ready:
            self.become_ready()

    def become_ready(self) -> None:
        ready = WorkerReady("bench", 1, "3.11", "2.13.0", (), 2, 1.0)
        self.state.engine, self.state.ready, self.state.died = "ready", ready, None
        self.worker.set()
        self.tell(ready)

    def die(self, cause: str) -> None:
        died = WorkerDied("bench", 1, cause, -11, "", (), "Fire", False)
        self.state.engine, self.state.ready, self.state.died = "dead", None, died
        self.tell(died)

    def listen(self, listener: Callable[[Any, Envelope], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, body: Any) -> None:
        for listener in tuple(self._listeners):
            listener(body, Envelope(body, None, "bench"))

    async def started(self) -> WorkerReady:
        await self.worker.wait()
        assert self.state.ready is not None
        return self.state.ready

    async def close(self) -> None:
        self.asked.append("close")

    async def kill(self) -> None:
        self.asked.append("kill")
        self.die("ended on purpose")

    async def recover(self, python: str = "") -> Loaded | None:
        self.asked.append("recover")
        self.become_ready()
        recipe = self.state.recipe
        return None if recipe is None else await self.open(recipe)

    async def cancel(self, number: int = 0) -> bool:
        self.asked.append(("cancel", number))
        targets = [number] if number else [job.number for job in self.state.running]
        for target in targets:
            if target in self._stops:
                self._stops[target].set()
        return bool(targets)

    judged_with = None
    python = ""

    def open_recipe(self) -> Recipe:
        assert self.state.recipe is not None
        return self.state.recipe

    @contextlib.asynccontextmanager
    async def saved_state(self, timeout: float, aside: Aside) -> AsyncIterator[str]:
        async with aside():
            yield "state.pt"

    async def request(self, body: Any, timeout: float = 0.0) -> Any:
        self._answer(body)
        if isinstance(body, Check):
            return self._checked(body)
        answers = self.answers.get(type(body).__name__)
        if answers is None:
            return None
        number = self._numbers = self._numbers + 1
        self.state.jobs[number] = OpenJob(number, type(body).__name__, asyncio.get_running_loop().time())
        self._stops[number] = asyncio.Event()
        try:
            result = await answers(body, self._stops[number])
        finally:
            del self.state.jobs[number], self._stops[number]
        return self._done(result)

    def _checked(self, asked: Check) -> CheckRow:
        assert self.state.modes is not None
        training = self.state.modes.training and asked.id in ("modes", "repeatable")
        words = "drop (Dropout) is in train mode." if training else f"evidence of {asked.id}"
        return CheckRow(asked.id, "fail" if training else "pass", words, "dropout" if training else "",
                        "Press e for eval (--mode eval)." if training else "")  # fmt: skip

    async def open(self, recipe: Recipe, change: ModeChange | None = None, timeout: float = 0.0) -> Loaded:
        self._answer(("open", recipe))
        state = self.state
        state.recipe, state.info = recipe, dataclasses.replace(INFO, name=recipe.target.rpartition(":")[2])
        state.modes = _changed(Modes(), change or ModeChange())
        state.rows.clear()
        state.undo.clear()
        state.epoch += 1
        state.reference = 0
        return self._done(Loaded(state.info, state.modes))

    async def reload(self) -> Loaded:
        self._answer("reload")
        assert self.state.info is not None
        assert self.state.modes is not None
        self.state.epoch += 1
        return self._done(Loaded(self.state.info, self.state.modes, keep_runs=True))

    async def restore(self) -> Loaded:
        self._answer("restore")
        return await self.reload()

    async def change(self, change: ModeChange) -> ModesNow:
        self._answer(change)
        assert self.state.modes is not None
        self.state.undo.append(self.state.modes)
        self.state.modes = _changed(self.state.modes, change)
        return self._done(ModesNow(self.state.modes))

    async def undo(self) -> ModesNow | None:
        self.asked.append("undo")
        self.state.modes = self.state.undo.pop()
        return self._done(ModesNow(self.state.modes))

    async def fire(self, count: int = 1, new_inputs: bool = False, timeout: float = 0.0) -> RunRow:
        self._answer(("fire", count, new_inputs))
        number = self._numbers = self._numbers + 1
        self.state.jobs[number] = OpenJob(number, "Fire", asyncio.get_running_loop().time(), on_bench=True)
        self._stops[number] = asyncio.Event()
        try:
            if self.gate is not None:
                waits = [asyncio.ensure_future(event.wait()) for event in (self.gate, self._stops[number])]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self.state.jobs[number], self._stops[number]
            row = self._row(max(1, count))  # a caller who left has not undone what ran
            self.state.rows[row.run] = row
            self.state.reference = self.state.reference or row.run
            self.tell(row)
        return self._done(row)

    async def set_reference(self, run: int) -> None:
        self._answer(("reference", run))
        self.state.reference = run

    async def diff(self, run: int, against: int = 0) -> Diff:
        self._answer(("diff", run))
        mark = self.state.rows[run].mark
        leaf = LeafDiff("output", mark, dtype="float32", shape=(4, 10), elements=40, mismatched=40, max_abs=0.49,
                        scale=1.0, noise_largest=0.49)  # fmt: skip
        return Diff(run, against or self.state.reference, mark, "", (leaf,), "tolerance")

    async def divergence(self, run: int, against: int = 0) -> Divergence:
        self._answer(("divergence", run))
        words = "drop (Dropout p=0.5) is in train mode."
        return Divergence(run, self.state.reference, "drop", 0, "Dropout", "dropout", 0.49, "story.py:20", words, "e")

    async def measure_noise(
        self, timeout: float = 0.0, budget: float = 0.0, aside: Aside = contextlib.nullcontext
    ) -> Yardstick:
        self._answer("noise")
        self.state.noise_asked = self.state.epoch
        self.state.yardstick = "float64"
        return Yardstick("float64")

    async def use(self, yardstick: Yardstick) -> None:
        self._answer(yardstick)
        self.state.yardstick = yardstick.kind

    async def export(
        self, request: Export, timeout: float = 0.0, aside: Aside = contextlib.nullcontext
    ) -> ExportResult:
        async with aside():
            self._answer(request)
        result = dataclasses.replace(export_result(request.kind), path=request.out)
        self.state.exports[request.kind] = result
        return self._done(result)

    async def verify(self, request: Verify, aside: Aside = contextlib.nullcontext) -> VerifyResult:
        async with aside():
            self._answer(request)
        result = VerifyResult(request.path, request.kind or "runner", proof(), 1.0)
        self.state.verified[request.path or "command"] = result
        return self._done(result)

    async def scan(self, path: str) -> Scanned:
        self._answer(("scan", path))
        return Scanned(
            path, (Candidate("Net", "class", 3, ("width: int = 4",), "A net."), Candidate("make", "factory", 9, ()))
        )

    async def fingerprint(self, path: str) -> Fingerprint:
        self._answer(("fingerprint", path))
        return Fingerprint(path, "pt2", "ab" * 32, "CODE (Python)")

    def _answer(self, asked: Any) -> None:
        self.asked.append(asked)
        if self.refuse is not None:
            refused, self.refuse = self.refuse, None
            raise refused

    def _done(self, result: Any) -> Any:
        self.tell(Done({"type": type(result).__name__, "body": plain(result)}))
        return result

    def _row(self, count: int) -> RunRow:
        state = self.state
        assert state.modes is not None
        first = not state.rows
        mark = "" if first else BEYOND if state.modes.training else IDENTICAL
        return RunRow(
            run=max(state.rows, default=0) + 1, count=count, running=False,
            training=state.modes.training_word,
            grad=state.modes.grad, rng=state.modes.rng, dtype="float32", device="cpu", latency=spread(count),
            reference=first, against=0 if first else state.reference, mark=mark,
            max_abs=0.49 if mark == BEYOND else 0.0,
            noise_multiple=9e4 if mark == BEYOND else 0.0,
            mismatched=40 if mark == BEYOND else 0, elements=40,
            differing=0, compared=count, cause="drop (train)" if mark == BEYOND else "", saved_bytes=2048,
            output_bytes=160, rss=10**8, growth=0.0, yardstick="float64" if mark == BEYOND else "",
        )  # fmt: skip


def _changed(modes: Modes, change: ModeChange) -> Modes:
    known = {name: value for name, value in dataclasses.asdict(change).items() if value is not None}
    module, flag = known.pop("module", None), known.pop("module_training", None)
    if module is not None:
        known["flips"] = (module,) if flag != modes.training else ()
    return dataclasses.replace(modes, **known)


def refusal(kind: str = "weights") -> WorkbenchError:
    return error(kind, "What happened.", "net.pt", "Press o.", "Traceback: the whole of it")


def app_with(session: FakeSession, recipe: Recipe | None = RECIPE, **options: Any) -> WorkbenchApp:
    """An app on a fake session."""
    return WorkbenchApp(
        session.state,
        lambda state: session,  # type: ignore[arg-type,return-value]
        recipe,
        ModeChange(),
        AppOptions(**options),
    )
