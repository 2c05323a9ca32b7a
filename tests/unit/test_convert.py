"""A pickled module made into source and numbers: after a yes alone, and as the very model that was pickled."""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.corpus import zoo
from workbench.protocol.convert import Converted, ConvertPickled
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import Recipe
from workbench.report.converted import opening, told
from workbench.worker import tensorfile
from workbench.worker.bench import load
from workbench.worker.bench.alike import alike
from workbench.worker.bench.converting import convert
from workbench.worker.job import Job

JOB = Job(1, lambda body, number: None)

SOURCE = """
import torch
from torch import nn
from own_helpers import act

class Block(nn.Module):
    def __init__(self, width, p=0.1):
        super().__init__()
        self.lin = nn.Linear(width, width)
        self.drop = nn.Dropout(p)

    def forward(self, x):
        return self.drop(act(self.lin(x)))

class Net(nn.Module):
    def __init__(self, width: int, depth: int = 2, p: float = 0.1, act=nn.ReLU):
        super().__init__()
        self.width = width
        self.act = act
        self.body = nn.Sequential(*[Block(width, p) for _ in range(depth)])
        self.fc = nn.Linear(width, 4)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x):
        return self.fc(self.body(x)) * self.scale

class Blind(nn.Module):
    def __init__(self, hidden: int, bias=True):
        super().__init__()
        self.a = nn.Linear(10, hidden, bias)

    def forward(self, x):
        return self.a(x)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with the source of two classes; nothing of it stays imported."""
    (tmp_path / "own_models.py").write_text(SOURCE)
    (tmp_path / "own_helpers.py").write_text("import torch.nn.functional as F\n\ndef act(x):\n    return F.relu(x)\n")
    load.IMPORTS.go_back(None)
    yield tmp_path
    load.IMPORTS.go_back(None)
    forget()


def forget() -> None:
    for name in ("own_models", "own_helpers", "script"):
        sys.modules.pop(name, None)


def saved(place: Path, make: Any, name: str = "net.pt", wrap: Any = None, **options: Any) -> tuple[Path, nn.Module]:
    """Pickle what `make` makes of the module of models, and forget its source again."""
    sys.path.insert(0, str(place))
    try:
        import own_models  # type: ignore[import-not-found]

        model: nn.Module = make(own_models)
        torch.save(model if wrap is None else wrap(model), place / name, **options)
    finally:
        sys.path.remove(str(place))
        forget()
    return place / name, model


def asked(path: Path, out: str = "out", **more: Any) -> ConvertPickled:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ConvertPickled(str(path), digest, str(path.parent / out), str(path.parent), **more)


def refused(request: ConvertPickled) -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        convert(request, JOB)
    return caught.value.failure


def built(found: Converted) -> nn.Module:
    """What the written directory is opened as, away from the source that it came from."""
    recipe = Recipe(found.architecture, weights=found.weights, inputs=("x=float32[2,8]",), directory="/")
    model = load.build(recipe, JOB).model
    load.IMPORTS.go_back(None)  # each conversion has a worker of its own
    return model


def answers(one: nn.Module, other: nn.Module, *shape: int) -> bool:
    given = torch.randn(*shape)
    with torch.no_grad():
        return torch.equal(one.eval()(given), other.eval()(given))


def changed(models: Any) -> nn.Module:
    """As people leave their models: another head, another rate, an attribute of its own, in eval, half of it frozen."""
    model: nn.Module = models.Net(8, p=0.3, act=nn.GELU)
    model.fc = nn.Linear(8, 7, bias=False)
    model.note = ("v2", 3)  # type: ignore[assignment]
    model.body.requires_grad_(False)
    return model.eval()


def test_what_was_changed_after_the_construction_is_set_again_and_said(place: Path) -> None:
    path, model = saved(place, changed)
    found = convert(asked(path), JOB)
    assert (found.whole, found.name, found.sources) == (True, "own_models.Net", ("own_helpers.py", "own_models.py"))
    text = Path(found.architecture.rpartition(":")[0]).read_text()
    assert "Net(width=8, act=nn.GELU)" in text
    assert "made.add_module('fc', nn.Linear(in_features=8, out_features=7, bias=False))" in text
    notes = "\n".join(found.notes)
    assert "body.0.drop.p: 0.3 in the file, 0.1 from its constructor" in notes
    assert "modes: eval in the file for the whole model" in notes
    (place / "own_models.py").unlink()  # the directory stands for itself
    again = built(found)
    assert again.note == ("v2", 3)
    assert not again.training
    assert [one.requires_grad for one in again.parameters()] == [one.requires_grad for one in model.parameters()]
    assert again.get_submodule("body.1.drop").p == 0.3
    assert answers(again, model, 2, 8)
    assert opening(found).startswith("workbench ")
    assert told(found)[0][0] == "green"


