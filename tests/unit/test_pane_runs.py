import itertools

from tests.unit.pane_host import hosted, spy_on_refresh
from tests.unit.pane_records import run_row
from workbench.protocol.model import Modes
from workbench.protocol.runs import CudaUse
from workbench.tui.board import plan
from workbench.tui.draw.run_table import detail_line, layout_for, modes_line, row_line, title_line
from workbench.tui.draw.spans import cells_of, text_of
from workbench.tui.panes import runs
from workbench.tui.panes.runs import RunsPane

BEYOND = {
    "mark": "beyond", "max_abs": 0.491, "mismatched": 10, "noise_multiple": 4e5, "cause": "drop (train)",
    "yardstick": "float64",
}  # fmt: skip


def test_a_row_says_everything_where_there_is_room() -> None:
    layout = layout_for(150)
    line = text_of(row_line(run_row(2, **BEYOND), layout))
    for part in ("2", "train", "grad", "12.3", "✗ 0.491 · 10/10", "drop (train)", "44.0 MB", "812 MB", "±0", "float32"):
        assert part in line
    assert "against #1" in text_of(title_line(layout, 1))


def test_columns_give_way_in_order_and_never_overflow() -> None:
    kept = [{column.key for column in layout_for(width).columns} for width in range(60, 200)]
    assert all(narrow <= wide for narrow, wide in itertools.pairwise(kept))
    assert {"run", "training", "grad", "ms", "against"} <= kept[0]
    for width in range(60, 200):
        assert cells_of(row_line(run_row(2, **BEYOND), layout_for(width))) <= width


def test_120_columns_have_memory_and_the_whole_cause() -> None:
    board = plan(120, 36, "runs")["runs"].width
    layout = layout_for(board - 4)
    assert {"rss", "growth"} <= {column.key for column in layout.columns}
    row = run_row(2, **{**BEYOND, "cause": "drop1 +1 (train)"}, growth=49.5 * 2**20)
    assert "drop1 +1 (train)" in text_of(row_line(row, layout))
    assert "+49.5 MB" in text_of(row_line(row, layout))


def test_a_slow_repeat_has_a_rate() -> None:
    assert "0.37 runs/s" in text_of(detail_line(run_row(4, 2700, 5)))


def test_a_repeat_shows_its_spread() -> None:
    near = {"mark": "noise", "noise_multiple": 1.1}
    text = text_of(detail_line(run_row(4, 9.7, 100, differing=2, **near, yardstick="float64")))
    assert "×100" in text
    assert "median 9.7 ms  p90 10.7 ms  p99 12.6 ms  103 runs/s  spread 5%" in text
    assert "2 of 100 differ" in text
    assert "≈ 0 · 0/10 · 1.1× noise" in text
    assert "≈ 0 · 0/10 · 1.1× tolerance" in text_of(detail_line(run_row(4, **near, yardstick="tolerance")))
    assert "≈ 0 · 0/10 · 1.1× tolerance" in text_of(detail_line(run_row(4, **near, yardstick="given")))


def test_cuda_and_notes_are_in_the_detail() -> None:
    row = run_row(4, cuda=CudaUse(1 << 20, 2 << 20, 3 << 20), note="first call 41x the median")
    assert "CUDA 1.0 MB, peak 3.0 MB  output 40 B  first call 41x the median" in text_of(detail_line(row))


def test_modes_line_keeps_what_matters_when_narrow() -> None:
    modes = Modes(training=False, flips=("drop",), grad="no_grad", rng="fixed", seed=7, keep_outputs=True, threads=2)
    assert text_of(modes_line(modes, 4, 120)) == (
        "mix   no_grad   rng fixed 7   batch 4   dtype as loaded   cpu   threads 2   KEEPS OUTPUTS"
    )
    assert text_of(modes_line(modes, 4, 45)) == "mix   no_grad   rng fixed 7   KEEPS OUTPUTS"


async def test_rows_cursor_and_messages() -> None:
    pane = RunsPane()
    async with hosted(pane, (90, 14)) as (host, pilot):
        assert host.has("no runs yet")
        pane.set_modes(Modes(), 4)
        for row in (run_row(1), run_row(2, **BEYOND), run_row(3, training="eval", grad="no_grad")):
            pane.put(row)
        await pilot.pause()
        assert host.has("★1")
        assert host.has("✗ 0.491")
        assert pane.selected_run == 3, "the cursor follows the newest run"
        await pilot.press("up", "enter")
        assert pane.selected_run == 2
        opened = [said.run for said in host.said if isinstance(said, RunsPane.RunOpened)]
        assert opened == [2]
        pane.put(run_row(4))
        await pilot.pause()
        assert pane.selected_run == 2, "a cursor that was moved stays"


async def test_a_growing_row_repaints_its_own_cells() -> None:
    pane = RunsPane()
    async with hosted(pane, (90, 14)) as (host, pilot):
        pane.set_modes(Modes(), 4)
        pane.put(run_row(1))
        pane.put(run_row(2, 9.7, 100, running=True))
        pane.move_cursor(0)
        await pilot.pause()
        calls = spy_on_refresh(pane)
        pane.put(run_row(2, 9.8, 200, running=True))
        await pilot.pause()
        assert host.has("×200")
        (regions,) = calls
        assert len(regions) == 1
        assert regions[0].height == 1
        assert regions[0].width < 40


async def test_a_burst_is_one_repaint() -> None:
    pane = RunsPane()
    async with hosted(pane, (90, 14)) as (_, pilot):
        for number in range(1, 6):
            pane.put(run_row(number))
        await pilot.pause()
        calls = spy_on_refresh(pane)
        for number in range(1, 6):
            pane.put(run_row(number, ms=99.0))
        await pilot.pause()
        assert len(calls) == 1


async def test_old_rows_are_let_go() -> None:
    pane = RunsPane()
    async with hosted(pane, (90, 14)) as (_, pilot):
        for number in range(1, runs.MOST_ROWS + 2):
            pane.put(run_row(number))
        await pilot.pause()
        assert pane.selected_run == runs.MOST_ROWS + 1
        assert pane.body_length(80) <= runs.MOST_ROWS
        pane.put(run_row(1, ms=1.0))
        assert pane.body_length(80) <= runs.MOST_ROWS, "a report about a run that was let go is not a new row"


async def test_a_hidden_pane_rests_and_shows_the_newest_when_it_comes_back() -> None:
    pane = RunsPane()
    async with hosted(pane, (90, 14)) as (host, pilot):
        pane.put(run_row(1))
        await pilot.pause()
        pane.display = False
        await pilot.pause()
        calls = spy_on_refresh(pane)
        pane.put(run_row(2, **BEYOND))
        await pilot.pause()
        assert calls == []
        del pane.refresh  # the spy forbids the layout that showing it again takes
        pane.display = True
        await pilot.pause()
        assert host.has("✗ 0.491")
