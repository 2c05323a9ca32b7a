"""Guards in the artifact's own graph: what was declared is refused when it is violated, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import make, proven


def loaded(stage: Path, file: str) -> torch.nn.Module:
    return torch.export.load(str(stage / file)).module()


def test_a_declared_range_is_refused_after_saving_and_loading(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "export", ("x=float32[rows:1..9,5]{-2..2}",))
    program = loaded(tmp_path, made.file)
    assert program(torch.full((3, 5), 2.0)) is not None
    for wrong in (torch.full((3, 5), 2.5), torch.full((3, 5), float("nan"))):
        with pytest.raises(RuntimeError, match=r"x must lie in \[-2, 2\]"):
            program(wrong)
    assert proven(tmp_path).verdict == "pass"


def test_dtype_and_size_are_refused_too(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "export", ("x=float32[rows:1..9,5]",))
    program = loaded(tmp_path, made.file)
    with pytest.raises(RuntimeError, match="dtype mismatch"):
        program(torch.zeros(3, 5, dtype=torch.float64))
    with pytest.raises((RuntimeError, AssertionError)):
        program(torch.zeros(10, 5))
    with pytest.raises(RuntimeError, match=r"rows \(x\[0\]\) must be 1 to 9"):
        program(torch.zeros(0, 5))
    assert program(torch.zeros(1, 5)) is not None


def test_what_nobody_declared_is_not_guarded(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "export", ("x=float32[rows:1..9,5]",))
    assert loaded(tmp_path, made.file)(torch.full((3, 5), 1e6)) is not None


def test_what_was_only_inferred_is_not_guarded(tmp_path: Path) -> None:
    ids = torch.zeros(2, 16, dtype=torch.int32)
    made = make(tmp_path, "Tied", "export", ())
    assert made.manifest["inputs"][0]["origin"] != "given"
    assert made.manifest["contract"]["declared"] == []
    assert loaded(tmp_path, made.file)(ids) is not None


def test_every_other_rank_is_refused(tmp_path: Path) -> None:
    """The sizes of each stand where the program's own guards look for them."""
    made = make(tmp_path, "Net", "export", ("x=float32[rows:1..9,5]",))
    program = loaded(tmp_path, made.file)
    for wrong in (torch.zeros(3, 5, 5), torch.zeros(5), torch.zeros(1, 3, 5), torch.zeros(())):
        with pytest.raises((RuntimeError, AssertionError, IndexError)):
            program(wrong)


def test_parts_of_an_argument_are_guarded_by_their_place(tmp_path: Path) -> None:
    made = make(tmp_path, "Lists", "export", ("a[0]=float32[rows:1..8,5]{-1..1}", "b[0]=float32[rows:1..8,5]"))
    program = loaded(tmp_path, made.file)
    half, many = torch.full((3, 5), 0.5), torch.full((3, 5), 100.0)
    assert program([half], [many]) is not None
    with pytest.raises(RuntimeError, match=r"a\[0\] must lie in \[-1, 1\]"):
        program([many], [half])
    with pytest.raises(RuntimeError, match="dtype mismatch"):
        program([half.double()], [half.double()])
    with pytest.raises(RuntimeError, match=r"rows \(a\[0\]\[0\]\) must be 1 to 8"):
        program([half[:0]], [half[:0]])
    assert proven(tmp_path).verdict == "pass"


def test_integers_in_a_range(tmp_path: Path) -> None:
    made = make(tmp_path, "Scalars", "export", ("ids=int64[batch:1..6,length:3..11]{0..9}",))
    program = loaded(tmp_path, made.file)
    with pytest.raises(RuntimeError, match=r"ids must lie in \[0, 9\]"):
        program(torch.full((2, 3), 10))
