"""Histogram and heat map."""

import math

from workbench.tui.draw.bars import bar, decade_label, histogram
from workbench.tui.draw.heat import heat_map, level_of, thresholds
from workbench.tui.draw.spans import cells_of, text_of


def test_bar_shows_anything_above_zero() -> None:
    assert bar(0.0, 10, True) == ""
    assert bar(1e-9, 10, True) == "▏"
    assert bar(0.5, 4, True) == "██"
    assert bar(0.55, 4, True) == "██▎"
    assert bar(1e-9, 10, False) == "#"


def test_labels_follow_the_protocols_decades() -> None:
    assert [decade_label(entry, 20) for entry in (0, 1, 2, 10, 16, 20)] == [
        "0", "<1e-15", "1e-15", "1e-07", "1e-01", "≥1e+03",
    ]  # fmt: skip


def test_histogram_text() -> None:
    decades = [0] * 21
    decades[0], decades[10], decades[12] = 12, 1_000, 500
    assert [text_of(line) for line in histogram(decades, 24, False)] == [
        "     0│# 12",
        " 1e-07│########## 1,000",
        " 1e-06│ 0",
        " 1e-05│##### 500",
    ]
    assert histogram([0] * 21, 24, True) == []
    assert all(cells_of(line) <= 24 for line in histogram(decades, 24, True))


def test_levels_are_logarithmic_over_a_wide_span() -> None:
    ends = thresholds([1e-8, 1e-4, 1.0])
    assert [level_of(value, ends) for value in (0.0, 1e-8, 1e-5, 1e-3, 1.0, math.nan)] == [0, 1, 2, 3, 4, 5]
    assert thresholds([1.0, 4.0]) == (1.0, 2.0, 3.0, 4.0)


def test_heat_map_reads_without_colour() -> None:
    lines = [text_of(line) for line in heat_map([[0.0, 1.0, 4.0], [2.0, 3.0, math.nan]], 8, 12, 40, False)]
    assert lines == [
        "    0|..--@@".replace("|", "│"),
        "    4│++%%!!",
        "     └0   11",
        "  . 0  - ≤1  + ≤2  % ≤3  @ ≤4  ! NaN/inf",
    ]


def test_a_wide_map_is_merged_to_its_largest_and_keeps_what_is_broken() -> None:
    row = [0.0] * 48
    row[47], row[3] = 1.0, math.inf
    lines = heat_map([row], 1, 48, 23, False)
    text = text_of(lines[0])
    assert cells_of(lines[0]) <= 23
    assert text[6:].count("@") == 1
    assert text[6:].count("!") == 1
    assert all(cells_of(line) <= 23 for line in lines)


def test_no_heat_no_lines() -> None:
    assert heat_map((), 0, 0, 40, True) == []
