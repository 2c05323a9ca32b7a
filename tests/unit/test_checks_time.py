"""What is known of how long forwards take: a check that cannot fit is not begun, and says why."""

from __future__ import annotations

import pytest

from tests.unit.test_checks import ask, bench
from workbench.worker.judge.checks_time import CALLS, Calls

LATE = Calls(first=5.0, count=2, fastest=5.0, size=4 << 30)


@pytest.mark.parametrize(
    "question", ["repeatable", "buffers", "hidden_state", "batch_rows", "batch_sizes", "memory_flat", "reload"]
)
def test_forwards_that_do_not_fit_are_not_begun(question: str) -> None:
    on = bench("Healthy")
    CALLS[on.model] = LATE
    row = ask(on, question, budget=8.0)
    assert row.status == "skip"
    assert "One forward takes 5.0 s, with an output of 4.0 GB:" in row.evidence
    assert row.evidence.endswith("do not fit into 8 s.")
    assert "--timeout" in row.remedy
    assert CALLS[on.model] == LATE


@pytest.mark.parametrize("question", ["randomness", "inputs_untouched", "graph_free", "dtype_device", "finite"])
def test_what_one_forward_can_answer_is_asked(question: str) -> None:
    on = bench("Healthy")
    CALLS[on.model] = LATE
    assert ask(on, question, budget=8.0).status == "pass"


def test_one_call_tells_nothing_for_it_may_have_compiled() -> None:
    on = bench("Healthy")
    CALLS[on.model] = Calls(first=50.0, count=1, fastest=50.0)
    assert ask(on, "repeatable", budget=20.0).status == "pass"
    assert CALLS[on.model].fastest < 50.0
