"""Edits of inputs: rows, dtypes, values, elements, and the recipe that they make."""

from __future__ import annotations

import pytest
import torch

from tests.unit import bench_models
from workbench.client.command import command_for
from workbench.client.spec_edits import Row, edited, next_dtype, next_values, rows, with_element
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inputs import SetInputs
from workbench.protocol.messages import Load
from workbench.protocol.model import InputInfo, ModeChange, Recipe
from workbench.protocol.spec_reader import parse
from workbench.worker.bench.bench import Bench
from workbench.worker.job import Job

JOB = Job(1, lambda body, job: None)


def turned(text: str, function: object, times: int) -> list[str]:
    found = []
    for _ in range(times):
        text = function(text)  # type: ignore[operator]
        parse(text)
        found.append(text)
    return found


def test_dtypes_go_round_and_take_along_what_they_can_hold() -> None:
    assert turned("float32[4]{normal(0,2);[0]=nan}", next_dtype, 4) == [
        "float64[4]{normal(0,2);[0]=nan}", "float16[4]{normal(0,2);[0]=nan}", "bfloat16[4]{normal(0,2);[0]=nan}",
        "int64[4]",
    ]  # fmt: skip
    assert next_dtype("int64[n:1..9]{0..5}") == "int32[n:1..9]{0..5}"
    assert next_dtype("bool[4]{ones}") == "float32[4]{ones}"
    assert next_dtype("complex64[4]") == "float32[4]"
    assert next_dtype("None") == "None"


def test_values_go_round_and_elements_stay() -> None:
    assert turned("float32[4]{;[0]=1}", next_values, 5) == [
        "float32[4]{normal(0,2);[0]=1}", "float32[4]{0..1;[0]=1}", "float32[4]{zeros;[0]=1}", "float32[4]{ones;[0]=1}",
        "float32[4]{;[0]=1}",
    ]  # fmt: skip
    assert turned("int64[4]", next_values, 4) == ["int64[4]{0..100}", "int64[4]{zeros}", "int64[4]{ones}", "int64[4]"]
    assert turned("bool[4]", next_values, 3) == ["bool[4]{zeros}", "bool[4]{ones}", "bool[4]"]


def test_elements_are_added_one_by_one_until_there_is_none() -> None:
    found = turned("float32[1,2]", with_element, 2)
    assert found == ["float32[1,2]{;[0,0]=1}", "float32[1,2]{;[0,0]=1;[0,1]=1}"]
    assert with_element(found[-1]) == found[-1]
    assert with_element("float32[]") == "float32[]{;[]=1}"
    assert with_element("bool[2]") == "bool[2]{;[0]=True}"
    assert with_element("float32[0]") == "float32[0]"


def test_rows_of_parts_of_arguments_and_of_arguments_without_names() -> None:
    infos = (InputInfo("b", 'b.x=float32[2]{normal(0,2)} b["a b"]=None', "given"), InputInfo("", "float32[4]", "given"),
             InputInfo("how", "how='a = b'", "given"))  # fmt: skip
    found = rows(infos)
    assert [(row.name, row.text) for row in found] == [
        ("b.x", "float32[2]{normal(0,2)}"), ('b["a b"]', "None"), ("", "float32[4]"), ("how", "'a = b'"), ("", ""),
    ]  # fmt: skip


def test_rows_that_nobody_touched_stay_with_their_files() -> None:
    recipe = Recipe("m.py:Net", inputs_files=("x.npy",))
    before = [Row("x", "float32[4]", "from x.npy"), Row("mask", "None", "given"), Row("", "", "")]
    same = edited(recipe, before, ["float32[4]", "None", "k=3"], 5)
    assert (same.inputs, same.inputs_files, same.seed) == (("mask=None", "k=3"), ("x.npy",), 5)
    assert edited(recipe, before, ["float32[4]", " None", ""], recipe.seed) is recipe
    other = edited(recipe, before, ["float32[5]", "", ""], 0)
    assert (other.inputs, other.inputs_files) == (("x=float32[5]",), ())
    with pytest.raises(WorkbenchError, match="cannot be read"):
        edited(recipe, before, ["float32[", "None", ""], 0)


def test_the_bench_takes_other_inputs_and_keeps_everything_else() -> None:
    bench = Bench()
    recipe = Recipe(f"{bench_models.__file__}:Net", inputs=("x=float32[4,10]",))
    bench.load(Load(recipe, ModeChange(training=False, dtype="float64")), JOB)
    model, weight = bench.model, next(bench.model.parameters()).clone()
    loaded = bench.set_inputs(SetInputs(Recipe(recipe.target, inputs=("x=float32[2,10]{ones;[1,9]=7}",))), JOB)
    assert loaded.keep_runs
    assert (loaded.info.batch, loaded.info.inputs[0].spec) == (2, "x=float32[2,10]{ones;[1,9]=7}")
    assert bench.model is model
    assert next(model.parameters()).equal(weight)
    assert (bench.args[0].dtype, bench.args[0][1, 9], bench.modes.training) == (weight.dtype, 7, False)
    for wrong in (("y=float32[2]",), ("x=float32[",)):
        with pytest.raises(WorkbenchError):
            bench.set_inputs(SetInputs(Recipe(recipe.target, inputs=wrong)), JOB)
        assert bench.args[0].shape == (2, 10)
    with pytest.raises(WorkbenchError, match="under seed 0"):
        bench.set_inputs(SetInputs(Recipe(recipe.target, inputs=recipe.inputs, seed=3)), JOB)


def test_another_seed_of_the_inputs_leaves_the_parameters_and_the_command_says_both() -> None:
    bench = Bench()
    recipe = Recipe(f"{bench_models.__file__}:Net", inputs=("x=float32[4,10]",), seed=2)
    bench.load(Load(recipe), JOB)
    weight, given = next(bench.model.parameters()).clone(), bench.args[0].clone()
    wanted = edited(recipe, [Row("x", "float32[4,10]", "given")], ["float32[4,10]"], 7)
    assert (wanted.seed, wanted.init_seed) == (7, 2)
    state = torch.get_rng_state()
    bench.set_inputs(SetInputs(wanted), JOB)
    assert torch.equal(torch.get_rng_state(), state)
    assert next(bench.model.parameters()).equal(weight)
    assert not torch.equal(bench.args[0], given)
    assert command_for(wanted).endswith("--seed 7 --init-seed 2")
    again = Bench()
    again.load(Load(wanted), JOB)  # what the command opens
    assert next(again.model.parameters()).equal(weight)
    assert torch.equal(again.args[0], bench.args[0])
    back = edited(wanted, [Row("x", "float32[4,10]", "given")], ["float32[4,10]"], 2)
    assert (back.seed, back.init_seed) == (2, None)
    filled = Recipe("m.py:Net", weights="w.pt")
    assert edited(filled, [Row("", "", "")], [""], 5).init_seed is None, "a file sets every parameter"
