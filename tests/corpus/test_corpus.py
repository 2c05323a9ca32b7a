"""The verdicts held to account: no false alarm on a healthy model, no seeded fault missed, its cause named.

The whole is `python -m tests.corpus --full`; here is what takes seconds, and marked slow what takes minutes.
"""

from __future__ import annotations

import pytest

from tests.corpus import zoo
from tests.corpus.cases import Fault, Healthy
from tests.corpus.engine import SWITCHES, catch, healthy_verdicts
from tests.corpus.faults_table import FAULTS
from tests.corpus.healthy import HEALTHY
from tests.corpus.smallest import smallest
from workbench.protocol.artifacts import CHECK_IDS

QUICK = ("repeatable", "buffers", "finite", "batch_rows", "batch_sizes", "reload")
"""Checks that take a moment and compare."""
MUST_SPEAK = ("modes", "repeatable", "buffers", "inputs_untouched", "finite", "graph_free", "memory_flat")
"""Checks that have something to say of every model in the corpus."""
OFTEN = ("PadsToLongest", "Experts", "Encoder", "Nested", "Autocast", "Masked", "quantised")
ZOO_OFTEN = ("mobilenetv3_small_050", "BertModel", "LlamaForCausalLM")


def ids(cases: tuple[Healthy, ...]) -> list[str]:
    return [" ".join(dict.fromkeys((case.title, *map(str, case.kwargs.values())))) for case in cases]


def hold(case: Healthy, dtype: str, checks: tuple[str, ...], seed: int = 0, proofs: bool = False) -> None:
    found = list(healthy_verdicts(case, dtype, seed, checks, proofs))
    spoken = {one.question for one in found if one.spoken}
    assert spoken.issuperset(f"check {name}" for name in MUST_SPEAK if name in checks), spoken
    assert sum(one.startswith("run: ") for one in spoken) == len(SWITCHES)
    assert [(one.question, one.answer, one.words) for one in found if one.alarm] == []


def select(names: tuple[str, ...], cases: tuple[Healthy, ...]) -> list[Healthy]:
    found = [case for case in cases if case.title in names]
    assert len(found) == len(names)
    return found


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len({fault.title.partition("/")[0] for fault in FAULTS}) >= 40
    assert len(HEALTHY) + len(zoo.ZOO) >= 30
    assert len({fault.title for fault in FAULTS}) == len(FAULTS)
    assert [fault.title for fault in FAULTS if not fault.expected] == []


@pytest.mark.parametrize("case", select(OFTEN, HEALTHY), ids=lambda case: case.title)
def test_a_healthy_model_is_not_accused(case: Healthy) -> None:
    hold(case, case.dtypes[0], QUICK)


@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(zoo.missing()), reason=zoo.missing())
@pytest.mark.parametrize("case", select(ZOO_OFTEN, zoo.ZOO), ids=lambda case: case.title)
def test_an_architecture_of_others_is_not_accused(case: Healthy) -> None:
    hold(case, case.dtypes[0], QUICK)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", HEALTHY, ids=ids(HEALTHY))
def test_every_verdict_on_a_healthy_model(case: Healthy) -> None:
    for seed, dtype in enumerate(case.dtypes):
        hold(case, dtype, CHECK_IDS, seed, proofs=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(zoo.missing()), reason=zoo.missing())
@pytest.mark.parametrize("case", zoo.ZOO, ids=ids(zoo.ZOO))
def test_every_verdict_on_an_architecture_of_others(case: Healthy) -> None:
    for seed, dtype in enumerate(case.dtypes):
        hold(case, dtype, CHECK_IDS, seed)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_a_seeded_fault_is_caught_and_its_cause_named(fault: Fault) -> None:
    found = catch(fault)
    assert found.caught, found.said
    assert found.missing == (), found.said


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fault_is_seen_that_is_ten_times_the_noise_or_in_one_element_twenty_times_its_largest(dtype: str) -> None:
    (case,) = select(("Mlp",), HEALTHY)
    found = smallest(case, dtype)
    assert found is not None
    assert found.spread <= 10
    assert found.one <= 20
