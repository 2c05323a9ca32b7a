"""How the app's parts keep time: fires that wait, repaints that are held back, a story that waits for its claims."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from workbench.client.flows import noise_would_help
from workbench.client.state import OpenJob, State
from workbench.protocol.codec import Envelope
from workbench.protocol.exits import Exit
from workbench.protocol.messages import Beat, Done, LogLines
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import BEYOND
from workbench.tui.demo import story as story_module
from workbench.tui.demo.scene import Claim, Quiz, Scene, Step
from workbench.tui.demo.steps import STEPS
from workbench.tui.firing import WAITING_LIMIT, Firing
from workbench.tui.wiring import PARTS, Wiring

from .tui_fake import RECIPE, FakeSession, app_with


async def opened(ready: bool = True) -> FakeSession:
    session = FakeSession(ready)
    await session.attach()
    await session.open(RECIPE)
    return session


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


# firing


async def test_a_held_space_bar_does_not_queue_for_ever() -> None:
    session, said = await opened(), []
    session.gate = asyncio.Event()
    firing = Firing(session, lambda words, severity: said.append(words))  # type: ignore[arg-type]
    waiting = [asyncio.create_task(firing.once()) for _ in range(WAITING_LIMIT + 3)]
    await asyncio.sleep(0)
    session.gate.set()
    rows = await asyncio.gather(*waiting)
    assert len(session.state.rows) == WAITING_LIMIT
    assert len(said) == 3
    assert sum(row is not None for row in rows) == 1, "only the last of a burst is worth a look at its difference"


async def test_a_continuous_fire_steps_aside_for_a_mode_change_and_goes_on() -> None:
    session = await opened()
    session.gate = asyncio.Event()
    firing = Firing(session, lambda words, severity: None)  # type: ignore[arg-type]
    going = asyncio.create_task(firing.on())
    await until(lambda: firing.endless and session.state.jobs)
    async with firing.paused():
        assert not session.state.jobs
        session.gate = asyncio.Event()
    await until(lambda: session.state.jobs)
    assert firing.endless
    await session.cancel()
    assert (await going) is not None
    assert len(session.state.rows) == 2


async def test_a_continuous_fire_that_has_not_begun_steps_aside_too() -> None:
    session = await opened()
    session.gate = asyncio.Event()
    firing = Firing(session, lambda words, severity: None)  # type: ignore[arg-type]
    going = asyncio.create_task(firing.on())
    await asyncio.sleep(0)  # both keys of a burst are there before the fire has a number
    async with asyncio.timeout(5):
        async with firing.paused(), firing.paused():
            await session.change(ModeChange(training=True))
            assert not session.state.jobs
        await until(lambda: session.state.jobs)
        await session.cancel()
        assert (await going) is not None


async def test_a_repeat_does_not_queue_behind_a_continuous_fire() -> None:
    session, said = await opened(), []
    session.gate = asyncio.Event()
    firing = Firing(session, lambda words, severity: said.append(words))  # type: ignore[arg-type]
    going = asyncio.create_task(firing.on())
    await until(lambda: session.state.jobs)
    assert await firing.many(100) is None
    assert "esc stops it" in said[-1]
    assert len(session.state.jobs) == 1
    await session.cancel()
    await going


async def test_a_continuous_fire_ends_with_whoever_asked_for_it() -> None:
    session = await opened()
    session.gate = asyncio.Event()
    firing = Firing(session, lambda words, severity: None)  # type: ignore[arg-type]
    going = asyncio.create_task(firing.on())
    await until(lambda: session.state.jobs)
    going.cancel()
    await until(lambda: not session.state.jobs)
    assert not firing.endless


def test_what_runs_is_what_the_bench_fires_before_what_waits_behind_it() -> None:
    def running(*names: str) -> list[int]:
        bench = ("Fire", "Load", "SetReference", "GetDiff")
        jobs = {number: OpenJob(number, name, 0.0, on_bench=name in bench) for number, name in enumerate(names, 1)}
        return [job.number for job in State(jobs=jobs).running]

    assert running() == []
    assert running("Fire", "SetReference") == [1]
    assert running("Export", "Fire", "GetDiff", "Fire") == [4, 2]
    assert running("Load", "Fire") == [1]
    assert running("Start", "Load") == [2]
    assert running("Start") == [1]


async def test_the_cursor_fetches_no_difference_while_something_fires() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=(80, 24)):
        await until(lambda: session.state.info is not None)
        await session.fire()
        await session.fire()
        session.gate = asyncio.Event()
        firing = asyncio.create_task(session.fire(0))
        await until(lambda: session.state.jobs)
        await app.desk.follow(2)
        assert ("diff", 2) not in session.asked
        await session.cancel()
        await firing
        await app.desk.follow(2)
        assert ("diff", 2) in session.asked


# repaints


async def test_events_are_painted_together_and_not_more_often_than_allowed() -> None:
    painted: list[frozenset[str]] = []
    wiring = Wiring(State(engine="ready"), painted.append, 0.2)
    for _ in range(50):
        body = LogLines("bench", ("line",))
        wiring.take(body, Envelope(body))
    await until(lambda: painted)
    assert painted == [frozenset({"log"})]
    assert len(wiring.lines) == 50
    wiring.take(Done(), Envelope(Done()))
    await asyncio.sleep(0.02)
    assert len(painted) == 1, "the next repaint waits its turn"
    await until(lambda: len(painted) == 2)
    assert painted[1] == frozenset(PARTS)
    wiring.close()


async def test_nothing_is_painted_for_what_changes_nothing_and_no_clock_runs_while_idle() -> None:
    painted: list[frozenset[str]] = []
    wiring = Wiring(State(engine="ready"), painted.append, 0.0)
    wiring.take(Beat(), Envelope(Beat()))
    wiring.touch("log")
    wiring.flush()
    assert painted == [frozenset({"log"})]
    assert wiring._clock is None
    wiring.close()


async def test_the_clock_runs_while_a_job_is_open() -> None:
    state = State(engine="ready")
    state.jobs[1] = OpenJob(1, "Export", 0.0)
    wiring = Wiring(state, lambda parts: None, 0.0)
    wiring.flush()
    assert wiring._clock is not None
    wiring.close()


# the yardstick


async def test_noise_is_measured_once_for_a_model_and_only_where_it_could_change_the_mark() -> None:
    session = await opened()
    await session.fire()
    row = await session.fire()

    def helps(multiple: float) -> bool:
        return noise_would_help(
            session,  # type: ignore[arg-type]
            dataclasses.replace(row, mark=BEYOND, max_abs=1e-6, noise_multiple=multiple),
        )

    assert not helps(9e4)
    assert helps(2.0)
    await session.measure_noise()
    session.state.yardstick = "tolerance"  # this model cannot be measured
    assert not helps(2.0)
    await session.reload()
    assert helps(2.0)


# the story


async def _open_fake(scene: Scene) -> None:
    await scene.desk.open(RECIPE)


async def _fire_fake(scene: Scene) -> None:
    await scene.desk.firing.once()


def _two_runs(scene: Scene) -> bool:
    return len(scene.rows(training="train")) >= 2


def _differs(scene: Scene) -> Claim:
    row = scene.rows()[-1]
    return Claim(row.mark == BEYOND, f"{row.mismatched} differ")


FIRE_TWICE = Step("train", "words", "press space twice", ("space", "space"), _two_runs, _differs, _open_fake)
NOT_TRUE = Step("never", "words", "press space", ("space",), lambda scene: bool(scene.rows()),
                lambda scene: Claim(False, "it was not so"))  # fmt: skip
ASKED = Step("quiz", "words", "", (), lambda scene: bool(scene.rows()), lambda scene: Claim(scene.answer == "b", ""),
             None, Quiz("what?", (("a", "this"), ("b", "that")), "b"), _fire_fake)  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses for reading."""
    made = story_module.Story.__init__

    def init(self: story_module.Story, *given: object) -> None:
        made(self, *given, pace=0.0)  # type: ignore[arg-type]

    monkeypatch.setattr(story_module.Story, "__init__", init)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("steps", "code", "held"),
    [((FIRE_TWICE, ASKED), Exit.OK, 2), ((FIRE_TWICE, NOT_TRUE), Exit.VERDICT_NO, 1)],
)
async def test_a_demo_that_plays_itself_leaves_with_what_held(
    steps: tuple[Step, ...], code: Exit, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_module, "STEPS", steps)
    app = app_with(FakeSession(), None, demo=True, autoplay=True)
    async with app.run_test(size=(80, 24)):
        await until(lambda: app.return_code is not None)
    assert app.return_code == code
    story = app.main.story  # type: ignore[attr-defined]
    assert sum(claim.held for claim in story.claims) == held


async def test_a_demo_by_hand_waits_for_the_claim_and_then_for_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_module, "STEPS", (FIRE_TWICE, NOT_TRUE))
    app = app_with(FakeSession(), None, demo=True)
    async with app.run_test(size=(80, 24)) as pilot:
        story = app.main.story  # type: ignore[attr-defined]
        await until(lambda: app.desk.state.info is not None)
        await pilot.press("enter", "space")
        await pilot.pause()
        assert story.claims == [], "one run is not what the step waits for"
        await pilot.press("space")
        await until(lambda: len(story.claims) == 1)
        assert story.claims[0].held
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("space")
        await until(lambda: len(story.claims) == 2)
        assert not story.claims[1].held
        await until(lambda: any("did not hold" in strip.text for strip in app.screen._compositor.render_strips()))
        assert app.return_code is None


def test_every_step_of_the_story_says_what_to_press_or_does_it_itself() -> None:
    for step in STEPS:
        assert bool(step.ask) == bool(step.keys)
        assert step.words.endswith(".")
        assert step.ask or step.prepare or step.quiz
