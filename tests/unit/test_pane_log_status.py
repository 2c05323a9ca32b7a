from tests.unit.pane_host import hosted, spy_on_refresh
from tests.unit.pane_records import model_info
from workbench.protocol.model import Modes
from workbench.tui.draw.spans import text_of
from workbench.tui.draw.status_line import bench_part
from workbench.tui.panes import log
from workbench.tui.panes.log import LogPane
from workbench.tui.panes.status import StatusLine


async def test_log_follows_its_end_unless_scrolled() -> None:
    pane = LogPane()
    async with hosted(pane, (60, 10)) as (host, pilot):
        pane.add("bench", [f"line {number}" for number in range(50)])
        await pilot.pause()
        assert host.has("line 49")
        await pilot.press("home")
        pane.add("bench", ["newest"])
        await pilot.pause()
        assert host.has("line 0")
        assert not host.has("newest")
        await pilot.press("end")
        await pilot.pause()
        assert host.has("newest")


async def test_log_is_bounded() -> None:
    pane = LogPane()
    async with hosted(pane, (60, 10)) as (host, pilot):
        pane.add("bench", (f"line {number}" for number in range(3 * log.MOST_LINES)))
        await pilot.pause()
        assert pane.body_length(58) == log.MOST_LINES
        assert host.has(f"line {3 * log.MOST_LINES - 1}")


async def test_log_shows_control_characters_and_the_rest_of_long_lines() -> None:
    pane = LogPane()
    async with hosted(pane, (50, 8)) as (host, pilot):
        pane.add("bench", ["\x1b[2Jtab\there", "a" * 60 + "tail"])
        await pilot.pause()
        assert host.has("\\x1b[2Jtab here")
        assert not host.has("tail")
        await pilot.press("right", "right")
        await pilot.pause()
        assert host.has("tail")


def test_status_gives_way_from_the_least_telling() -> None:
    info, modes = model_info(), Modes(device="cuda:1", dtype="float16")
    whole = text_of(bench_part(info, modes, 200))
    assert whole == (
        "workbench  Cnn  models/cnn.py:Cnn  [CODE (Python)]  weights [DATA] 3f9a3f…  cuda:1 float16  11.7 M params"
    )
    assert text_of(bench_part(info, modes, 60)) == "Cnn  [CODE (Python)]  weights [DATA] 3f9a3f…  cuda:1 float16"
    assert text_of(bench_part(info, modes, 24)) == "Cnn  [CODE (Python)]"


async def test_status_line_states() -> None:
    line = StatusLine()
    async with hosted(line, (110, 3)) as (host, pilot):
        line.set_engine("starting", "importing torch", clock=True)
        await pilot.pause()
        assert host.picture()[0].endswith("◌ importing torch 00:00")
        line.set_engine("ready")
        line.set_rss(812 << 20)
        line.set_model(model_info(), Modes())
        await pilot.pause()
        assert host.picture()[0].startswith(" Cnn")
        assert host.picture()[0].endswith("● ready   812 MB")
        line.set_engine("dead", "killed by the kernel: out of memory")
        line.set_rss(0)
        await pilot.pause()
        assert host.picture()[0].endswith("■ killed by the kernel: out of memory")


async def test_a_new_figure_repaints_the_engine_part_alone() -> None:
    line = StatusLine()
    async with hosted(line, (110, 3)) as (_, pilot):
        line.set_model(model_info(), Modes())
        line.set_engine("ready")
        line.set_rss(812 << 20)
        await pilot.pause()
        bench, engine = spy_on_refresh(line._bench), spy_on_refresh(line._engine)
        line.set_rss(815 << 20)
        await pilot.pause()
        assert bench == []
        assert [region.width for regions in engine for region in regions] == [1]
