"""From a recipe to a model: targets, constructors, seeds, reloads, and what stays when it fails."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit import bench_models
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import Recipe
from workbench.worker.bench import load
from workbench.worker.bench.info import columns
from workbench.worker.job import Job

HERE = bench_models.__file__
JOB = Job(1, lambda body, job: None)


@pytest.fixture(autouse=True)
def _imports_taken_back() -> Iterator[None]:
    load.IMPORTS.go_back(None)  # what tests of other files left
    path, modules = list(sys.path), set(sys.modules)
    yield
    load.IMPORTS.go_back(None)
    assert sys.path == path
    assert not [name for name in set(sys.modules) - modules if name.startswith(("workbench_model_", "helper"))]


def build(target: str, **recipe: Any) -> load.Built:
    return load.build(Recipe(target, **recipe), JOB)


def refused(target: str, **recipe: Any) -> Failure:
    path, modules = list(sys.path), dict(sys.modules)
    with pytest.raises(WorkbenchError) as caught:
        build(target, **recipe)
    assert sys.path == path
    left = {name for name in sys.modules.keys() - modules.keys() if name.startswith(("workbench_model_", "helper"))}
    assert not left
    return caught.value.failure


def test_a_model_and_all_there_is_to_say_about_it() -> None:
    built = build(f"{HERE}:Tied", kwargs={"width": 4})
    info = built.info
    assert (info.name, info.parameters, info.batch, info.trust) == ("Tied", 88, 2, "CODE (Python)")
    assert info.modules.names == ("", "embed", "head", "norm")
    assert info.modules.parameters == (88, 80, 80, 8)
    assert info.dtypes == {"float32": 88 + 4 + 4 + 4, "int64": 1}
    assert info.buffer_bytes == 4 * 12 + 8
    assert "head.weight is tied to embed.weight" in info.warnings
    assert built.source_files == (HERE,)
    assert len(info.source_sha256) == 64


def test_a_factory_an_instance_and_a_nested_name(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "from torch import nn\ndef make(n=2): return nn.Linear(n, n)\none = make(3)\nclass Box: inner = one\n"
    )
    assert build(f"{tmp_path}/m.py:make", kwargs={"n": 5}).info.parameters == 30
    assert build(f"{tmp_path}/m.py:one").info.parameters == 12
    assert build(f"{tmp_path}/m.py:Box.inner").info.parameters == 12
    assert build("m.py:one", directory=str(tmp_path)).info.parameters == 12
    assert "instance" in refused(f"{tmp_path}/m.py:one", kwargs={"n": 1}).message


def test_a_package_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "helperpkg").mkdir()
    (tmp_path / "helperpkg" / "__init__.py").write_text("")
    (tmp_path / "helperpkg" / "net.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")
    built = build("helperpkg.net:Net", directory=str(tmp_path), kwargs={"in_features": 2, "out_features": 1})
    assert built.info.source == str(tmp_path / "helperpkg" / "net.py")
    assert set(built.source_files) == {str(tmp_path / "helperpkg" / name) for name in ("__init__.py", "net.py")}
    assert build("torch.nn:Identity", inputs=("float32[2]",)).info.name == "Identity"


@pytest.mark.parametrize(
    ("source", "name", "kind", "words"),
    [
        ("class Net(:\n", "Net", "model", ("m.py:1", "not Python", "Mend line 1")),
        ("a\0b", "Net", "model", ("not Python",)),
        ("x = 1\n\n1 / 0\n", "Net", "model", ("m.py:3", "ZeroDivisionError")),
        ("import helper_not_there\n", "Net", "model", ("m.py:1", "helper_not_there")),
        ("raise SystemExit(2)\n", "Net", "model", ("asked Python to exit",)),
        ("from torch import nn\nclass Nett(nn.Module): pass\n", "Net", "model", ("Nett", "Did you mean")),
        ("Net = 3\n", "Net", "model", ("int", "no nn.Module")),
        ("def Net(): return 3\n", "Net", "model", ("made an int",)),
        (
            "def Net(width: int, depth=2): pass\n",
            "Net",
            "model",
            ("width: int, depth=2", "--kwargs '{\"width\": <int>}'"),
        ),
        ("def Net():\n  raise ValueError('no such preset')\n", "Net", "model", ("m.py:2", "no such preset")),
        ("def Net():\n  import torch; torch.zeros(1).cuda()\n", "Net", "device", ("CUDA",)),
        ("def Net():\n  import torch; torch.empty(1 << 55)\n", "Net", "memory", ("not enough memory",)),
        ("def Net(): return input()\n", "Net", "model", ("keyboard",)),
    ],
)
def test_a_target_that_cannot_be_built(
    tmp_path: Path, source: str, name: str, kind: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available() and kind == "device":
        pytest.skip("this machine has CUDA")
    monkeypatch.setattr("builtins.input", lambda *_: (_ for _ in ()).throw(EOFError("EOF when reading a line")))
    (tmp_path / "m.py").write_text(
        "from __future__ import annotations\n" * ("annot" in source) + source.replace(": int", ": 'int'")
    )
    failure = refused(f"{tmp_path}/m.py:{name}")
    assert failure.kind == kind, failure
    for word in words:
        assert word in " ".join((failure.message, failure.where, failure.remedy))


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("nowhere.py:Net", "model", "no file"),
        ("no.such:Net", "model", "'no'"),
        ("net.py", "model", "no file"),
        ("net.safetensors", "model", "no file"),
        (HERE, "usage", "bench_models.py:Name"),
        ("tests", "usage", "directory"),
    ],
)
def test_a_target_that_names_nothing(target: str, kind: str, words: str) -> None:
    failure = refused(target)
    assert failure.kind == kind
    assert words in " ".join((failure.message, failure.where, failure.remedy))


def test_construction_is_seeded_and_the_generators_are_as_before() -> None:
    before = torch.get_rng_state(), random.getstate()
    x = ("x=float32[4]",)
    one = build(f"{HERE}:Draws", inputs=x, seed=3).model.weight
    two = build(f"{HERE}:Draws", inputs=x, seed=3).model.weight
    other = build(f"{HERE}:Draws", inputs=x, seed=4).model.weight
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert "64 bits" in refused(f"{HERE}:Draws", inputs=x, seed=2**63).message


def test_a_reload_runs_the_edited_source_and_its_helpers(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "import helper_reload as h\nfrom torch import nn\ndef Net(): return nn.Dropout(h.P)\n"
    )
    (tmp_path / "helper_reload.py").write_text("P = 0.1\n")
    x = ("float32[4]",)
    first = build(f"{tmp_path}/m.py:Net", inputs=x)
    assert first.model.p == 0.1
    assert str(tmp_path / "helper_reload.py") in first.source_files
    (tmp_path / "helper_reload.py").write_text("P = 0.2\n")  # same size, same second
    assert build(f"{tmp_path}/m.py:Net", inputs=x).model.p == 0.2
    assert not (tmp_path / "__pycache__").exists()


def test_a_failed_load_leaves_the_former_imports_in_place(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("from torch import nn\nclass Net(nn.ReLU): pass\n")
    kept = build(f"{tmp_path}/m.py:Net", inputs=("float32[4]",))
    (tmp_path / "m.py").write_text("boom\n")
    refused(f"{tmp_path}/m.py:Net", inputs=("float32[4]",))
    assert sys.modules[type(kept.model).__module__] is kept.resolved.module
    assert load.IMPORTS.current is kept.resolved


def test_large_weights_are_assigned_and_awkward_constructors_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "META_FROM", 0)
    tied, reads = bench_models.Tied(), bench_models.ReadsParameters()
    torch.save(tied.state_dict(), tmp_path / "tied.pt")
    torch.save(reads.state_dict(), tmp_path / "reads.pt")
    built = build(f"{HERE}:Tied", weights=str(tmp_path / "tied.pt"))
    assert torch.equal(built.model.head.weight, tied.head.weight)
    assert built.model.head.weight is built.model.embed.weight
    assert built.model.places.tolist() == [0, 1, 2, 3]
    assert not any("memory first" in words for words in built.info.warnings)
    fallen = build(f"{HERE}:ReadsParameters", weights=str(tmp_path / "reads.pt"), inputs=("x=float32[2,4]",))
    assert torch.equal(fallen.model.fc.weight, reads.fc.weight)
    assert any("memory first" in words for words in fallen.info.warnings)


@pytest.mark.parametrize("meta_from", [0, 1 << 40])
def test_a_live_models_values_reach_another_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta_from: int
) -> None:
    monkeypatch.setattr(load, "META_FROM", meta_from)
    live = bench_models.Tied()
    with torch.no_grad():
        live.places.add_(7)
    state = {**live.state_dict(), **dict(live.named_buffers())}
    torch.save(state, tmp_path / "state")
    for built in (
        load.build(Recipe(f"{HERE}:Tied"), JOB, str(tmp_path / "state")),
        load.build(Recipe(f"{HERE}:Tied"), JOB, state=state),
    ):
        assert all(torch.equal(value, state[name]) for name, value in built.model.state_dict().items())
        assert built.model.places.tolist() == [7, 8, 9, 10]
        assert built.model.head.weight is built.model.embed.weight
        assert not built.info.weights_sha256
        assert not [words for words in built.info.warnings if "memory first" in words or "dropped" in words]


def test_columns_count_shared_parameters_once_a_module() -> None:
    inner = torch.nn.Linear(2, 2, bias=False)
    model = torch.nn.Sequential(torch.nn.Sequential(inner), torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False)))
    model[1][0].weight = inner.weight
    assert columns(model).parameters == (4, 4, 4, 4, 4)
    assert columns(model).depths == (0, 1, 2, 1, 2)


def test_a_misspelt_argument_is_named_with_the_one_that_was_meant() -> None:
    failure = refused(f"{HERE}:Tied", kwargs={"width": 4, "widht": 3})
    assert "'widht'" in failure.message or "widht" in failure.message
    assert failure.remedy == "Did you mean width?"


def test_what_a_forward_imports_is_taken_out_with_its_model(tmp_path: Path) -> None:
    source = (
        "from torch import nn\nclass Net(nn.Module):\n  def forward(self, x):\n"
        "    import only_late\n    return x * only_late.F\n"
    )
    answers = []
    for name, factor in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(source)
        (tmp_path / name / "only_late.py").write_text(f"F = {factor}\n")
        built = build(f"{tmp_path / name}/model.py:Net", inputs=("x=float32[1]",))
        answers.append(float(built.model(torch.ones(1))))
    assert answers == [1.0, 2.0]


def test_a_lazy_module_gets_its_shape_from_one_forward(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.LazyLinear(4)\n\n    def forward(self, x):\n        return self.fc(x)\n"
    )
    built = build(f"{tmp_path}/m.py:Net", inputs=("x=float32[2,3]",))
    assert built.info.parameters == 16
    assert built.model.training
    assert any("got their shape from one forward" in warning for warning in built.info.warnings)
    assert built.model(*built.example.sample(0)[0]).shape == (2, 4)


def test_a_source_that_imports_what_is_not_there_says_where_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import no_such_library_xyz\n")
    failure = refused(f"{tmp_path}/m.py:Net")
    assert failure.kind == "model"
    assert "Install no_such_library_xyz" in failure.remedy
    assert "--python" in failure.remedy


def test_an_error_that_was_raised_from_another_tells_the_first(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "try:\n    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "except RuntimeError as problem:\n    raise ModuleNotFoundError('Could not import BertModel') from problem\n"
    )
    failure = refused(f"{tmp_path}/m.py:Net")
    assert "Could not import BertModel, because of RuntimeError: operator torchvision::nms" in failure.message
    assert "torchvision was built for another torch" in failure.remedy


RANDOM = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("noise", torch.randn(3), persistent=False)
        self.fixed = torch.arange(3)

    def forward(self, x):
        return self.fc(x) + self.noise[0]

class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(4))
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x) + self.first

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("places", torch.arange(4.0), persistent=False)

    def forward(self, x):
        return self.fc(x) + self.places
"""


