"""An artifact made from another copy of the code parts where the copies do, wherever the lines stand."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import quiet_job
from workbench.protocol.messages import MakeGolden
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.passages import text_in

CODE = textwrap.dedent(
    """\
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 3)

        def forward(self, x):
            h = torch.relu(self.first(x)) + 1
            h = nn.functional.gelu(self.norm(h))
            y = self.last(h)
            return y * 2
    """
)

MOVED = "# as it was last month\n# by somebody\n" + CODE
LINES = {text.strip(): number for number, text in enumerate(CODE.splitlines(), 1)}
GELU, LAST = LINES["h = nn.functional.gelu(self.norm(h))"], LINES["y = self.last(h)"]
TANH = ("gelu(self.norm(h))", "gelu(self.norm(h), approximate='tanh')")


def written(folder: Path, code: str, name: str = "net.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(code)
    linecache.clearcache()
    return path


def exported(tmp_path: Path, source: Path, kind: str, bias: float = 0.0) -> Path:
    """An artifact of `source`'s Net with the weights of seed 0."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
        pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
    spec = importlib.util.spec_from_file_location(f"theirs_{source.parent.name}_{source.stem}", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        torch.manual_seed(0)
        model = module.Net().eval()
        with torch.no_grad():
            model.last.bias += bias
            return saved(tmp_path, model, kind)
    finally:
        del sys.modules[spec.name]


def saved(tmp_path: Path, model: torch.nn.Module, kind: str) -> Path:
    x, path = torch.randn(4, 5), tmp_path / {"trace": "theirs.pt", "export": "theirs.pt2", "onnx": "theirs.onnx"}[kind]
    if kind == "trace":
        torch.jit.save(torch.jit.trace(model, x), str(path))
    elif kind == "export":
        torch.export.save(torch.export.export(model, (x,)), str(path))
    else:
        program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
        assert program is not None
        program.save(path)
    return path


def parts(tmp_path: Path, model: Path, artifact: Path) -> str:
    stage = tmp_path / "stage"
    stage.mkdir()
    recipe = Recipe(f"{model}:Net", inputs=("x=float32[4,5]",))
    request = MakeGolden(recipe, str(artifact), file_sha256(artifact)[0], str(stage), search=0.0)
    return str(bundle.make_golden(request, quiet_job()).manifest["search"]["parts"])


@pytest.mark.parametrize("kind", ["trace", "export", "onnx"])
@pytest.mark.parametrize("name", ["net.py", "another.py"])
def test_lines_that_moved_are_found_by_what_they_say(tmp_path: Path, kind: str, name: str) -> None:
    old = written(tmp_path / "old", MOVED.replace(*TANH), name)
    artifact = exported(tmp_path, old, kind)
    words = parts(tmp_path, written(tmp_path / "new", CODE), artifact)
    assert words.startswith(f"first at net.py:{GELU} (h = "), words  # not in norm, which is right
    assert f"which the artifact's own code has as {name}:{GELU + 2} (h = nn.functional.{TANH[1]}): max|Δ|" in words


@pytest.mark.parametrize("kind", ["trace", "export", "onnx"])
def test_a_weight_that_differs_is_found_at_the_line_that_moved(tmp_path: Path, kind: str) -> None:
    artifact = exported(tmp_path, written(tmp_path / "old", MOVED), kind, bias=0.01)
    words = parts(tmp_path, written(tmp_path / "new", CODE), artifact)
    assert words.startswith(f"first at net.py:{LAST}"), words
    assert f", net.py:{LAST + 2} in the artifact's own code: max|Δ|" in words


@pytest.mark.parametrize("fate", ["gone", "edited"])
@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_a_trace_whose_file_is_gone_or_edited_is_followed_by_its_operators(
    tmp_path: Path, fate: str, bias: float
) -> None:
    old = written(tmp_path / "old", MOVED if bias else MOVED.replace(*TANH))
    artifact = exported(tmp_path, old, "trace", bias)
    if fate == "gone":
        old.unlink()
    model = written(tmp_path / ("new" if fate == "gone" else "old"), CODE)
    words = parts(tmp_path, model, artifact)
    line = LAST if bias else GELU
    assert words.startswith(f"first at net.py:{line}"), words
    assert f", net.py:{line + 2} in the artifact's own code: max|Δ|" in words


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_line_that_only_the_artifact_has_is_no_way_that_was_not_taken(tmp_path: Path, kind: str) -> None:
    more = MOVED.replace("        y = self.last", "        h = h * 1.5\n        y = self.last")
    artifact = exported(tmp_path, written(tmp_path / "old", more), kind)
    words = parts(tmp_path, written(tmp_path / "new", CODE), artifact)
    assert words == (
        f"the artifact computes net.py:{LAST + 2} (h = h * 1.5), which is not in this model, after net.py:{GELU}"
    )


def test_a_line_that_says_the_same_in_other_words_does_not_part(tmp_path: Path) -> None:
    same = MOVED.replace("+ 1", "+ 1.0").replace("return y * 2", "return y * 2.5")
    artifact = exported(tmp_path, written(tmp_path / "old", same), "export")
    words = parts(tmp_path, written(tmp_path / "new", CODE), artifact)
    assert words.startswith(f"first at net.py:{LINES['return y * 2']}"), words


def test_the_text_of_a_line_stands_below_its_frame() -> None:
    stack = 'File "/a/net.py", line 3, in forward\n    y = f(x)\n  File "/a/net.py", line 9, in f\n    return x * 2'
    assert (text_in(stack, "/a/net.py", 3), text_in(stack, "/a/net.py", 9)) == ("y = f(x)", "return x * 2")
    assert text_in('File "/a/net.py", line 3, in forward\nFile "/a/b.py", line 4, in g', "/a/net.py", 3) == ""
