from tests.unit.pane_host import hosted, spy_on_refresh
from tests.unit.pane_records import columns, model_info
from workbench.protocol.model import Modes
from workbench.tui.panes.model import ModelPane, odd_words


async def test_modules_that_deviate_stand_out_without_colour() -> None:
    pane = ModelPane()
    async with hosted(pane, (44, 16)) as (host, pilot):
        pane.show(model_info(), Modes(training=False, flips=("drop",)))
        await pilot.pause()
        lines = host.picture()
        assert any("Cnn" in line and "11.7 M mix" in line for line in lines)
        assert any("stem Conv2d" in line and "9.4 k eval" in line for line in lines)
        assert any("drop Dropout p=0.5" in line and "TRAIN" in line for line in lines)
        assert host.has("1 of 9 modules in train")
        assert host.has("TRAIN drop · ] goes there, t e mend")


async def test_modules_that_deviate_are_named_and_gone_to_though_they_are_out_of_sight() -> None:
    pane = ModelPane()
    async with hosted(pane, (80, 10)) as (host, pilot):
        pane.show(model_info(), Modes(training=False, flips=("body.0.drop", "drop")))
        pane.focus()
        await pilot.pause()
        assert host.has("TRAIN body.0.drop +1 · ] goes there, t puts it in eval, e all")
        await pilot.press("right_square_bracket")
        assert pane.selected_path == "body.0.drop"
        await pilot.press("right_square_bracket")
        assert pane.selected_path == "drop"
        await pilot.press("right_square_bracket", "left_square_bracket")
        assert pane.selected_path == "drop"


def test_the_words_fit_and_keep_the_end_of_the_path() -> None:
    path = "encoder.layers.11.attention.output.dropout"
    for width in (24, 34, 60, 100):
        words = odd_words(path, 13, False, width)
        assert words.startswith("TRAIN ")
        assert len(words) <= width
    assert ".dropout +12" in odd_words(path, 13, False, 44)
    assert odd_words("norm", 1, True, 60) == "EVAL norm · ] goes there"


async def test_keys_open_close_select_and_toggle() -> None:
    pane = ModelPane()
    async with hosted(pane, (60, 20)) as (host, pilot):
        pane.show(model_info(), Modes(training=True, flips=("body",)))
        await pilot.press("down", "down")
        assert pane.selected_path == "body"
        await pilot.press("enter")
        await pilot.pause()
        assert not host.has("conv")
        await pilot.press("right", "right")
        assert pane.selected_path == "body.0"
        await pilot.press("left", "left")
        assert pane.selected_path == "body"


async def test_the_mouse_selects_opens_and_toggles() -> None:
    pane = ModelPane()
    async with hosted(pane, (60, 20)) as (host, pilot):
        pane.show(model_info(), Modes(training=True, flips=("body",)))
        await pilot.pause()
        line = next(y for y, text in enumerate(host.picture()) if "body" in text)
        await pilot.click(pane, offset=(12, line))
        assert pane.selected_path == "body"
        await pilot.click(pane, offset=(4, line))
        await pilot.pause()
        assert not host.has("conv")
        await pilot.click(pane, offset=(54, line))
        await pilot.pause()
        toggles = [said for said in host.said if isinstance(said, ModelPane.ToggleModule)]
        assert [(said.path, said.training) for said in toggles] == [("body", True)]


async def test_a_reload_keeps_the_cursor_on_its_module() -> None:
    pane = ModelPane()
    async with hosted(pane) as (_, pilot):
        pane.show(model_info(), Modes())
        pane.select_path("body.0.drop")
        changed = columns((("", 0, "Cnn", 1, ""), ("new", 1, "Linear", 1, ""), *columns_below()))
        pane.show(model_info(changed), Modes())
        await pilot.pause()
        assert pane.selected_path == "body.0.drop"


def columns_below() -> tuple[tuple[str, int, str, int, str], ...]:
    return (("body", 1, "Sequential", 1, ""), ("0", 2, "Block", 1, ""), ("drop", 3, "Dropout", 0, ""))


async def test_the_same_modes_again_paint_nothing() -> None:
    pane = ModelPane()
    async with hosted(pane) as (_, pilot):
        pane.show(model_info(), Modes())
        await pilot.pause()
        calls = spy_on_refresh(pane)
        pane.set_modes(Modes())
        await pilot.pause()
        assert calls == []
        pane.set_modes(Modes(flips=("drop",)))
        await pilot.pause()
        assert len(calls) == 1
        assert {region.height for region in calls[0]} == {1}
        assert len(calls[0]) <= 5, "the root's row, the module's, and the foot that names it"


async def test_ascii_terminal_gets_ascii() -> None:
    pane = ModelPane(unicode=False)
    async with hosted(pane, (40, 14)) as (host, pilot):
        pane.show(model_info(), Modes(training=False, flips=("drop",)))
        await pilot.pause()
        assert all(line.isascii() for line in host.picture())


async def test_hostile_names_are_harmless() -> None:
    rows = (("", 0, "[/red]\x1b[2J", 1, ""), ("\x1b]52;c;x\x07", 1, "模型", 1, "\u202e"))
    pane = ModelPane()
    async with hosted(pane, (70, 10)) as (host, pilot):
        pane.show(model_info(columns(rows)), Modes())
        await pilot.press("down")
        await pilot.pause()
        text = "\n".join(host.picture())
        assert "\x1b" not in text
        assert "\\x1b]52" in text