@pytest.mark.parametrize(("name", "with_memory"), [("Net", True), ("Kept", False), ("Fixed", False)])
def test_what_is_random_and_in_no_file_is_what_the_seed_says_however_large_the_weights_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, with_memory: bool
) -> None:
    (tmp_path / "net.py").write_text(RANDOM)
    target, more = f"{tmp_path}/net.py:{name}", {"inputs": ("x=float32[2,4]",), "seed": 3}
    plain = build(target, **more)
    torch.save(plain.model.state_dict(), tmp_path / "w.pt")
    monkeypatch.setattr(load, "META_FROM", 0)
    large = build(target, weights=str(tmp_path / "w.pt"), **more)
    assert dict(large.model.named_buffers()).keys() == dict(plain.model.named_buffers()).keys()
    for one, other in zip(large.model.buffers(), plain.model.buffers(), strict=True):
        assert torch.equal(one, other)
    assert any("may be random, and are in no file" in words for words in large.info.warnings) is with_memory


SIZED = """
import torch
from torch import nn

class Sized(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return self.fc(x)

class Vast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.empty(1 << 50)

    def forward(self, x):
        return x

class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        import pickle
        pickle.loads(b"")
"""


@pytest.fixture
def sized(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(SIZED)
    return str(tmp_path / "net.py")


def test_arguments_that_a_configuration_beside_the_model_names_are_pointed_to(sized: str) -> None:
    assert "config.json" not in refused(f"{sized}:Sized").remedy
    Path(sized).with_name("config.json").write_text('{"width": 4, "lr": 0.1}')
    beside = Path(sized).with_name("config.json")
    assert refused(f"{sized}:Sized").remedy == f"config.json beside it names it: --kwargs @{beside}"
    tables = {"model": {"width": 4}, "train": {"lr": 0.1}}
    assert refused(f"{sized}:Sized", kwargs=tables).remedy == "Its table model has them: --kwargs @FILE#model"


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("config.toml", "width = 4", "config.toml"),
        ("config.toml", "[train]\nlr = 0.1\n[model]\nwidth = 4", "config.toml#model"),
        ("net.toml", "[model]\nwidth = 4", "net.toml#model"),
        ("config.json", '{"model": {"width": 4}}', "config.json#model"),
    ],
)
def test_a_configuration_of_any_form_beside_the_model_is_named_as_it_is_typed(
    sized: str, name: str, text: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(sized).with_name(name).write_text(text)
    monkeypatch.chdir(Path(sized).parent)
    assert refused(f"{sized}:Sized").remedy == f"{name} beside it names it: --kwargs @{where}"
    Path(sized).with_name(name).write_text("width = [")
    assert "beside it" not in refused(f"{sized}:Sized").remedy


def test_a_text_in_the_place_of_a_number_is_named(sized: str) -> None:
    failure = refused(f"{sized}:Sized", kwargs={"width": "4"})
    assert failure.remedy == """width is the text '4', and the signature says int: --kwargs '{"width": 4}'"""


def test_what_a_constructor_asks_too_much_memory_for_and_a_cut_file_it_reads(sized: str) -> None:
    vast = refused(f"{sized}:Vast")
    assert (vast.kind, "--kwargs" in vast.remedy, "batch" in vast.remedy) == ("memory", True, False)
    cut = refused(f"{sized}:Cut")
    assert "a file that it reads ends too early" in cut.message
    assert "keyboard" not in cut.message


def test_a_file_that_is_not_there_is_said_before_its_missing_name(sized: str) -> None:
    folder = str(Path(sized).parent)
    failure = refused("nett.py", directory=folder)
    assert (failure.message.startswith("There is no file"), failure.remedy) == (True, "Did you mean 'net.py'?")
    assert refused("gone.capture", directory=folder).message.startswith("There is no file")
    assert "after a colon" in refused("net.py", directory=folder).message