def test_nothing_is_loaded_but_the_bytes_that_were_said_yes_to(place: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (os.mkdir, (str(place / "exploded"),))

    torch.save({"model": Bomb()}, place / "bomb.pt")
    request = asked(place / "bomb.pt")
    failure = refused(ConvertPickled(request.path, "0" * 64, request.out, request.directory))
    assert (failure.kind, (place / "exploded").exists()) == ("trust", False)
    assert "no module in it" in refused(request).message
    assert (place / "exploded").exists(), "with a yes it ran: that is what the yes is for"
    assert not (place / "out").exists()


def test_an_argument_that_the_object_does_not_tell_is_asked_for_and_the_weights_are_there(place: Path) -> None:
    path, model = saved(place, lambda models: models.Blind(6, bias=False))
    alone = convert(asked(path, partial=False), JOB)
    assert (alone.path, alone.asks, (place / "out").exists()) == ("", ("hidden: int",), False)
    found = convert(asked(path), JOB)
    assert (found.architecture, found.whole, found.asks, found.tensors) == ("", False, ("hidden: int",), 1)
    assert '--kwargs \'{"hidden": "<int>"}\'' in opening(found, ["workbench", "convert", "net.pt"])
    assert sorted(os.listdir(place / "out")) == ["own_helpers.py", "own_models.py", "weights.safetensors"]
    given = convert(asked(path, "given", kwargs={"hidden": 6, "bias": False}), JOB)
    assert given.whole
    assert answers(built(given), model, 2, 10)
    wrong = convert(asked(path, "wrong", kwargs={"hidden": 5}), JOB)
    assert wrong.architecture, "another layer of torch's own can be put there"
    assert answers(built(wrong), model, 2, 10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.Flatten()),
        lambda: nn.Sequential(nn.Linear(8, 4), nn.GELU("tanh")).half(),
        lambda: nn.LSTM(4, 8, num_layers=2, batch_first=True, bidirectional=True),
        lambda: nn.Embedding(10, 4, padding_idx=1),
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        lambda: nn.ModuleDict(
            {"a": nn.LayerNorm((4,), bias=False), "b": nn.ModuleList([nn.Conv1d(2, 4, 3, stride=2)])}
        ),
        lambda: nn.DataParallel(nn.Linear(3, 3)),
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.2, "gelu", batch_first=True), 2, nn.LayerNorm(8)
        ),
        lambda: nn.Transformer(8, 2, 1, 2, 16, 0.3, batch_first=True),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_layers_of_torch_are_written_as_their_calls(make: Any, zipped: bool, place: Path) -> None:
    model = make()
    torch.save(model, place / "m.pt", _use_new_zipfile_serialization=zipped)
    found = convert(asked(place / "m.pt"), JOB)
    assert (found.whole, found.why, found.differences, found.sources) == (True, "", (), ())
    inner = model.module if isinstance(model, nn.DataParallel) else model
    recipe = Recipe(found.architecture)
    assert repr(load.instantiate(load.IMPORTS.resolve(recipe), recipe)) == repr(inner)
    assert found.tensors == len(inner.state_dict())


def test_a_module_in_a_checkpoint_is_taken_and_a_state_dict_among_objects_too(place: Path) -> None:
    path, model = saved(place, lambda models: models.Net(4), wrap=lambda net: {"epoch": 3, "ema": net, "model": net})
    found = convert(asked(path), JOB)
    assert found.whole
    assert "took 'model' of a checkpoint; modules also under ema" in found.notes
    torch.save({"state_dict": model.state_dict(), "args": Path("x")}, place / "mixed.pt")
    mixed = convert(asked(place / "mixed.pt", "mixed"), JOB)
    assert (mixed.name, mixed.architecture, mixed.tensors) == ("", "", len(model.state_dict()))
    assert "no module" in mixed.why


def test_a_bare_pickle_is_converted_too(place: Path) -> None:
    (place / "bare.pkl").write_bytes(pickle.dumps(nn.Linear(2, 2)))
    assert convert(asked(place / "bare.pkl"), JOB).whole


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "model": state}])
def test_a_state_dict_of_numpy_arrays_becomes_one_of_tensors(wrap: Any, place: Path) -> None:
    state = nn.BatchNorm1d(3).state_dict()
    torch.save(wrap({name: value.numpy() for name, value in state.items()}), place / "arrays.pt")
    found = convert(asked(place / "arrays.pt", "out"), JOB)
    assert "its NumPy arrays became tensors" in found.notes
    written = tensorfile.load(found.weights)
    assert all(
        written[name].dtype == value.dtype and torch.equal(written[name], value) for name, value in state.items()
    )


