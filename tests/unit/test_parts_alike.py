"""What cannot be known of where an artifact parts is not said: lines that read alike, lines in other words, loops."""

from __future__ import annotations

import linecache
import textwrap
from pathlib import Path

import pytest
import torch

from tests.unit.test_parts_moved import exported, parts, written
from workbench.worker.artifact.alignment import TEXT, aligned
from workbench.worker.artifact.parts import _first
from workbench.worker.artifact.passages import Passage

HEAD = textwrap.dedent(
    """\
    import torch
    from torch import nn


    class A(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.last = nn.Linear(5, 5), nn.Identity()

        def forward(self, x):
            return torch.tanh(self.fc(x))


    class B(A):
        def forward(self, x):
            return torch.tanh(self.fc(x))


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.last, self.drop = A(), B(), nn.Linear(5, 5), nn.Dropout()

        def forward(self, x):
    """
)


def body(*lines: str) -> str:
    return HEAD + "".join(f"        {line}\n" for line in lines)


def line(number: int) -> int:
    """Line of the file on which a line of `body` stands."""
    return HEAD.count("\n") + number


def both(tmp_path: Path, kind: str, old: str, new: str) -> str:
    """Where an artifact of the old code parts from the new code."""
    artifact = exported(tmp_path, written(tmp_path / "old", "# as it was last month\n" + old), kind)
    return parts(tmp_path, written(tmp_path / "new", new), artifact)


A, B = (number for number, said in enumerate(HEAD.splitlines(), 1) if "torch.tanh" in said)


@pytest.mark.parametrize("kind", ["trace", "export"])
@pytest.mark.parametrize("kept", ["a", "b"])
def test_of_lines_that_read_alike_that_is_named_which_is_absent(tmp_path: Path, kind: str, kept: str) -> None:
    old = body(f"h = self.{kept}(x)", "return h * 2")
    words = both(tmp_path, kind, old, body("h = self.a(x)", "h = self.b(h)", "return h * 2"))
    gone = f"net.py:{B} in b" if kept == "a" else f"net.py:{A} in a"
    assert words.startswith(f"eager computes {gone} (return torch.tanh(self.fc(x))), which is not in the artifact"), (
        words
    )


def passage(file: Path, number: int, value: float, text: str = "") -> Passage:
    return Passage(str(file), number, torch.full((3,), value), text=text)


def test_of_lines_that_read_alike_none_is_named_where_it_is_not_known(tmp_path: Path) -> None:
    code = "def f(x):\n    return x * 2\n\n\ndef g(x):\n    return x * 2\n\n\ny = f(x)\nz = y + 1\n"
    file = written(tmp_path / "new", code)
    ours = [passage(file, number, value) for number, value in ((2, 1.0), (6, 2.0), (10, 3.0))]
    gone = tmp_path / "gone.py"
    theirs = [passage(gone, 7, 2.0, "return x * 2"), passage(gone, 11, 5.0, "z = y + 1")]
    sides = aligned(ours, theirs)
    first = _first(sides, folded=False, hidden=False)
    assert sides.by == TEXT
    assert first.odd.startswith(
        "eager comes to the lines net.py:2, net.py:6, which read alike (return x * 2), twice in all, where the "
        "artifact comes to such a line once"
    )


def test_a_line_that_is_gone_beside_one_in_other_words_blames_neither(tmp_path: Path) -> None:
    new = body("h = self.a(x)", "h = torch.sigmoid(h)", "y = self.last(h)", "return y")
    words = both(tmp_path, "export", body("h = self.a(x)", "y = self.last( h )", "return y"), new)
    assert words == (
        f"net.py:{line(2)}-{line(3)} (h = torch.sigmoid(h) … y = self.last(h)), which the artifact's own code has as "
        f"net.py:{line(3)} in last (y = self.last( h )), after net.py:{A}"
    )


