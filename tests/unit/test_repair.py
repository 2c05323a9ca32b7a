"""Names of a file that do not fit: the map that makes them fit, its limits in words, and what it does to a model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import Recipe
from workbench.protocol.repair import RepairWeights
from workbench.worker.bench import weights
from workbench.worker.bench.load import build
from workbench.worker.bench.repair import Repair, solve
from workbench.worker.bench.repairing import repair
from workbench.worker.job import Job

Shapes = dict[str, tuple[int, ...]]

BODY: Shapes = {
    "body.0.weight": (8, 6),
    "body.0.bias": (8,),
    "body.2.weight": (8, 8),
    "body.2.bias": (8,),
    "head.weight": (5, 8),
    "head.bias": (5,),
}


def job() -> Job:
    return Job(1, lambda body, number: None)


def ran(found: Repair, names: Iterable[str], own: Shapes) -> dict[str, Any]:
    """What the printed code makes of a state_dict with these names, each of which holds its own name."""

    class Model:
        def state_dict(self) -> dict[str, str]:
            return dict.fromkeys(own, "as constructed")

    space: dict[str, Any] = {"state": {name: name for name in names}, "model": Model()}
    exec(found.code, space)
    return dict(space["state"])


def meant(found: Repair, own: Shapes) -> dict[str, str]:
    """What the printed code has to make of it."""
    return dict.fromkeys(own, "as constructed") | {new: old for old, new in found.names.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name: f"module.{name}", "removing 'module.' (DataParallel"),
        (lambda name: f"_orig_mod.{name}", "removing '_orig_mod.' (torch.compile"),
        (lambda name: f"module._orig_mod.{name}", "removing 'module._orig_mod.' (torch.compile"),
        (lambda name: f"model.net.{name}", "removing 'model.net.'"),
        (lambda name: name.replace("body", "backbone"), "renaming 'backbone' to 'body'"),
        (lambda name: name.replace("weight", "gamma").replace("bias", "beta"), "renaming 'gamma' to 'weight'"),
        (lambda name: f"model.{name}".replace("head", "classifier"), "renaming 'classifier' to 'head'"),
    ],
)
def test_what_was_changed_for_all_names_is_found_and_undone(change: Any, words: str) -> None:
    file = {change(name): shape for name, shape in BODY.items()}
    found = solve(file, BODY)
    assert found.names == {change(name): name for name in BODY}
    assert (found.safe, found.after, found.random, found.unused) == (True, len(BODY), (), ())
    assert words in found.words
    assert "all shapes agree" in found.words
    assert ran(found, file, BODY) == meant(found, BODY)


def test_a_prefix_that_the_file_lacks_is_put_there() -> None:
    own = {f"encoder.{name}": shape for name, shape in BODY.items()}
    found = solve(BODY, own)
    assert (found.safe, found.after) == (True, len(own))
    assert "putting 'encoder.' before them" in found.words
    assert ran(found, BODY, own) == meant(found, own)


def test_a_head_of_another_size_stays_random_and_is_never_taken_unasked() -> None:
    file = {f"module.{name}": shape for name, shape in BODY.items()} | {
        "module.head.weight": (10, 8),
        "module.head.bias": (10,),
    }
    found = solve(file, BODY)
    assert (found.before, found.after, found.safe, found.helps) == (0, 4, False, True)
    assert found.random == ("head.weight", "head.bias")
    assert found.shapes[0] == "head.weight [10,8] in the file, [5,8] in the model"
    assert "left over" not in found.words
    assert "would stay random" in found.words
    assert ran(found, file, BODY) == meant(found, BODY)


def test_two_copies_in_one_file_are_a_doubt() -> None:
    file = {f"model.{name}": shape for name, shape in BODY.items()} | {f"ema.{name}": s for name, s in BODY.items()}
    found = solve(file, BODY)
    assert (found.after, found.safe) == (len(BODY), False)
    assert found.doubt == "the names under 'ema.' of the file fit as well as those under 'model.'"


def test_names_that_could_change_places_are_a_doubt() -> None:
    own = {"a.norm1.weight": (4,), "a.norm2.weight": (4,), "b.norm1.weight": (4,), "b.norm2.weight": (4,)}
    file = {name.replace("norm", "ln_"): shape for name, shape in own.items()}
    found = solve(file, own)
    assert found.after == 4
    assert found.doubt
    assert not found.safe


def layers(numbers: Iterable[int], name: str = "layers.{}.") -> Shapes:
    """Layers of one shape under these numbers."""
    return {
        name.format(number) + leaf: (4, 4)[: 1 + (leaf == "weight")]
        for number in numbers
        for leaf in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("name", "file", "model", "words"),
    [
        ("layers.{}.", range(3), range(1, 4), "counting 'layers.' from 1 instead of 0"),
        ("layers.{}.", range(1, 4), range(3), "counting 'layers.' from 0 instead of 1"),
        ("h.{}.mlp.", range(12), range(1, 13), "counting 'h.' from 1 instead of 0"),
        ("a.norm{}.", (1, 2), (2, 3), "counting 'a.norm' from 2 instead of 1"),
    ],
)
def test_numbers_that_begin_elsewhere_move_together(name: str, file: Any, model: Any, words: str) -> None:
    file, own = layers(file, name), layers(model, name)
    found = solve(file, own)
    assert list(found.names.items()) == list(zip(file, own, strict=True))
    assert (found.safe, found.doubt) == (True, "")
    assert words in found.words
    assert ran(found, file, own) == meant(found, own)


def test_numbers_under_a_prefix_that_goes_move_together() -> None:
    file, own = layers(range(3), "module.layers.{}."), {**layers(range(1, 4)), "head.weight": (5, 4)}
    file["module.head.weight"] = (5, 4)
    found = solve(file, own)
    assert [found.names[f"module.layers.{number}.weight"] for number in range(3)] == [
        f"layers.{number}.weight" for number in (1, 2, 3)
    ]
    assert (found.safe, found.after) == (True, 7)
    assert ran(found, file, own) == meant(found, own)


def test_numbers_with_gaps_keep_their_order_and_are_a_doubt_where_shapes_do_not_tell() -> None:
    file, own = layers(range(3)), layers((0, 2, 4))
    found = solve(file, own)
    assert list(found.names.items()) == list(zip(file, own, strict=True))
    assert "numbering 'layers.' 0, 2, 4 instead of 0, 1, 2" in found.words
    assert "their order was kept" in found.doubt
    assert ran(found, file, own) == meant(found, own)
    told = {f"layers.{old}.weight": (old + 1, 4) for old in range(3)}
    own = {f"layers.{2 * old}.weight": (old + 1, 4) for old in range(3)}
    assert solve(told, own).safe


def test_some_layers_of_many_are_a_doubt() -> None:
    found = solve(layers(range(6), "module.layers.{}."), layers(range(3)))
    assert found.after == 6
    assert not found.safe
    assert "counting 'layers.'" in found.doubt
    assert not solve(layers(range(3)), layers(range(1, 6))).safe


@pytest.mark.parametrize(
    ("file", "model"), [("qk", "kv"), ("qkv", "kvo"), (("up", "gate", "down"), ("up", "gate", "last"))]
)
def test_a_rename_beside_names_that_could_be_meant_as_well_is_a_doubt(file: Any, model: Any) -> None:
    found = solve(*({f"{place}.{one}.weight": (4, 4) for place in "01" for one in names} for names in (file, model)))
    assert found.random == ()
    assert "may be meant by" in found.doubt
    assert not found.safe


def test_a_rename_beside_names_of_another_shape_or_meaning_is_none() -> None:
    file = {"body.weight": (4, 4), "head.weight": (5, 4), "norm.scale": (4,), "norm.bias": (4,)}
    own = {"body.weight": (4, 4), "classifier.weight": (5, 4), "norm.weight": (4,), "norm.bias": (4,)}
    found = solve(file, own)
    assert found.names["head.weight"] == "classifier.weight"
    assert found.names["norm.scale"] == "norm.weight"
    assert (found.doubt, found.safe) == ("", True)


def test_the_printed_code_takes_the_values_that_the_map_takes() -> None:
    file = {"head.weight": (5, 8), "module.head.weight": (5, 8), "module.body.weight": (8, 6)}
    own = {"head.weight": (5, 8), "body.weight": (8, 6)}
    found = solve(file, own)
    assert found.names["head.weight"] == "head.weight"
    assert (
        ran(found, file, own)
        == meant(found, own)
        == {"head.weight": "head.weight", "body.weight": "module.body.weight"}
    )


def test_names_that_fit_but_for_a_head_are_offered_and_never_taken_unasked() -> None:
    for file in (
        BODY | {"head.weight": (10, 8), "head.bias": (10,)},
        {name: shape for name, shape in BODY.items() if not name.startswith("head")},
        BODY | {"aux.weight": (2, 2)},
    ):
        found = solve(file, BODY)
        assert (found.helps, found.safe) == (True, False)
        assert "fit as they are" in found.words
        assert ran(found, file, BODY) == meant(found, BODY)
    assert not solve({"head.bias": (5,), "x": (1,)}, BODY).helps


def test_what_fits_nowhere_is_not_forced() -> None:
    found = solve({"conv.weight": (3, 3, 3, 3)}, BODY)
    assert (found.helps, found.after, found.rules) == (False, 0, ())


def test_a_tied_name_comes_from_the_other() -> None:
    own = {**BODY, "tied.weight": (5, 8)}
    found = solve({f"module.{name}": shape for name, shape in BODY.items()}, own, [["head.weight", "tied.weight"]])
    assert (found.safe, found.random, found.after) == (True, (), 7)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "conv", "0", "1", "weight", "bias"]), min_size=1, max_size=4).map(".".join),
        min_size=1,
        max_size=12,
        unique=True,
    ),
    st.sampled_from(["module.", "_orig_mod.module.", "net.inner.", "x."]),
    st.integers(0, 5),
)
def test_a_map_never_joins_two_names_or_shapes_that_differ(names: list[str], prefix: str, size: int) -> None:
    own = {name: (place % 3, size) for place, name in enumerate(names)}
    file = {prefix + name: shape for name, shape in own.items()}
    found = solve(file, own)
    assert len(set(found.names.values())) == len(found.names)
    assert all(file[old] == own[new] for old, new in found.names.items())
    assert found.total == len(own)
    assert set(found.random) | set(found.names.values()) == set(own)
    assert ran(found, file, own) == meant(found, own)


SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.body(x))
"""