def test_a_class_of_a_script_needs_the_script(place: Path) -> None:
    script = "from torch import nn\n\nclass Own(nn.Module):\n    def __init__(self, n=2):\n        super().__init__()\n"
    script += "        self.n, self.fc = n, nn.Linear(n, n)\n\n    def forward(self, x):\n        return self.fc(x)\n"
    (place / "script.py").write_text(script)
    program = f"{script}\nimport torch\ntorch.save(Own(5), {str(place / 'own.pt')!r})\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    main, sys.modules["__main__"] = sys.modules["__main__"], type(sys)("__main__")
    try:
        sys.modules["__main__"].__dict__.update(space)
        exec(program, sys.modules["__main__"].__dict__)
    finally:
        sys.modules["__main__"] = main
    failure = refused(asked(place / "own.pt"))
    assert (failure.kind, "--source" in failure.remedy) == ("model", True)
    assert "__main__.Own" in failure.message
    found = convert(asked(place / "own.pt", source="script.py"), JOB)
    assert (found.whole, found.name, found.sources) == (True, "script.Own", ("script.py",))
    assert refused(asked(place / "own.pt", "no", source="nowhere.py")).kind == "usage"


def test_source_that_is_not_there_is_said_with_what_to_type(place: Path) -> None:
    path, _ = saved(place, lambda models: models.Net(4))
    (place / "own_models.py").rename(place / "moved.py")
    failure = refused(asked(path))
    assert "own_models" in failure.message
    assert "--source PATH" in failure.remedy
    assert not (place / "out").exists()


def test_a_difference_that_no_line_takes_away_is_said(place: Path) -> None:
    path, _ = saved(place, lambda models: filled(models.Net(4)))
    found = convert(asked(path), JOB)
    assert found.architecture
    assert not found.whole
    assert found.differences == ("scale has other values, and is in no state_dict",)
    assert told(found)[0][0] == "yellow"


def filled(model: nn.Module) -> nn.Module:
    model.scale.fill_(2.0)  # type: ignore[operator, union-attr]
    return model


def test_the_function_that_made_it_is_called_where_the_class_does_not_tell(place: Path) -> None:
    more = "\n\ndef made(hidden):\n    return Blind(hidden)\n"
    (place / "own_models.py").write_text(SOURCE + more)
    path, model = saved(place, lambda models: changed_head(models.made(6)))
    found = convert(asked(path, like="own_models:made", kwargs={"hidden": 3}), JOB)
    assert found.whole
    assert "made = made_(hidden=3)" in (place / "out" / "architecture.py").read_text(), "its own name was taken"
    assert answers(built(found), model, 2, 10)
    wrong = convert(asked(path, "wrong", like="no name"), JOB)
    assert "no package.module:function" in wrong.why


def changed_head(model: nn.Module) -> nn.Module:
    model.a = nn.Linear(10, 2)
    return model


@pytest.mark.skipif(bool(zoo.missing()), reason=zoo.missing())
@pytest.mark.parametrize("package", ["timm", "transformers"])
def test_models_of_real_packages_are_written_by_what_these_keep(package: str, place: Path) -> None:
    zoo.prepare()
    if package == "timm":
        model = zoo.timm_model("resnet18")
        model.fc = nn.Linear(512, 3)
        text = "create_model('resnet18')"
    else:
        from transformers import BertConfig, BertModel

        model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8))
        text = "BertModel(config=BertConfig.from_dict("
    torch.save(model.eval(), place / "m.pt")
    found = convert(asked(place / "m.pt"), JOB)
    assert (found.whole, found.differences) == (True, ())
    assert text in (place / "out" / "architecture.py").read_text()


def test_what_holds_tensors_alone_is_not_converted(place: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), place / "state.pt")
    failure = refused(asked(place / "state.pt"))
    assert (failure.kind, "no pickled module" in failure.message) == ("usage", True)


def test_a_pickled_module_named_as_the_model_or_the_weights_offers_its_conversion(place: Path) -> None:
    torch.save(nn.Linear(2, 2), place / "net.pt")
    (place / "net.py").write_text("from torch import nn\n\ndef net():\n    return nn.Linear(2, 2)\n")
    for recipe in (Recipe(str(place / "net.pt")), Recipe(f"{place}/net.py:net", weights=str(place / "net.pt"))):
        with pytest.raises(WorkbenchError) as caught:
            load.build(recipe, JOB)
        assert caught.value.failure.convert == str(place / "net.pt")
        assert "workbench convert" in caught.value.failure.remedy


