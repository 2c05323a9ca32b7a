"""AOTInductor packages: compiled here, proven where a death would hurt nobody, and asked what they refuse."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.unit.artifact_bench import make, proven, row, write_manifest
from workbench.protocol.artifacts import CheckRow
from workbench.protocol.failures import WorkbenchError
from workbench.worker.artifact import bundle, guards_apart
from workbench.worker.artifact.guards_apart import ApartAsked, _apart_finding
from workbench.worker.artifact.loading import Opened, open_artifact
from workbench.worker.artifact.open_aoti import AOTI_SWITCH
from workbench.worker.artifact.prove_guards import Violation, guards_rows

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++, which is not here")


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_package_is_proven_and_its_guards_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AOTI_SWITCH, "1")  # under it batch 1 is refused
    made = make(tmp_path, "Net", "aoti", ("x=float32[rows:1..9,5]{-50..50}",))
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    assert row(proof, "train_ops").status == "skip"
    assert row(proof, "weights_match").status == "pass"
    assert "the same from transposed, strided, expanded inputs" in row(proof, "repeat").evidence
    assert "compiled code sums in longer rows" in proof.yardstick_reason
    guards = next(one for one in proof.findings if one.id == "guards")
    assert guards.words.startswith("guarded: without a switch it refuses x as float32[1,4,5], ")
    for words in ("x as float32[4,5,5]", "x as float32[5]", "x as float64[4,5]", "rows 10 where", "x = 150, above"):
        assert words in guards.words.partition(";")[0]
    assert "of memory layouts it refuses transposed inputs, strided inputs, expanded inputs" in guards.words
    assert not (tmp_path / "compiling").exists()

    path = tmp_path / made.file
    path.write_bytes(path.read_bytes()[:2000])
    write_manifest(tmp_path, made.manifest)
    assert proven(tmp_path).verdict == "error"


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_input_that_is_written_to_is_not_copied_and_said_to_need_its_layout(tmp_path: Path) -> None:
    made = make(tmp_path, "Writes", "aoti")
    finding = next(one for one in made.findings if one.id == "layouts")
    assert finding.words.startswith("x must be laid out in memory as in the example")
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks  # the caller sees what is written, as from eager
    told = [one.words for one in proof.findings if one.id == "layouts"]
    assert len(told) == 1
    assert told[0].startswith("needs contiguous inputs, and reads others as if they were (transposed inputs: ")


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_long_mean_of_even_numbers_is_as_exact_as_eagers(tmp_path: Path) -> None:
    make(tmp_path, "Pooled", "aoti", ("x=float32[batch:1..8,4,64,64]",))
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    assert proof.noise_multiple < 1.5


def test_no_compiler_is_said_before_the_model_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundle._UNAVAILABLE, "aoti", lambda device: "there is no compiler")
    monkeypatch.setattr(bundle, "build", lambda *given: pytest.fail("the model was built"))
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Net", "aoti")
    assert caught.value.failure.kind == "usage"
    assert "no compiler" in caught.value.failure.message


OUTSIDE = [("outside", "a wrong rank"), ("outside", "no x")]
INSIDE = ("inside", "batch 1")
LAYOUT = ("layout", "strided inputs")


def asked(plan: list[tuple[str, str]], *fates: str) -> ApartAsked:
    return ApartAsked(plan, {number: (fate, "float32[1]" * (fate == "answers")) for number, fate in enumerate(fates)})


def test_what_it_refuses_inside_its_own_contract_decides_the_advice() -> None:
    plain = asked(OUTSIDE, "answers", "refuses")
    found = _apart_finding(plain, asked([*OUTSIDE, INSIDE], "refuses", "refuses", "answers"))
    assert found.words == (
        "unguarded: without a switch it refuses no x, answers a wrong rank (with float32[1]); with "
        "AOTI_RUNTIME_CHECK_INPUTS=1 it refuses a wrong rank, no x; every size of the contract is served"
    )
    assert found.remedy.startswith("Deploy it with AOTI_RUNTIME_CHECK_INPUTS=1")
    found = _apart_finding(plain, asked([*OUTSIDE, INSIDE, LAYOUT], "refuses", "refuses", "answers", "refuses"))
    assert found.words.endswith("of memory layouts it refuses strided inputs")
    assert found.remedy.endswith("Give it contiguous inputs then.")
    found = _apart_finding(plain, asked([*OUTSIDE, INSIDE], "refuses", "refuses", "refuses"))
    assert "but of its own contract it refuses batch 1" in found.words
    assert found.remedy.startswith("Deploy it without")


def test_what_guards_itself_needs_no_switch() -> None:
    plain = asked(OUTSIDE, "refuses", "refuses")
    found = _apart_finding(plain, asked([*OUTSIDE, INSIDE], "refuses", "refuses", "answers"))
    assert found.words.startswith("guarded: without a switch it refuses a wrong rank, no x; ")
    assert found.remedy.startswith("Deploy it without")


def test_sizes_that_were_not_asked_are_not_called_served() -> None:
    """It died before it came to them."""
    plain = asked(OUTSIDE, "answers", "refuses")
    found = _apart_finding(plain, asked([*OUTSIDE, INSIDE], "dies of"))
    assert "every size of the contract is served" not in found.words
    assert "it dies of a wrong rank, was not asked about no x" in found.words
    assert "of its own contract it was not asked about batch 1" in found.words
    assert "with AOTI" not in found.remedy


def test_a_process_that_dies_before_it_is_asked_is_told() -> None:
    gone = ApartAsked(ended="the process for it ended with exit code -11")
    assert "could not be asked: the process for it ended with exit code -11" in _apart_finding(gone, gone).words


_CHILD = """
import json, os, sys
say = lambda *words: print(json.dumps(words), flush=True)
print("native code says something, too")
say("plan", 0, [["outside", f"question {n}"] for n in range(4)])
for n in range(int(sys.argv[1]), 4):
    say("asking", n, "")
    if n in DEADLY:
        os.abort()
    say("answers" if n == 3 else "refuses", n, "float32[2]" if n == 3 else "")
