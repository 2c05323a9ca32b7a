"""Slopes, certainty and words, from plain numbers."""

from __future__ import annotations

import random

import pytest

from workbench.worker.judge import leak
from workbench.worker.judge.leak import Holding, Series, explain, fit, size

MB = 1 << 20


def points(slope: float, runs: int = 20, noise: float = 0.0, warm: float = 0.0) -> list[tuple[int, int]]:
    source = random.Random(1)
    return [
        (run, int(500 * MB + slope * run - warm * 0.5**run + source.gauss(0, 1) * noise)) for run in range(1, runs + 1)
    ]


def holding(**change: object) -> Holding:
    values: dict[str, object] = {
        "run": 3,
        "grad": "grad",
        "keep": True,
        "kept_outputs": 25,
        "kept_since": 20,
        "saved_bytes": 44 * MB,
        "output_bytes": 320,
    }
    return Holding(**{**values, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(("slope", "noise"), [(49.5 * MB, 0.0), (49.5 * MB, 3 * MB), (0.5 * MB, 0.2 * MB)])
def test_a_climb_is_measured_and_certain(slope: float, noise: float) -> None:
    line = fit(points(slope, noise=noise))
    assert line is not None
    assert line.climbing
    assert abs(line.slope - slope) <= 4 * line.error + 1
    assert line.runs == 20


@pytest.mark.parametrize(
    "flat",
    [
        points(0.0),
        points(0.0, noise=3 * MB),
        points(0.0, warm=400 * MB),  # the allocator fills up and then stays
        points(40.0 * 1024, runs=10),  # 0.4 MB in all: the allocator's own steps
        [(run, 500 * MB + (64 * MB if run > 10 else 0)) for run in range(1, 41)],  # one step
        points(-5.0 * MB),
    ],
    ids=["constant", "noisy", "warm-up", "below the floor", "one step", "falling"],
)
def test_what_is_flat_is_not_called_a_climb(flat: list[tuple[int, int]]) -> None:
    line = fit(flat)
    assert line is not None
    assert not line.climbing


def test_a_climb_after_a_warm_up_is_still_one() -> None:
    line = fit(points(4 * MB, runs=12, warm=100 * MB))
    assert line is not None
    assert line.climbing


@pytest.mark.parametrize("few", [[], [(1, 5)], points(MB, runs=4), [(1, 5), (9, 6)]])
def test_too_few_runs_say_nothing(few: list[tuple[int, int]]) -> None:
    assert fit(few) is None


def test_kept_graphs_are_explained() -> None:
    line = fit(points(49.5 * MB))
    assert line is not None
    said = explain(line, holding())
    assert said.words == (
        "Memory climbs 49.5 MB a run: each kept output holds its graph and 44.0 MB of activations saved for backward. "
        "eval() does not stop this; no_grad does."
    )
    assert (said.run, said.runs, said.kept_outputs, said.saved_bytes, said.climbing) == (3, 20, 25, 44 * MB, True)
    assert "no_grad" in said.remedy


def test_no_grad_stays_flat() -> None:
    line = fit(points(0.0))
    assert line is not None
    said = explain(line, holding(grad="no_grad", saved_bytes=0))
    assert said.words == "Memory is flat (0.0 ± 0.0 MB a run): under no_grad the 20 kept outputs are 320 bytes each."
    assert said.remedy == ""


@pytest.mark.parametrize(
    ("slope", "change", "words"),
    [
        (8 * MB, {"keep": False, "kept_outputs": 0}, "though every output is dropped"),
        (8 * MB, {"saved_bytes": 0, "output_bytes": 8 * MB}, "the kept outputs themselves, 8.0 MB each"),
        (8 * MB, {"saved_bytes": 0}, "more than the kept outputs of 320 bytes explain"),
        (0, {"keep": False, "kept_outputs": 0}, "and with it the 44.0 MB that its graph saved"),
        (0, {"keep": False, "kept_outputs": 0, "saved_bytes": 0}, "each output is dropped."),
        (0, {"saved_bytes": 2048}, "each kept output holds only 2.0 kB saved for backward."),
    ],
)
def test_every_other_case_has_its_words(slope: float, change: dict[str, object], words: str) -> None:
    line = fit(points(slope))
    assert line is not None
    assert words in explain(line, holding(**change)).words


def test_a_series_is_bounded_and_keeps_its_slope() -> None:
    series = Series()
    for run in range(1, 20_001):
        series.add(run, 1000 * run)
    assert len(series.points) < leak.MOST_POINTS
    assert series.points[0] == (1, 1000)
    line = fit(series.points)
    assert line is not None
    assert line.slope == pytest.approx(1000)
    assert line.climbing


def test_the_growth_of_a_row() -> None:
    assert leak.slope([]) == 0.0
    assert leak.slope([(1, 10)]) == 0.0
    assert leak.slope([(1, 10), (3, 30)]) == 10.0
    assert leak.slope([(1, 900), (2, 20), (3, 30), (4, 40)]) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (320, "320 bytes"),
        (1024, "1.0 kB"),
        (49.5 * MB, "49.5 MB"),
        (99.96 * MB, "100 MB"),
        (812 * MB, "812 MB"),
        (1.2 * 1024 * MB, "1.2 GB"),
        (5000 * 1024 * MB, "5000 GB"),
        (-3 * MB, "-3.0 MB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


def test_a_graph_that_the_model_keeps_is_named_where_every_output_is_dropped() -> None:
    line = fit(points(2.0 * MB))
    assert line is not None
    found = explain(line, holding(keep=False, graph="cell.state"))
    assert "the model keeps its own graph, behind cell.state" in found.words
    assert found.remedy == "Keep it detached: self.state = ….detach()."
    assert "own graph" not in explain(line, holding(keep=False)).words
