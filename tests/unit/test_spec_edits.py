"""Edits of inputs: rows, dtypes, values, elements, and the recipe that they make."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit import bench_models
from workbench.client.command import command_for
from workbench.client.spec_edits import Row, edited, next_dtype, next_values, rows, with_element
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inputs import SetInputs
from workbench.protocol.messages import Load
from workbench.protocol.model import FROM_FILE, InputInfo, ModeChange, Recipe
from workbench.protocol.spec_reader import parse
from workbench.worker.bench.arguments import Argument
from workbench.worker.bench.bench import Bench
from workbench.worker.bench.example_sources import example_from
from workbench.worker.bench.given import from_specs
from workbench.worker.bench.inputs import Example
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


def infos(*specs: str, **changed: str) -> tuple[InputInfo, ...]:
    """What the bench says of arguments that these specs describe; changed: source by name of the argument."""
    made = Example(tuple(from_specs(specs))).infos
    return tuple(replace(one, source=changed.get(one.name, one.source), origin="from it") for one in made)


def test_rows_of_parts_of_arguments_and_of_arguments_without_names() -> None:
    specs = ("b.x=float32[2]{normal(0,2)}", 'b["a = b"]=None', "float32[4]", "how='a = b'")
    assert [(row.name, row.text, row.fixed) for row in rows(infos(*specs), Recipe("m.py:Net", inputs=specs))] == [
        ("b.x", "float32[2]{normal(0,2)}", False), ('b["a = b"]', "None", False), ("", "float32[4]", False),
        ("how", "'a = b'", False), ("", "", False),
    ]  # fmt: skip


def test_an_argument_of_many_parts_has_a_row_for_each_and_one_of_too_many_is_left_as_it_is() -> None:
    nine = tuple(f"b.k{number}=float32[{number}]" for number in range(9))
    recipe = Recipe("m.py:Net", inputs=nine)
    found = rows(infos(*nine), recipe)
    assert [row.name for row in found] == [*(f"b.k{number}" for number in range(9)), ""]
    assert edited(recipe, found, [*(row.text for row in found[:-1]), "k=3"], 1).inputs == (*nine, "k=3")
    many = tuple(f"b.k{number}=float32[{number}]" for number in range(150))
    recipe = Recipe("m.py:Net", inputs=(*many, "c=3"))
    found = rows(infos(*many, "c=3"), recipe)
    assert [(row.name, row.fixed) for row in found] == [("b", True), ("c", False), ("", False)]
    assert edited(recipe, found, [found[0].text, "4", ""], 0).inputs == (*many, "c=4")
    with pytest.raises(WorkbenchError, match="cannot be edited here"):
        edited(recipe, found, ["None", "3", ""], 0)


def test_what_no_spec_can_say_is_no_row_to_edit() -> None:
    value = {"x": torch.ones(2), "when": datetime.date(2020, 1, 1)}
    found = rows(Example((Argument("b", None, value, "from x.pt", source=FROM_FILE),)).infos, Recipe("m.py:Net"))
    assert [(row.name, row.fixed) for row in found] == [("b.x", False), ("b.when", True), ("", False)]


def test_rows_that_nobody_touched_stay_with_their_files() -> None:
    recipe = Recipe("m.py:Net", inputs_files=("x.npy",))
    before = [Row("x", "float32[4]", "from x.npy", FROM_FILE), Row("mask", "None", "given"), Row("", "", "")]
    same = edited(recipe, before, ["float32[4]", "None", "k=3"], 5)
    assert (same.inputs, same.inputs_files, same.seed) == (("mask=None", "k=3"), ("x.npy",), 5)
    assert edited(recipe, before, ["float32[4]", " None", ""], recipe.seed) is recipe
    other = edited(recipe, before, ["float32[5]", "", ""], 0)
    assert (other.inputs, other.inputs_files) == (("x=float32[5]",), ())
    with pytest.raises(WorkbenchError, match="cannot be read"):
        edited(recipe, before, ["float32[", "None", ""], 0)
    two = [Row("x", "float32[4]", "from x.npy", FROM_FILE), Row("y", "float32[4]", "from x.npy", FROM_FILE)]
    with pytest.raises(WorkbenchError, match=r"y would come from x\.npy again"):
        edited(recipe, two, ["float32[4]", ""], 0)
    bare = [replace(row, name="") for row in two]
    with pytest.raises(WorkbenchError, match="no names"):
        edited(recipe, bare, ["float32[4]", "float32[5]"], 0)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 3)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor, batch: dict[str, Any] | None = None) -> torch.Tensor:
        return self.embed(ids) * scale


def test_values_of_example_inputs_outlive_the_edit_of_another_row() -> None:
    def own() -> dict[str, torch.Tensor]:
        return {"ids": torch.tensor([[901, 902, 903]]), "scale": torch.ones(3)}

    recipe, model = Recipe("m.py:Net"), Scaled()
    before = rows(example_from(recipe, model, own).infos, recipe)
    wanted = edited(recipe, before, [before[0].text, "float32[3]{zeros}", ""], 0)
    assert wanted.inputs == ("scale=float32[3]{zeros}",)
    made = example_from(wanted, model, own)
    (ids, scale), _ = made.sample(0)
    assert (ids.tolist(), scale.tolist()) == ([[901, 902, 903]], [0, 0, 0])
    seeded = edited(recipe, before, [row.text for row in before], 7)
    assert example_from(seeded, model, own).sample(7)[0][0].tolist() == [[901, 902, 903]]
    after = rows(made.infos, wanted)
    again = edited(wanted, after, [after[0].text, "float32[3]{ones}", ""], 0)
    assert again.inputs == ("scale=float32[3]{ones}",)
    with pytest.raises(WorkbenchError, match=r"ids would come from example_inputs\(\) again"):
        edited(recipe, before, ["", before[1].text, ""], 0)


def test_one_part_of_a_dict_in_a_file_is_changed_and_its_other_parts_stay(tmp_path: Path) -> None:
    parts = {"x": torch.full((2, 3), 5.0), "y": torch.full((2, 3), 6.0)}
    torch.save({"ids": torch.tensor([[901]]), "scale": torch.ones(3), "batch": parts}, tmp_path / "x.pt")
    recipe, model = Recipe("m.py:Net", directory=str(tmp_path), inputs_files=("x.pt",)), Scaled()
    for value in ("float32[2,3]{zeros}", "float32[2,3]{ones}"):  # the second edit finds the first one's row
        before = rows(example_from(recipe, model).infos, recipe)
        texts = [value if row.name == "batch.x" else row.text for row in before]
        recipe = edited(recipe, before, texts, 0)
        assert (recipe.inputs, recipe.inputs_files) == ((f"batch.x={value}",), ("x.pt",))
        (_, _, batch), _ = example_from(recipe, model).sample(0)
        assert (float(batch["x"][0, 0]), float(batch["y"][0, 0])) == (float("ones" in value), 6)
    wrong = replace(recipe, inputs=("batch.x.deep=3",))
    with pytest.raises(WorkbenchError, match=r"There is no batch\.x\.deep: batch\.x is a Tensor"):
        example_from(wrong, model)


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
