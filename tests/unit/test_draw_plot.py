import math

import pytest

from workbench.tui.draw import plot
from workbench.tui.draw.plot import Scale, axis, cell_of, is_shown, marks_row, scale_for, sweep, time_row, with_now

UNIT = Scale(0.0, 1.0)


def test_a_ramp_in_braille() -> None:
    samples = [step / 15 for step in range(16)]
    assert sweep(samples, 16, 10, 4, UNIT, unicode=True) == [
        "      ⡠⠊  ",
        "    ⡠⠊    ",
        "  ⡠⠊      ",
        "⡠⠊        ",
    ]


def test_a_jump_is_one_connected_stroke() -> None:
    rows = sweep([0.0, 0.0, 0.99, 0.99], 4, 6, 2, UNIT, unicode=True)
    assert rows == [" ⡏    ", "⣀⠇    "]
    assert sweep([0.0, 0.0, 0.99], 3, 6, 3, UNIT, unicode=False) == ["  *   ", "  |   ", "**    "]


def test_a_new_sample_changes_its_own_column_and_the_gap_only() -> None:
    samples = [0.5 + 0.4 * math.sin(step) for step in range(200)]
    for total in range(60, 199):
        before = sweep(samples[:total], total, 20, 6, UNIT, unicode=True)
        after = sweep(samples[: total + 1], total + 1, 20, 6, UNIT, unicode=True)
        columns = {x for old, new in zip(before, after, strict=True) for x in range(20) if old[x] != new[x]}
        head = cell_of(total, 20, True)
        assert columns <= {head, (head + 1) % 20, (head + plot.GAP_CELLS) % 20}


def test_the_newest_overwrites_the_oldest_with_a_gap_between() -> None:
    rows = sweep([0.1] * 50, 45, 10, 1, UNIT, unicode=False)
    assert rows == ["*****  ***"]
    assert not is_shown(35, 45, 10, False)
    assert is_shown(37, 45, 10, False)


def test_values_outside_the_scale_stay_inside_the_plot() -> None:
    rows = sweep([-5.0, 9.0], 2, 4, 3, UNIT, unicode=False)
    assert [row[:2] for row in rows] == [" *", " |", "* "]


@pytest.mark.parametrize(("low", "high"), [(812e6, 812e6), (0.0, 0.0), (640e6, 901e6), (2e9, 30e9), (5e6, 5.1e6)])
def test_the_scale_is_round_holds_the_values_and_is_never_a_hair(low: float, high: float) -> None:
    scale = scale_for(low, high)
    assert scale.holds(low)
    assert scale.holds(high)
    assert scale.low >= 0
    assert scale.high - scale.low >= max(plot.LEAST_BYTES, plot.LEAST_SPAN * high)
    assert scale.high - scale.low <= 3 * max(plot.LEAST_BYTES, plot.LEAST_SPAN * high, high - low)


def test_axis_labels_are_bytes() -> None:
    assert axis(Scale(600 << 20, 900 << 20), 3, 9) == ["  900 MB┤", "        │", "  600 MB┤"]


def test_marks_stand_under_their_samples_and_never_overlap() -> None:
    row = marks_row([(2, "train"), (20, "no_grad"), (22, "#3"), (39, "#4")], 40, 40, unicode=False)
    assert row.index("▲train") == 2
    assert row[20:28] == "▲no_grad", "what was switched is worth more than a number"
    assert row.endswith("#4▲")
    assert len(row) == 40


def test_marks_of_one_column_share_it_and_switches_keep_their_words() -> None:
    together = [(4, "eval"), (4, "no_grad"), (4, "#1"), (5, "#2"), (30, "#3")]
    row = marks_row(together, 40, 40, unicode=False)
    assert row.startswith("    ▲eval no_grad #1 ")
    assert "▲#3" in row
    crowded = marks_row([*together, (14, "grad")], 40, 40, unicode=False)
    assert crowded[14:19] == "▲grad"
    assert crowded.startswith(("    ▲eval ", "    ▲no_grad "))


@pytest.mark.parametrize("low", [710 << 20, 100 << 20])
def test_the_breath_of_an_allocator_looks_flat(low: int) -> None:
    """A sawtooth of 20 MB about 720 MB is no mountain; nothing is zoomed in below 64 MB."""
    scale = scale_for(low, low + (20 << 20))
    assert scale.high - scale.low >= max(64 << 20, 0.1 * low)
    saw = [low + (20 << 20) * (step % 2) for step in range(40)]
    drawn = sweep(saw, 40, 30, 8, scale, unicode=True)
    assert sum(bool(row.strip()) for row in drawn) <= 4


def test_now_stands_after_the_newest_sample_and_the_time_below() -> None:
    rows = with_now(sweep([0.1] * 50, 45, 20, 3, UNIT, unicode=False), 45, unicode=False)
    assert rows == ["     :              ", " " * 20, "*****: *************"]
    assert time_row(45, 50, 20, False, 18.0) == "  now  18 s ago     "
    assert time_row(12, 12, 20, False, 9.0) == "9 s ago  now        "
    assert time_row(59, 50, 20, False, 18.0)[16:19] == "now"
    assert len(time_row(60, 50, 20, False, 600.0)) == 20
