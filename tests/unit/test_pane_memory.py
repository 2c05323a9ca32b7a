from tests.unit.pane_host import hosted, spy_on_refresh
from tests.unit.pane_records import run_row
from workbench.protocol.memory import Leak, MemoryMark, MemorySample
from workbench.tui.panes.memory import MemoryPane

MB = 1 << 20
WORDS = "Memory climbs 49.5 MB a run: every kept output holds its graph and activations (48 MB)."
LEAK = Leak(4, 49.5 * MB, 1e5, 12, 12, 48 * MB, True, WORDS, "press g for no_grad")


def sample(number: int, rss: int, peak: int = 0) -> MemorySample:
    return MemorySample(number / 10, "bench", rss, rss, peak or rss, 1.0)


async def test_figures_plot_marks_and_peak() -> None:
    pane = MemoryPane()
    async with hosted(pane, (84, 14)) as (host, pilot):
        assert host.has("no sample")
        for number in range(40):
            pane.add_sample(sample(number, (640 + 5 * number) * MB, 901 * MB))
        pane.add_mark(MemoryMark(1.0, "eval"))
        pane.add_mark(MemoryMark(3.0, "#3"))
        pane.set_run(run_row(3, growth=0.0, saved_bytes=44 * MB))
        await pilot.pause()
        assert host.has("RSS 835 MB   peak 901 MB   growth ±0/run   saved for backward 44.0 MB")
        assert host.has("▲eval")
        assert host.has("▲#3")
        assert host.has("┤")
        assert any(0x2800 < ord(char) <= 0x28FF for line in host.picture() for char in line)


async def test_now_and_the_time_stand_below_the_curve_and_a_sawtooth_is_flat() -> None:
    pane = MemoryPane()
    async with hosted(pane, (84, 16)) as (host, pilot):
        for number in range(240):
            pane.add_sample(sample(number, (715 + 10 * (number % 2)) * MB, 725 * MB))
        await pilot.pause()
        assert host.has("now")
        assert host.has("14 s ago")
        drawn = [line for line in host.picture() if any(0x2800 < ord(char) <= 0x28FF for char in line)]
        assert len(drawn) <= 2
        columns = {line.index("┆") for line in host.picture() if "┆" in line}
        assert len(columns) == 1


async def test_a_leak_is_told_in_words_with_its_remedy() -> None:
    pane = MemoryPane()
    async with hosted(pane, (60, 16)) as (host, pilot):
        pane.add_sample(sample(0, 700 * MB))
        pane.set_leak(LEAK)
        await pilot.pause()
        assert host.has("▲ Memory climbs 49.5 MB a run")
        assert host.has("→ press g for no_grad")
        assert host.has("kept outputs 12")


async def test_words_leave_room_for_the_plot() -> None:
    pane = MemoryPane()
    async with hosted(pane, (40, 12)) as (host, pilot):
        pane.add_sample(sample(0, 700 * MB))
        pane.set_leak(LEAK)
        await pilot.pause()
        assert host.has("…")
        assert host.has("press g")
        assert sum("│" in line[1:-1] or "┤" in line[1:-1] for line in host.picture()) >= 2


async def test_a_sample_repaints_few_cells() -> None:
    pane = MemoryPane()
    async with hosted(pane, (84, 16)) as (_, pilot):
        for number in range(300):
            pane.add_sample(sample(number, (640 + number % 7) * MB, 700 * MB))
        await pilot.pause()
        calls = spy_on_refresh(pane)
        cells = []
        for number in range(300, 330):
            pane.add_sample(sample(number, (640 + number % 7) * MB, 700 * MB))
            await pilot.pause()
        for regions in calls:
            assert regions, "the whole pane was repainted"
            cells.append(sum(region.area for region in regions))
        assert max(cells) < 40


async def test_time_stands_still_while_nothing_runs() -> None:
    pane = MemoryPane()
    async with hosted(pane, (84, 16)) as (_, pilot):
        for number in range(50):
            pane.add_sample(sample(number, 640 * MB))
        pane.set_running(False)
        await pilot.pause()
        calls = spy_on_refresh(pane)
        pane.add_sample(sample(51, 640 * MB))
        pane.add_sample(sample(52, 640 * MB))
        await pilot.pause()
        assert calls == []


async def test_ascii() -> None:
    pane = MemoryPane(unicode=False)
    async with hosted(pane, (60, 14)) as (host, pilot):
        for number in range(80):
            pane.add_sample(sample(number, (640 + number) * MB))
        pane.set_leak(LEAK)
        await pilot.pause()
        assert all(line.isascii() for line in host.picture())
        assert host.has("***")
