"""What a source file offers, found without running it."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest

from workbench.protocol.failures import WorkbenchError
from workbench.supervisor.scan import candidates, scan

SOURCE = '''
"""A file of models."""
import dataclasses
import torch.nn as nn
import torch.nn.functional as F
from torch import nn as layers
from torch.nn import Module as Base, Sequential

raise SystemExit("this file must never run")

class Net(nn.Module):
    """A small net.

    More about it."""
    def __init__(self, width: int = 16, *hidden: int, bias=True, **rest):
        super().__init__()

class Child(Net):
    pass

class Generic(Base["x"]):
    def __init__(self, a, /, b, *, c: float = 0.5, d):
        ...

@dataclasses.dataclass
class Config:
    width: int = 3

if True:
    class Conditional(layers.Module): ...

try:
    import timm
except ImportError:
    class Fallback(Sequential): ...

def build(depth=2, *, wide: bool = False) -> Net:
    "Builds one."

def _private(): ...
def count(model) -> int: ...
def train(model: nn.Module) -> None: ...
def unknown(): ...
def samples() -> tuple[int, ...]: ...
def example_inputs(): ...
async def fetch(): ...

model = Net(4).eval()
other: nn.Module = Sequential(nn.Linear(3, 4))
number = int("3")
hidden = F.relu(3)
_private_model = Net()

if __name__ == "__main__":
    trained = Net()
    class Inside(nn.Module): ...
'''


def found() -> dict[str, tuple[str, tuple[str, ...]]]:
    return {one.name: (one.kind, one.arguments) for one in candidates(ast.parse(SOURCE))}


def test_classes_factories_and_instances():
    kinds = {name: kind for name, (kind, _) in found().items()}
    assert kinds == {
        "Net": "class",
        "Child": "class",
        "Generic": "class",
        "Config": "other class",
        "Conditional": "class",
        "Fallback": "class",
        "build": "factory",
        "unknown": "factory",
        "model": "instance",
        "other": "instance",
    }


def test_arguments_as_written():
    arguments = {name: given for name, (_, given) in found().items()}
    assert arguments["Net"] == ("width: int = 16", "*hidden: int", "bias=True", "**rest")
    assert arguments["Child"] == arguments["Net"]
    assert arguments["Generic"] == ("a", "b", "*", "c: float = 0.5", "d")
    assert arguments["build"] == ("depth=2", "*", "wide: bool = False")


def test_line_and_summary():
    net = next(one for one in candidates(ast.parse(SOURCE)) if one.name == "Net")
    assert net.summary == "A small net."
    assert SOURCE.splitlines()[net.line - 1].startswith("class Net")


def test_bases_in_a_circle_do_not_hang():
    tree = ast.parse("class A(B):\n    pass\nclass B(A):\n    pass\n")
    assert [one.kind for one in candidates(tree)] == ["other class", "other class"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"class Net(:\n", "is no Python"),
        (b"\x00\x01\x02", "is no Python"),
        (b"# coding: nonsense\nx = 1\n", "is no Python"),
        (b"\xff\xfe\xff", "is no Python"),
        (b"(" * 100_000, "is no Python"),
    ],
)
def test_what_is_no_python_is_refused_in_words(tmp_path: Path, data: bytes, words: str):
    path = tmp_path / "model.py"
    path.write_bytes(data)
    with pytest.raises(WorkbenchError) as caught:
        scan(str(path), threading.Event())
    assert caught.value.failure.kind == "model"
    assert words in caught.value.failure.message


def test_a_syntax_error_names_its_line(tmp_path: Path):
    path = tmp_path / "model.py"
    path.write_text("x = 1\nclass Net(:\n")
    with pytest.raises(WorkbenchError) as caught:
        scan(str(path), threading.Event())
    assert caught.value.failure.where == f"{path}:2"


def test_what_is_not_there_is_a_failure_of_the_model(tmp_path: Path):
    for path in (tmp_path / "absent.py", tmp_path):
        with pytest.raises(WorkbenchError) as caught:
            scan(str(path), threading.Event())
        assert caught.value.failure.kind == "model"
        assert str(path) in caught.value.failure.message