HOLDING = """
import enum, functools
import torch
from torch import nn
import torch.nn.functional as F

def own(x):
    return x * 2

def other(x):
    return x * 3

class Kind(enum.Enum):
    A = 1
    B = 2

class Settings:
    def __init__(self, rate):
        self.rate = rate

class Net(nn.Module):
    def __init__(self, act=torch.relu):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.fn = act

    def forward(self, x):
        return self.fn(self.fc(x))

class Attribute(Net):
    def __init__(self):
        super().__init__()
        self.kept = None

def with_(value):
    made = Attribute()
    made.kept = value
    return made
"""


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda models: models.Net(torch.tanh), "made.fn = torch.tanh"),
        (lambda models: models.Net(nn.functional.gelu), "made.fn = nn.functional.gelu"),
        (lambda models: models.Net(models.own), "made.fn = own"),
        (lambda models: models.Net(functools.partial(nn.functional.leaky_relu, negative_slope=0.5)),
         "made.fn = functools.partial(nn.functional.leaky_relu, negative_slope=0.5)"),
        (lambda models: models.Net(nn.functional.relu), "made.fn = nn.functional.relu"),
        (lambda models: models.with_(models.Kind.B), "made.kept = Kind['B']"),
    ],
)  # fmt: skip
def test_a_function_that_a_model_holds_is_set_again(make: Any, line: str, place: Path) -> None:
    (place / "own_models.py").write_text(HOLDING)
    path, model = saved(place, make)
    found = convert(asked(path), JOB)
    assert (found.whole, found.differences, found.uncompared) == (True, (), ())
    assert line in (place / "out" / "architecture.py").read_text()
    assert answers(built(found), model, 2, 8)


@pytest.mark.parametrize(
    ("value", "differences", "uncompared"),
    [
        (lambda models: models.Settings(0.5), ("kept: ",), ()),
        (lambda models: [torch.ones(2)], ("kept: ",), ()),
        (lambda models: iter([1, 2]), ("kept: ",), ()),
        (lambda models: None, (), ()),
    ],
)
def test_what_no_line_sets_is_a_difference(value: Any, differences: Any, uncompared: Any, place: Path) -> None:
    (place / "own_models.py").write_text(HOLDING)
    path, _ = saved(place, lambda models: models.with_(value(models)))
    found = convert(asked(path), JOB)
    assert found.architecture
    assert [one[: len(start)] for one, start in zip(found.differences, differences, strict=True)] == list(differences)
    assert (found.uncompared, found.whole) == (uncompared, not differences)


def test_what_nobody_can_tell_is_not_called_the_very_model(place: Path) -> None:
    made = "self.queue = iter([1])"
    (place / "own_models.py").write_text(HOLDING.replace("self.kept = None", made))
    path, _ = saved(place, lambda models: models.Attribute())
    found = convert(asked(path), JOB)
    assert (found.differences, found.uncompared, found.whole) == ((), ("queue",), False)
    assert ("yellow", "nobody can tell whether it is the same: queue") in told(found)


def test_hooks_and_attributes_that_a_class_has_got_since_are_differences(place: Path) -> None:
    (place / "own_models.py").write_text(HOLDING)

    def hooked(models: Any) -> nn.Module:
        made: nn.Module = models.Net()
        made.register_forward_hook(hook)
        return made

    path, _ = saved(place, hooked)
    (place / "own_models.py").write_text(HOLDING.replace("self.fn = act", "self.fn, self.scale = act, 2"))
    found = convert(asked(path), JOB)
    assert set(found.differences) == {
        "scale: none in the file, 2 from its constructor",
        "the model: its hooks are not taken over",
    }
    assert not found.whole


def hook(module: nn.Module, args: Any, output: Any) -> Any:
    return output * 2


class Slotted:
    __slots__ = ("a",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1, False),
        (float("nan"), float("nan"), True),
        (torch.relu, torch.tanh, False),
        (torch.relu, torch.relu, True),
        (lambda x: x + 1, lambda x: x + 1, True),
        (lambda x: x + 1, lambda x: x + 2, False),
        (functools.partial(int, base=2), functools.partial(int, base=2), True),
        (functools.partial(int, base=2), functools.partial(int, base=3), False),
        ({"a": [torch.ones(2)]}, {"a": [torch.ones(2)]}, True),
        ({"a": [torch.ones(2)]}, {"a": [torch.zeros(2)]}, False),
        ({"a": 1}, {"b": 1}, False),
        (Job, Job, True),
        ({1, 2}, {2, 1}, True),
        (collections.deque([1]), collections.deque([1]), True),
        (collections.deque([1]), collections.deque([2]), False),
        (iter([1]), iter([1]), None),
        (Slotted(), Slotted(), None),
        (nn.Linear(2, 2), nn.Linear(2, 2), None),
    ],
)
def test_values_are_alike_other_or_beyond_telling(one: Any, other: Any, same: bool | None) -> None:
    assert alike(one, other) is same
