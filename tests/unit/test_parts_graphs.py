"""What graphs write down otherwise than eager runs it names no innocent line: parts of a list, scripts, lost lines."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

from tests.unit import test_parts_moved
from tests.unit.artifact_bench import quiet_job
from tests.unit.test_parts_moved import exported, parts, written
from workbench.protocol.messages import MakeGolden
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.passages import place_in
from workbench.worker.artifact.prove_rows import _rows_apart

CODE = textwrap.dedent(
    """\
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(5, 12), nn.LayerNorm(12), nn.Linear(4, 4)

        def forward(self, x):
            h = self.norm(self.first(x))
    """
)
UNPACKED = CODE + "        q, k, v = h.view(x.shape[0], 3, 4).permute(1, 0, 2)\n        h = q * k + v\n"
CHUNKED = CODE + "        a, b, _ = h.chunk(3, -1)\n        h = a * b\n"
END = "        y = nn.functional.gelu(self.last(h))\n        return y * 2\n"


LARGEST = CODE + "        v, i = torch.max(h, 1)\n        h = h[:, :4] * v[:, None] + i[:, None]\n"
STATES = CODE.replace("Linear(4, 4)", "Linear(4, 4)\n        self.lstm = nn.LSTM(12, 4)") + (
    "        h, (c, d) = self.lstm(h[None])\n        h = h[0] + c[0] + d[0]\n"
)
WRITTEN = CODE + "        h += 1\n        h.mul_(2)\n        h = h[:, :4] + 0.5\n"
FILLED = CODE + "        h = h[:, :4]\n        h[:, 0] = 0\n        h = h + 0.5\n"
SEVERAL = {
    "unpacked": (UNPACKED, "trace export onnx"),
    "chunked": (CHUNKED, "trace onnx"),
    "largest": (LARGEST, "trace export onnx"),
    "states": (STATES, "trace onnx"),
    "written": (WRITTEN, "trace onnx"),
    "filled": (FILLED, "trace onnx"),
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in SEVERAL for kind in SEVERAL[name][1].split()])
def test_lines_that_make_several_values_agree_and_the_line_behind_them_is_named(
    tmp_path: Path, name: str, kind: str
) -> None:
    new = SEVERAL[name][0] + END
    artifact = exported(
        tmp_path, written(tmp_path / "old", new.replace("gelu(self.last(h))", "relu(self.last(h))")), kind
    )
    words = parts(tmp_path, written(tmp_path / "new", new), artifact)
    where = new.splitlines().index("        y = nn.functional.gelu(self.last(h))") + 1
    assert words.startswith(f"first at net.py:{where}"), words
    assert "all before it agree, the last at net.py:" in words


def test_of_a_script_nothing_is_said_to_be_lacking_and_no_share_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its graph names no line of who called torch's own functions, as layer norm and gelu are."""

    def scripted(folder: Path, model: torch.nn.Module, kind: str) -> Path:
        torch.jit.save(torch.jit.script(model), str(folder / kind))
        return folder / kind

    monkeypatch.setattr(test_parts_moved, "saved", scripted)
    code = (
        CODE.replace("            h = ", "        h = ")
        + "        h = nn.functional.softmax(h, -1)\n        return h * 2\n"
    )
    artifact = exported(tmp_path, written(tmp_path / "old", code.replace("h * 2", "h * 3")), "theirs.ts")
    words = parts(tmp_path, written(tmp_path / "new", code), artifact)
    assert words.startswith("first, of the lines that a script's graph names, at net.py:"), words
    assert "return h * 2" in words
    assert not any(claim in words for claim in ("is not in", "nothing was computed", "made there", "all before")), words


@pytest.mark.parametrize("placed", [True, False])
def test_onnx_that_computes_something_without_a_line_says_what(tmp_path: Path, placed: bool) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
    code = UNPACKED + END
    source = written(tmp_path / "new", code)
    artifact = exported(tmp_path, source, "onnx")
    model = onnx.load(str(artifact))
    answer = model.graph.output[0].name
    last = next(node for node in model.graph.node if answer in node.output)
    last.output[list(last.output).index(answer)] = "unrounded"
    node = onnx.helper.make_node("Round", ["unrounded"], [answer])
    if placed:
        node.metadata_props.extend(last.metadata_props)
    model.graph.node.append(node)
    onnx.save(model, str(artifact))
    words = parts(tmp_path, source, artifact)
    assert words.startswith(
        "first at net.py:" if placed else "every line agrees: it parts where it fuses operators, or"
    )
    assert words.endswith("at what names no line (Round)") == (not placed), words


def test_a_size_is_named_only_where_its_dimension_tells_right_from_wrong() -> None:
    def sizes(*pairs: tuple[int, int]) -> list[tuple[tuple[str, int], ...]]:
        return [(("batch", batch), ("seq", seq)) for batch, seq in pairs]

    apart = _rows_apart(sizes((2, 7), (4, 64), (2, 64)), sizes((2, 2), (4, 2)))
    assert apart == ["values differ at seq 7, 64, not at 2"]
    together = _rows_apart(sizes((2, 7), (4, 2)), sizes((2, 2), (4, 7)))[0]
    assert (
        together == "values differ at (batch 2, seq 7), (batch 4, seq 2), and not at (batch 2, seq 2), (batch 4, seq 7)"
    )
    assert _rows_apart(sizes((2, 7), (4, 2)), []) == []


FORWARD = 'File "/app/net.py", line 9, in forward\n    y = self.fc(x)\n'


@pytest.mark.parametrize(
    "home",
    ["/usr/local/lib/python3.12/dist-packages", "/opt/pytorch", "/home/me/v/lib/python3.10/site-packages", "C:\\src"],
)
def test_torchs_own_files_are_known_wherever_an_artifact_was_made(home: str) -> None:
    stack = f'{FORWARD}  File "{home}/torch/nn/modules/linear.py", line 134, in forward\n    return F.linear(input)'
    assert place_in(stack.replace("C:\\src/", "C:\\src\\")) == ("/app/net.py", 9)


def test_a_folder_of_the_users_may_be_called_torch() -> None:
    assert place_in('File "/home/me/torch/nn/mine.py", line 3, in forward') == ("/home/me/torch/nn/mine.py", 3)


@pytest.mark.parametrize("same", [True, False])
def test_a_way_that_was_not_taken_is_one_of_the_same_code(tmp_path: Path, same: bool) -> None:
    new = CODE + "        if x.sum() > 1:\n            h = h * 2\n        return torch.sigmoid(h)\n"
    source = written(tmp_path / "new", new)
    other = written(tmp_path / "old", "# moved\n" + new.replace("torch.sigmoid(h)", "h"))
    artifact, stage = exported(tmp_path, source if same else other, "trace"), tmp_path / "stage"
    stage.mkdir()
    recipe = Recipe(f"{source}:Net", inputs=("x=float32[4,5]",))
    request = MakeGolden(recipe, str(artifact), file_sha256(artifact)[0], str(stage), search=20.0)
    searched = bundle.make_golden(request, quiet_job()).manifest["search"]
    assert ("and eager does not" in searched["parts"] or "the artifact does not" in searched["parts"]) is same
    assert searched["parts"]
    assert searched["ways"] is same