"""


@pytest.mark.parametrize("deadly", [(1,), (0, 1), (0, 1, 2, 3)])
def test_after_a_death_the_rest_is_asked_in_a_new_process(deadly: tuple[int, ...]) -> None:
    code = _CHILD.replace("DEADLY", str(deadly))

    def command(stage: Path, device: str, staged: bool, base: int, first: int) -> list[str]:
        return [sys.executable, "-c", code, str(first)]

    with patch.object(guards_apart, "_apart_command", command):
        found = guards_apart._apart_ask(Path(), "cpu", True, 0, False)
    assert found.words("outside", "dies of") == [f"question {number}" for number in deadly]
    assert found.words("outside", "was not asked about") == []
    assert found.words("outside", "answers") == ["question 3 (with float32[2])"] * (3 not in deadly)


def test_a_death_and_a_call_without_end_are_no_refusals() -> None:
    plan = json.dumps(["plan", 0, [["outside", name] for name in ("a", "b", "c")]])
    found = ApartAsked()
    lines = [plan, '["asking", 0, ""]', '["refuses", 0, ""]', '["asking", 1, ""]']
    guards_apart._apart_heard(found, lines, None)
    assert found.said("outside") == "refuses a, finds no end with b, was not asked about c"
    tried = found.tried([Violation(name, row="structure") for name in ("a", "b", "c")])
    assert [(one.answer, one.asked) for one in tried] == [("", True), ("no end within 300 s", True), ("", False)]
    rows = {"structure": CheckRow("structure", "pass", "as eager's")}
    assert guards_rows(tried, rows)[0].status == "fail"
    (unknown,) = guards_rows([tried[0], tried[2]], rows)
    assert (unknown.status, unknown.evidence) == ("error", "not asked: c")
    assert guards_rows(tried[:1], rows) == []


def test_the_switch_in_somebodys_shell_is_not_the_proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package reads it once, when it is called first."""
    make(tmp_path, "Affine", "trace")
    monkeypatch.setenv(AOTI_SWITCH, "1")
    seen = []

    def opened(*given: object) -> Opened:
        seen.append(os.environ.get(AOTI_SWITCH))
        return open_artifact(*given)  # type: ignore[arg-type]

    with patch("workbench.worker.artifact.prove.open_artifact", opened):
        assert proven(tmp_path).verdict == "pass"
    assert set(seen) == {None}
