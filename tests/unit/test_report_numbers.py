import math
from dataclasses import replace

import pytest

from workbench.protocol.artifacts import Speed
from workbench.protocol.runs import CudaUse
from workbench.report import numbers
from workbench.report.runs import run_words

from .pane_records import run_row

SPEED = Speed(0.01, 0.01, 1.0, 0.9, 1.1, 1.0, 0.98, 1.03, 20, 2, 4)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (320, "320 B"), (1023, "1.0 kB"), (9_600, "9.4 kB"), (99.96 * 1024, "100 kB"),
        (49.5 * 2**20, "49.5 MB"), (812 << 20, "812 MB"), (1000 << 20, "1.0 GB"), (3 << 50, "3.0 PB"),
        (-4096, "-4.0 kB"), (math.nan, "?"),
    ],
)  # fmt: skip
def test_size(value: float, words: str) -> None:
    assert numbers.size(value) == words


def test_growth_always_has_a_sign() -> None:
    assert [numbers.growth(v) for v in (49.5 * 2**20, -4096.0, 0.0)] == ["+49.5 MB", "-4.0 kB", "±0"]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (12, "12"), (9_408, "9.4 k"), (148_000, "148 k"), (11_700_000, "11.7 M"), (999_960, "1.0 M")],
)
def test_count(value: int, words: str) -> None:
    assert numbers.count(value) == words


def test_times() -> None:
    assert [numbers.milliseconds(v) for v in (20e-6, 0.00123, 0.0123, 0.3, 12.0)] == [
        "0.0200",
        "1.23",
        "12.3",
        "300",
        "12000",
    ]
    assert [numbers.duration(v) for v in (2e-6, 20e-6, 0.0123, 0.3, 3.4, 125.0)] == [
        "2.0 µs", "20 µs", "12.3 ms", "300 ms", "3.4 s", "2 min 05 s",
    ]  # fmt: skip
    assert [numbers.clock(v) for v in (-1, 41, 3723)] == ["00:00", "00:41", "1:02:03"]


def test_differences() -> None:
    assert [numbers.measure(v) for v in (0.0, 0.491, 1.2e-7, 123456.0, math.nan, -math.inf)] == [
        "0", "0.491", "1.2e-07", "1.2e+05", "NaN", "-inf",
    ]  # fmt: skip
    assert [numbers.multiple(v) for v in (0.3, 12.2, 4.2e5, math.inf)] == ["0.3×", "12×", "4e+05×", "∞×"]


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert numbers.share(10, 10) == "10/10"
    assert numbers.share(1, 10_000_000) == "<0.1 %"
    assert numbers.share(9_999_999, 10_000_000) == ">99.9 %"
    assert numbers.share(10_000_000, 10_000_000) == "100 %"
    assert numbers.share(0, 10_000_000) == "0 %"


def test_a_speed_within_what_eager_shows_against_itself_proves_nothing() -> None:
    assert numbers.no_difference(replace(SPEED, ratio=1.02))
    assert not numbers.no_difference(replace(SPEED, ratio=1.04, low=1.02, high=1.1))
    assert not numbers.no_difference(replace(SPEED, ratio=0.9, low=0.8, high=0.95))
    assert numbers.no_difference(replace(SPEED, ratio=3020.0, low=0.3, high=4200.0))  # its rounds do not agree


def test_a_run_says_its_percentiles_its_doubt_its_device_and_its_note() -> None:
    assert run_words(run_row(2)) == ""
    many = run_row(2, ms=10, count=99, cuda=CudaUse(1 << 20, 3 << 20, 2 << 20), note="first call 41x the median")
    assert run_words(many) == (
        "p90 11.0 ms · p99 13.0 ms · spread 5% · CUDA 1.0 MB allocated, peak 2.0 MB, 3.0 MB reserved · "
        "first call 41x the median"
    )
    wide = replace(many.latency, iqr=many.latency.median)
    assert "spread 100%, too wide to conclude from" in run_words(replace(many, latency=wide))
