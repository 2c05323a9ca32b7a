"""Names of a file that do not fit: the map that makes them fit, its limits in words, and what it does to a model."""

from __future__ import annotations

import dataclasses
import os
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


def ran(found: Repair, names: list[str], own: Shapes) -> dict[str, Any]:
    """What the printed code makes of a state_dict with these names."""

    class Model:
        def state_dict(self) -> Shapes:
            return own

    space: dict[str, Any] = {"state": dict.fromkeys(names), "model": Model()}
    exec(found.code, space)
    return dict(space["state"])


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
    assert set(ran(found, list(file), BODY)) == set(BODY)


def test_a_prefix_that_the_file_lacks_is_put_there() -> None:
    own = {f"encoder.{name}": shape for name, shape in BODY.items()}
    found = solve(BODY, own)
    assert (found.safe, found.after) == (True, len(own))
    assert "putting 'encoder.' before them" in found.words
    assert set(ran(found, list(BODY), own)) == set(own)


def test_a_head_of_another_size_stays_random_and_is_never_taken_unasked() -> None:
    file = {f"module.{name}": shape for name, shape in BODY.items()} | {
        "module.head.weight": (10, 8),
        "module.head.bias": (10,),
    }
    found = solve(file, BODY)
    assert (found.before, found.after, found.safe, found.helps) == (0, 4, False, True)
    assert found.random == ("head.weight", "head.bias")
    assert found.shapes[0] == "head.weight [10,8] in the file, [5,8] in the model"
    assert "would stay random" in found.words


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