@pytest.fixture
def net(tmp_path: Path) -> tuple[Recipe, dict[str, torch.Tensor]]:
    (tmp_path / "net.py").write_text(SOURCE)
    torch.manual_seed(3)
    body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8))
    state = {f"body.{name}": value for name, value in body.state_dict().items()}
    state |= {"head.weight": torch.randn(5, 8), "head.bias": torch.randn(5)}
    return Recipe(f"{tmp_path}/net.py:Net", inputs=("x=float32[4,6]",), directory=str(tmp_path)), state


def saved(recipe: Recipe, content: Any, name: str = "w.pt") -> Recipe:
    torch.save(content, os.path.join(recipe.directory, name))
    return dataclasses.replace(recipe, weights=name)


def test_a_repair_is_refused_unasked_taken_on_a_word_and_said(net: tuple[Recipe, dict[str, torch.Tensor]]) -> None:
    recipe, state = net
    asked = saved(recipe, {f"module._orig_mod.{name}": value for name, value in state.items()})
    with pytest.raises(WorkbenchError) as caught:
        build(asked, job())
    assert caught.value.failure.repair == "auto"
    assert "0 of 6 → 6 of 6 after removing 'module._orig_mod.'" in caught.value.failure.remedy
    built = build(dataclasses.replace(asked, repair="auto"), job())
    assert torch.equal(built.model.state_dict()["body.2.weight"], state["body.2.weight"])
    assert any(note.startswith("repaired: 0 of 6 → 6 of 6") for note in built.info.warnings)


