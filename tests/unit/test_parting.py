"""Where two models that were compared part: the module where the error starts, or why it was not looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.protocol.cause import ErrorTable
from workbench.protocol.codec import from_plain, plain
from workbench.protocol.compare import Compare, Compared, Side
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.report.objects import compare_object
from workbench.worker.job import Cancelled, Job, OutOfTime
from workbench.worker.judge import parting
from workbench.worker.judge.models import compare_models

from .parting_models import Deep

FILE = str(Path(__file__).with_name("parting_models.py"))
SERVING = ModeChange(training=False, grad="no_grad")


def side(name: str = "Deep", *changes: ModeChange, **recipe: Any) -> Side:
    given = {"inputs": ("x=float32[4,10]",), **recipe}
    return Side(Recipe(f"{FILE}:{name}", **given), (SERVING, *changes))


def compared(a: Side, b: Side, timeout: float = 0.0) -> Compared:
    job = Job(1, lambda body, number: None)
    job.begin()
    return compare_models(Compare(a, b, timeout=timeout), job)


def table_of(found: Compared) -> ErrorTable:
    assert found.mark == BEYOND
    assert not found.errors_left_out
    assert found.errors is not None
    assert found.errors.total >= len(found.errors.calls) > 0
    assert any("the case furthest from A" in note for note in found.errors.notes)
    return found.errors


def start_of(table: ErrorTable) -> str:
    return table.calls[table.starts].path


@pytest.fixture
def two_files(tmp_path: Path) -> tuple[str, str]:
    """Weights that differ in one bias of a middle layer."""
    torch.manual_seed(0)
    model = Deep()
    paths = str(tmp_path / "a.pt"), str(tmp_path / "b.pt")
    torch.save(model.state_dict(), paths[0])
    with torch.no_grad():
        model.body[1].fc.bias += 1e-2
    torch.save(model.state_dict(), paths[1])
    return paths


def test_a_bias_in_the_middle_is_where_the_error_starts(two_files: tuple[str, str]) -> None:
    found = compared(side(weights=two_files[0]), side(weights=two_files[1]))
    table = table_of(found)
    assert start_of(table) == "body.1.fc"
    assert table.words.startswith("The error starts in body.1.fc (Linear) at parting_models.py:")
    assert "The first operator in it with another result: aten.addmm at parting_models.py:" in table.words
    before = [call for call in table.calls if call.path in ("stem", "body.0", "body.0.fc", "body.0.act")]
    assert len(before) == 4
    assert all(call.answered == call.local == call.received == 0 for call in before)
    own = [call.path for call in table.calls if call.local > call.limit and not call.inner]
    assert own == ["body.1.fc"]
    assert found.leaves[0].where in table.notes[0]
    # the root's error is that of the leaf: the models that were built again are those that were judged
    root = table.calls[0]
    assert (root.path, root.answered) == ("", pytest.approx(found.leaves[0].worst.noise_rms, rel=0.05))
    assert compare_object(found)["errors"]["starts"] == table.starts
    assert from_plain(Compared, json.loads(json.dumps(plain(found)))) == found


def test_another_dtype_is_off_everywhere_and_says_what_own_means() -> None:
    table = table_of(compared(side(), side("Deep", ModeChange(dtype="bfloat16"))))
    assert any("float32 rounded to bfloat16" in note for note in table.notes)
    assert all(call.limit > 1e-3 for call in table.calls)
    assert table.calls[0].answered > 1e-4
    assert {"body.0.fc", "head"} <= {call.path for call in table.calls if call.local > 0}


def test_one_module_in_train_is_where_it_starts_in_one_model_with_two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    stand = parting.stand
    monkeypatch.setattr(parting, "stand", lambda letter, *rest: built.append(letter) or stand(letter, *rest))
    found = compared(side(), side("Deep", ModeChange(module="norm", module_training=True)))
    assert start_of(table_of(found)) == "norm"
    assert built == ["A"]  # B is A's model


def test_two_fixed_seeds_part_where_the_generator_is_drawn_from() -> None:
    net = f"{Path(__file__).with_name('compare_models.py')}:Net"
    fixed = ModeChange(training=True, rng="fixed", seed=3)
    a, b = (
        Side(Recipe(net, inputs=("x=float32[4,10]",)), (SERVING, fixed, *more)) for more in ((), (ModeChange(seed=4),))
    )
    assert start_of(table_of(compared(a, b))) == "drop"


def test_another_class_at_one_path_is_named() -> None:
    table = table_of(compared(side(), side(kwargs={"act": "relu"})))
    assert start_of(table) == "body.1.act"
    assert any("body.1.act (GELU, ReLU)" in note for note in table.notes)


def test_modules_of_one_side_only_are_left_aside_and_named() -> None:
    for a, b, letter in ((side(), side("Longer"), "B"), (side("Longer"), side(), "A")):
        table = table_of(compared(a, b))
        assert "extra" not in {call.path for call in table.calls}
        assert any(f"in {letter} only: extra" in note and "both have: stem" in note for note in table.notes)
        assert start_of(table) == ""  # around the one that is not in both
        assert {call.path: call.local for call in table.calls}["body.1.fc"] == 0


def test_models_without_a_path_in_common_have_no_table() -> None:
    found = compared(side(), side("Strange"))
    assert (found.mark, found.errors) == (BEYOND, None)
    assert "no module path in common" in found.errors_left_out


def test_what_is_no_difference_beyond_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "stand", None)
    found = compared(side(), side("Deep", ModeChange(threads=1)))
    assert (found.mark, found.errors, found.errors_left_out) == (IDENTICAL, None, "")


def test_a_case_that_b_refuses_does_not_hide_where_the_others_part() -> None:
    found = compared(side(), side("RefusesOne"))
    assert "one row is too few" in found.cause
    assert start_of(table_of(found)) == ""


def test_a_constructor_that_no_seed_repeats_is_said() -> None:
    found = compared(side("Unseeded"), side("Deep"))
    assert (found.mark, found.errors) == (BEYOND, None)
    assert found.errors_left_out.startswith("side A, built again, has other values")


def test_each_side_runs_with_the_helper_beside_it(tmp_path: Path) -> None:
    sides = []
    for name, factor in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "parting_helper.py").write_text(f"FACTOR = {factor}\n")
        (folder / "model.py").write_text(
            "import torch, parting_helper\n"
            "class Scale(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        import parting_helper as late\n"
            "        return x * late.FACTOR\n"
            "class Net(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.first, self.scale = torch.nn.Identity(), Scale()\n"
            "    def forward(self, x):\n"
            "        return self.scale(self.first(x))\n"
        )
        sides.append(Side(Recipe(f"{folder}/model.py:Net", inputs=("x=float32[4,10]",)), (SERVING,)))
    for a, b, error in ((sides[0], sides[1], 1.0), (sides[1], sides[0], 0.5)):
        table = table_of(compared(a, b))
        assert start_of(table) == "scale"
        assert table.calls[table.starts].local == pytest.approx(error)


def test_little_memory_or_time_leave_it_out(monkeypatch: pytest.MonkeyPatch, two_files: tuple[str, str]) -> None:
    a, b = side(weights=two_files[0]), side(weights=two_files[1])
    with monkeypatch.context() as patched:
        patched.setattr(parting.memory, "available", lambda: (20_000, 1 << 40))
        found = compared(a, b)
        assert (found.verdict, found.errors) == ("fail", None)
        assert "more than a quarter of the" in found.errors_left_out
        patched.setattr(parting.memory, "available", lambda: (0, 0))
        assert "not known here how much memory" in compared(a, b).errors_left_out
    with monkeypatch.context() as patched:
        patched.setattr(parting, "BUDGET", 1e-6)
        assert "s are left for it" in compared(a, b).errors_left_out
        patched.setattr(parting, "_no_time", lambda *_: "")
        assert compared(a, b).errors_left_out == "it was not done within 0 s"
    assert "s are left for it" in compared(a, b, timeout=1e-3).errors_left_out


def test_it_can_be_cancelled_and_a_failure_in_it_leaves_the_verdict(
    monkeypatch: pytest.MonkeyPatch, two_files: tuple[str, str]
) -> None:
    a, b = side(weights=two_files[0]), side(weights=two_files[1])
    job = Job(1, lambda body, number: job.cancel() if body.phase == "B: given and answered" else None)
    with pytest.raises(Cancelled):
        compare_models(Compare(a, b), job)

    def fails(*_: Any) -> Any:
        raise RuntimeError("hooks are not for this model")

    monkeypatch.setattr(parting, "table", fails)
    found = compared(a, b)
    assert found.verdict == "fail"
    assert "hooks are not for this model" in found.errors_left_out


def test_a_job_is_out_of_time_only_inside_and_the_shorter_limit_holds() -> None:
    job = Job(1, lambda body, number: None)
    with job.within(1e4):
        job.raise_if_cancelled()
        with pytest.raises(OutOfTime), job.within(-1.0):
            job.progress("late")
        job.raise_if_cancelled()
    with pytest.raises(OutOfTime), job.within(-1.0), job.within(1e4):
        job.raise_if_cancelled()
    job.raise_if_cancelled()