def test_of_lines_in_other_words_those_that_agree_are_not_blamed(tmp_path: Path) -> None:
    code = "h = a(x)\nh = sigmoid(h)\ny = b(h)\n"
    file = written(tmp_path / "new", code)
    ours = [passage(file, number, float(number)) for number in (1, 2, 3)]
    theirs = [passage(tmp_path / "gone.py", *one) for one in ((7, 1.0, "h = a( x )"), (8, 9.0, "y = b( h )"))]
    first = _first(aligned(ours, theirs), folded=False, hidden=False)
    assert first.odd == (
        "net.py:2-3 (h = sigmoid(h) … y = b(h)), which the artifact's own code has as gone.py:8 (y = b( h )), "
        "after net.py:1"
    )


def test_lines_in_other_words_that_agree_are_passed_over(tmp_path: Path) -> None:
    new = body("h = self.a(x)", "h = h + 1", "y = self.last(h)", "y = torch.relu(y)", "return y * 2")
    old = body("h = self.a(x)", "y = self.last(h + 1)", "y = torch.relu(y)", "return y * 3")
    words = both(tmp_path, "export", old, new)
    assert words.startswith(f"first at net.py:{line(5)} (return y * 2), which the artifact's own code has as"), words


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_in_a_loop_no_module_is_named_that_ran_more_often_on_one_side(tmp_path: Path, kind: str) -> None:
    new = body("for _ in range(2):", "    x = torch.tanh(self.last(x))", "return x * 2")
    words = both(tmp_path, kind, new.replace("range(2)", "range(3)"), new)
    assert words.startswith(f"first at net.py:{line(2)} (x = torch.tanh(self.last(x)))"), words


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_line_that_computes_nothing_is_not_said_to_be_anywhere(tmp_path: Path, kind: str) -> None:
    code = body("h = self.a(x)", "h = self.drop(h)", "y = self.last(h)", "return y * 2")
    words = both(tmp_path, kind, code.replace("y * 2", "y.t().contiguous().t() * 3"), code)
    assert words.startswith(f"first at net.py:{line(4)} (return y * 2), which the artifact's own code has as"), words


def test_a_line_that_is_lacking_and_one_that_agrees_after_it_are_both_told(tmp_path: Path) -> None:
    """Beside the way of the missing line, or with the missing line beside the way: which it is is not known."""
    code = "h = a(x)\nh = sigmoid(h)\nm = mask(x)\ny = h + m\n"
    file = written(tmp_path / "new", code)
    ours = [passage(file, number, float(number)) for number in (1, 2, 3, 4)]
    theirs = [passage(tmp_path / "gone.py", n, v, code.splitlines()[n - 1]) for n, v in ((1, 1.0), (3, 3.0), (4, 9.0))]
    first = _first(aligned(ours, theirs), folded=False, hidden=False)
    assert first.odd == "eager computes net.py:2 (h = sigmoid(h)), which is not in the artifact, after net.py:1"
    assert first.pair is not None
    assert first.pair[0].line == 4


def test_a_file_is_known_by_its_path_and_not_by_its_name_alone(tmp_path: Path) -> None:
    linecache.clearcache()
    for folder, said in (("attn", "return tanh(x)"), ("mlp", "return x * 3")):
        (tmp_path / "new" / folder).mkdir(parents=True)
        (tmp_path / "new" / folder / "layer.py").write_text(f"{said}\n")
    ours = [passage(tmp_path / "new" / folder / "layer.py", 1, 1.0) for folder in ("attn", "mlp")]
    theirs = [
        passage(Path("/elsewhere/attn/layer.py"), 1, 2.0, "return tanh(x)"),
        passage(Path("/elsewhere/mlp/layer.py"), 1, 5.0, "return x * 3"),
    ]
    sides = aligned(ours, theirs)
    assert not sides.other_code
    first = _first(sides, folded=False, hidden=False)
    assert first.pair is not None
    assert first.pair[0].words == "attn/layer.py:1 (return tanh(x))"