def test_what_nothing_fits_keeps_the_constructors_values(net: tuple[Recipe, dict[str, torch.Tensor]]) -> None:
    recipe, state = net
    state = {f"module.{name}": value for name, value in state.items()}
    state["module.head.weight"] = torch.randn(10, 8)
    asked = saved(recipe, state)
    with pytest.raises(WorkbenchError) as caught:
        build(dataclasses.replace(asked, repair="auto"), job())
    assert caught.value.failure.repair == "yes"
    plain = build(dataclasses.replace(recipe, weights=""), job()).model.state_dict()
    built = build(dataclasses.replace(asked, repair="yes"), job())
    assert torch.equal(built.model.state_dict()["head.weight"], plain["head.weight"])
    assert torch.equal(built.model.state_dict()["body.0.bias"], state["module.body.0.bias"])
    assert any("head.weight stay random" in note for note in built.info.warnings)


def test_a_head_of_another_size_alone_is_offered_and_stays_as_constructed(net: tuple[Recipe, dict[str, Any]]) -> None:
    recipe, state = net
    asked = saved(recipe, state | {"head.weight": torch.randn(10, 8), "head.bias": torch.randn(10)})
    with pytest.raises(WorkbenchError) as caught:
        build(dataclasses.replace(asked, repair="auto"), job())
    assert caught.value.failure.repair == "yes"
    assert "4 of 6 fit as they are" in caught.value.failure.remedy
    plain = build(dataclasses.replace(recipe, weights=""), job()).model.state_dict()
    built = build(dataclasses.replace(asked, repair="yes"), job())
    assert torch.equal(built.model.state_dict()["head.weight"], plain["head.weight"])
    assert torch.equal(built.model.state_dict()["body.0.bias"], state["body.0.bias"])
    assert any("head.weight, head.bias stay random" in note for note in built.info.warnings)


