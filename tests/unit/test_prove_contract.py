"""The contract suite: every size, other layouts, a second load, NaN, and what a contract forbids."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, make, proven, replaced, row, write_manifest
from workbench.protocol.artifacts import Proof
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_again import AGAIN_LONGEST, second_load
from workbench.worker.artifact.prove_cases import Golden

BATCH = ("x=float32[batch:3..8,5]",)


def guards(proof: Proof) -> str:
    return next(one.words for one in proof.findings if one.id == "guards")


def exported(name: str, **dims: torch.export.Dim) -> torch.export.ExportedProgram:
    """Somebody else's program of a model, without guards of ours. It has the weights that `make` gives its own."""
    with torch.no_grad():
        return torch.export.export(eager(name), (torch.randn(4, 5),), dynamic_shapes={"x": {0: dims.get("batch")}})


def test_every_dynamic_dimension_is_tried_at_both_ends_at_a_prime_and_mixed(tmp_path: Path) -> None:
    made = make(tmp_path, "Steps", "export", ("x=float32[batch:1..6,rows:2..9,columns:4..12,5]",))
    sizes = [case["sizes"] for case in made.manifest["cases"] if "sizes" in case]
    assert {one["rows"] for one in sizes} == {2, 4, 7, 9}
    assert {one["columns"] for one in sizes} == {4, 7, 12}
    assert {(one["rows"], one["columns"]) for one in sizes} >= {(2, 12), (9, 4)}
    proof = proven(tmp_path)
    assert row(proof, "sizes").evidence == "batch 1, 2, 3, 4, 5, 6; columns 4, 7, 12; rows 2, 4, 7, 9"
    assert "refuses" in guards(proof)
    for words in (
        "batch 7 where at most 6",
        "rows 10 where at most 9",
        "columns 13 where at most 12",
        "no x",
        "one argument",
    ):
        assert words in guards(proof).partition("refuses")[2]


def test_a_right_artifact_answers_other_layouts_and_a_second_load_the_same(tmp_path: Path) -> None:
    make(tmp_path, "Affine", "export", BATCH)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    words = row(proof, "repeat").evidence
    assert words.endswith("from two loads; the same from transposed, strided, expanded inputs")
    assert row(proof, "nonfinite").evidence == "no NaN, no infinity; a NaN in the input comes out at eager's 3 places"


def test_what_reads_memory_as_it_pleases_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Affine", "trace", BATCH)
    proof = replaced(tmp_path, made, torch.jit.trace(eager("ReadsMemory"), torch.randn(4, 5), check_trace=False))
    assert "repeat" in failed(proof)
    assert "transposed inputs: output differs by" in row(proof, "repeat").evidence
    assert ".contiguous()" in row(proof, "repeat").remedy


def test_a_layout_that_eager_refuses_is_not_asked(tmp_path: Path) -> None:
    made = make(tmp_path, "Flattened", "trace", BATCH)
    assert "transposed" not in made.manifest["layouts"]
    assert proven(tmp_path).verdict == "pass"


def test_a_nan_that_is_swallowed_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Affine", "trace", BATCH)
    proof = replaced(tmp_path, made, torch.jit.trace(eager("HidesNan"), torch.randn(4, 5), check_trace=False))
    assert failed(proof) == {"nonfinite"}
    assert "a NaN in the input" in row(proof, "nonfinite").cause


def test_a_program_that_could_guard_its_declared_contract_and_does_not_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Affine", "export", BATCH)
    assert proven(tmp_path).verdict == "pass"
    proof = replaced(tmp_path, made, exported("Affine", batch=torch.export.Dim.AUTO))
    assert failed(proof) == {"sizes", "structure"}
    assert "batch 9 where at most 8 is declared (with float32[9,3])" in row(proof, "sizes").evidence
    assert "batch 2 where at least 3 is declared (with float32[2,3])" in row(proof, "sizes").evidence


def test_a_program_that_takes_any_dtype_where_one_was_declared_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Reads", "export")
    assert proven(tmp_path).verdict == "pass"
    proof = replaced(tmp_path, made, exported("Reads", batch=torch.export.Dim.AUTO))
    assert failed(proof) == {"structure"}
    assert "x as float64[4,5] (with float64[4,5])" in row(proof, "structure").evidence


