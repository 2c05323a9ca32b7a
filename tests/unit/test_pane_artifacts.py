from dataclasses import replace

import pytest

from tests.unit.pane_host import hosted
from tests.unit.pane_records import export_result, proof
from workbench.protocol.artifacts import CheckRow, Speed, VerifyResult
from workbench.protocol.failures import Failure
from workbench.protocol.messages import Progress
from workbench.tui.draw.artifact_lines import speed_words
from workbench.tui.panes.artifacts import ArtifactsPane

SPEED = Speed(0.0123, 0.0095, 1.3, 1.2, 1.4, 1.0, 0.98, 1.03, 20, 2, 4)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(1.3, "1.3× faster (A/A 0.98–1.03)"), (0.5, "2.0× slower (A/A 0.98–1.03)"), (1.02, "same speed (A/A 0.98–1.03)")],
)
def test_speed_is_believed_only_beyond_its_control(ratio: float, words: str) -> None:
    assert speed_words(replace(SPEED, ratio=ratio)) == words


def test_a_wide_control_swallows_the_gain() -> None:
    assert speed_words(replace(SPEED, control_low=0.5, control_high=1.9)).startswith("same speed")


async def test_one_line_a_kind_through_its_life() -> None:
    pane = ArtifactsPane()
    async with hosted(pane, (100, 30)) as (host, pilot):
        assert host.has("export   not made yet")
        pane.wait("export", "aoti")
        await pilot.pause()
        assert host.has("… export   waits for aoti")
        pane.start("export")
        pane.progress("export", Progress("proving case 3 of 16", 3, 16, 41.0))
        await pilot.pause()
        assert host.has("◌ export   00:41  proving case 3 of 16  19%")
        pane.finish("export", export_result("export"))
        await pilot.pause()
        assert host.has("≈ export   proven 16 cases, 1.1× noise  1.3× faster (A/A 0.98–1.03)  46.0 MB")
        pane.fail("trace", Failure("export", "it returns a cache", "model.py:41", "use export"))
        await pilot.pause()
        assert host.has("✗ trace    it returns a cache  model.py:41")


async def test_what_is_said_again_does_not_set_the_clock_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pane, now = ArtifactsPane(), 100.0
    monkeypatch.setattr("workbench.tui.panes.artifacts.monotonic", lambda: now)
    async with hosted(pane, (100, 30)) as (host, pilot):
        pane.start("aoti")
        pane.progress("aoti", Progress("compiling native code", 0, 0, 5.0))
        now = 130.0
        pane.progress("aoti", Progress("compiling native code", 0, 0, 5.0))
        await pilot.pause()
        assert host.has("◌ aoti     00:35")


async def test_a_refusal_names_its_reason_and_is_not_called_published() -> None:
    checks = (CheckRow("integrity", "pass", "3 files"), CheckRow("values", "fail", "0.5 off", "branch at model.py:41"))
    pane = ArtifactsPane()
    async with hosted(pane, (100, 20)) as (host, pilot):
        pane.finish("weights", export_result("weights", proof("fail", "beyond", checks), published=False))
        await pilot.pause()
        assert host.has("✗ weights  values: branch at model.py:41")
        assert host.has("refused; kept for looking at in out/weights.failed")
        assert host.has("✗ values        fail  0.5 off")


async def test_what_was_never_called_is_not_called_proven() -> None:
    pane = ArtifactsPane()
    async with hosted(pane, (120, 20)) as (host, pilot):
        pane.finish("weights", export_result("weights", replace(proof(mark="identical"), cases=0)))
        await pilot.pause()
        assert host.has("= weights  no answer was compared; hashes, names and shapes hold")
        assert not host.has("proven")


async def test_details_follow_the_cursor() -> None:
    pane = ArtifactsPane()
    async with hosted(pane, (100, 30)) as (host, pilot):
        pane.finish("export", export_result("export"))
        pane.finish("other.pt2", VerifyResult("other.pt2", "pt2", proof(), 3.0))
        await pilot.pause()
        assert host.has("≈ verify   proven 16 cases, 1.1× noise  other.pt2")
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert host.has("✓ weights_match pass  evidence of weights_match")
        assert host.has("dynamic x[0] = batch in [1, 64]")
        assert host.has("guards: unguarded beyond batch 64")
        assert [type(said).__name__ for said in host.said] == ["ArtifactOpened"]


async def test_the_clock_ticks_only_while_something_runs() -> None:
    pane = ArtifactsPane()
    async with hosted(pane, (100, 20)):
        assert pane._ticker is not None
        assert not pane._ticker._active.is_set()
        pane.start("trace")
        assert pane._ticker._active.is_set()
        pane.fail("trace", Failure("cancelled", "cancelled"))
        assert not pane._ticker._active.is_set()