def test_the_renamed_file_loads_by_itself(net: tuple[Recipe, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    recipe, state = net
    asked = saved(recipe, {f"model.{name}": value for name, value in state.items()})
    for name in ("fitted.safetensors", "fitted.pt"):
        found = repair(RepairWeights(asked, str(tmp_path / name)), job())
        assert (found.random, found.doubt, found.after) == ((), "", 6)
        built = build(dataclasses.replace(recipe, weights=name), job())
        assert torch.equal(built.model.state_dict()["head.bias"], state["head.bias"])
    with pytest.raises(WorkbenchError) as caught:
        repair(RepairWeights(asked, str(tmp_path / "fitted.pt")), job())
    assert caught.value.failure.kind == "exists"


def test_a_state_dict_inside_a_checkpoint_is_picked_by_its_key(net: tuple[Recipe, dict[str, torch.Tensor]]) -> None:
    recipe, state = net
    content = {"epoch": 3, "model": state, "ema": {name: value * 2 for name, value in state.items()}}
    path = os.path.join(recipe.directory, "last.pt")
    torch.save({**content, "deep": {"inner": state}}, path)
    plain = weights.read(path)
    assert torch.equal(plain.tensors["head.bias"], state["head.bias"])
    assert "took 'model'" in plain.notes[0]
    assert "#ema" in plain.notes[0]
    assert torch.equal(weights.read(f"{path}#ema").tensors["head.bias"], 2 * state["head.bias"])
    assert torch.equal(weights.read(f"{path}#deep.inner").tensors["head.bias"], state["head.bias"])
    with pytest.raises(WorkbenchError) as caught:
        weights.read(f"{path}#nothing")
    assert "model" in caught.value.failure.remedy


def test_a_file_with_the_mark_in_its_name_is_a_file(net: tuple[Recipe, dict[str, torch.Tensor]]) -> None:
    recipe, state = net
    path = os.path.join(recipe.directory, "run#2.pt")
    torch.save(state, path)
    assert weights.split_key(path) == (path, "")
    assert weights.read(path).tensors.keys() == state.keys()