def test_a_program_that_takes_any_rank_where_one_was_declared_is_refused(tmp_path: Path) -> None:
    """Its own guards hold: the second size of each is 5."""
    made = make(tmp_path, "Affine", "export")
    refused = guards(proven(tmp_path)).partition("refuses")[2]
    for words in ("x as float32[1,4,5]", "x as float32[4,5,5]", "x as float32[5]"):
        assert words in refused
    proof = replaced(tmp_path, made, exported("Affine", batch=torch.export.Dim("batch", min=1, max=64)))
    assert failed(proof) == {"structure"}
    assert row(proof, "structure").evidence.startswith("answers x as float32[4,5,5] (with float32[4,5,3])")


def test_every_declared_input_is_asked(tmp_path: Path) -> None:
    make(tmp_path, "TimeFirst", "export", ("table=float32[9,4]", "x=float32[6,batch:1..4,5]"))
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    refused = guards(proof).partition("refuses")[2]
    for words in ("table as float64[9,4]", "x as float64[", "table as float32[1,9,4]", "x as float32[1,"):
        assert words in refused


def test_parts_of_an_argument_keep_the_contract(tmp_path: Path) -> None:
    made = make(tmp_path, "Lists", "export", ("a[0]=float32[batch:1..8,5]{-1..1}", "b[0]=float32[batch:1..8,5]"))
    assert made.manifest["contract"]["declared"] == ["a[0]", "b[0]"]
    assert made.manifest["contract"]["ranges"] == {"a[0]": [-1.0, 1.0]}
    assert made.manifest["cases"][-1]["kind"] == "nan"
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    refused = guards(proof).partition("refuses")[2]
    for words in (
        "a[0] as float64[",
        "b[0] as float64[",
        "batch 9 where",
        "batch 0 where",
        "a[0] = 3, above its range",
    ):
        assert words in refused


def test_a_trace_is_only_told_what_it_does_not_guard(tmp_path: Path) -> None:
    make(tmp_path, "Affine", "trace", BATCH)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert "answers x as float32[1,4,5] (with float32[1,4,3])" in guards(proof)


def test_values_beyond_their_declared_range_are_refused_by_our_own_program(tmp_path: Path) -> None:
    make(tmp_path, "Affine", "export", ("x=float32[4,5]{-1..1}",))
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert "x = 3, above its range, x = -3, below its range" in guards(proof).partition("refuses")[2]
    assert "a NaN in the input" not in row(proof, "nonfinite").evidence  # it is in no range


@pytest.mark.parametrize(
    "spoil", [{"contract": {"dims": 3}}, {"layouts": ["upside down"]}, {"contract": {"ranges": {"x": 1}}}]
)
def test_a_malformed_contract_is_refused_in_words(tmp_path: Path, spoil: dict[str, object]) -> None:
    made = make(tmp_path, "Affine", "trace")
    write_manifest(tmp_path, {**made.manifest, **spoil})
    proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert f"{next(iter(spoil))} is not" in row(proof, "integrity").evidence


def golden_of_one() -> Golden:
    x = torch.arange(4.0)
    entry = {"name": "x", "tree": {"tensor": "x"}}
    output = {"structure": "output\ttensor", "paths": ["output"]}
    manifest = {"kind": "trace", "inputs": [entry], "cases": [{"batch": 4}], "output": output}
    return Golden({"case.00.input.x": x, "case.00.output.output": x + 1}, manifest)


def test_two_loads_that_answer_differently_part() -> None:
    first, second = Opened(lambda x: x + 1), Opened(lambda x: x + 2)
    opened, loads = second_load(first, lambda: second, golden_of_one(), "cpu", 0.1)
    assert opened is second
    assert loads.wrong == "two loads part: output differs by 1"
    assert first.call is None  # the first one's weights are gone before the second is loaded


def test_what_loads_only_once_is_told() -> None:
    def load() -> Opened:
        raise ValueError("the file is gone")

    _, loads = second_load(Opened(lambda x: x + 1), load, golden_of_one(), "cpu", 0.1)
    assert loads.wrong == "it loads once and not twice: the file is gone"


def test_what_takes_long_to_load_is_loaded_once_and_that_is_said() -> None:
    first = Opened(lambda x: x + 1)
    opened, loads = second_load(first, lambda: pytest.fail("loaded again"), golden_of_one(), "cpu", AGAIN_LONGEST + 1)
    assert opened is first
    assert loads.words == "loaded once, for that takes 31 s"
