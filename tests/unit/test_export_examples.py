"""torch's own catalogue of what torch.export supports: each supported case is exported, saved, loaded and proven."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from torch._export.db.case import SupportLevel
from torch._export.db.examples import all_examples

from tests.unit.artifact_bench import proven, quiet_job, row, write_manifest
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MakeArtifact
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.bench import load
from workbench.worker.bench.arguments import Argument
from workbench.worker.bench.inputs import Example

CASES = all_examples()

SUPPORTED = [name for name, case in CASES.items() if case.support_level == SupportLevel.SUPPORTED]

EAGER_RAISES = ("cond_closed_over_variable",)
"""Eager torch.cond of torch 2.13 answers these once and raises when it is asked the same again."""

FAST = ("dictionary", "list_unpack", "pytree_flatten", "dynamic_shape_if_guard", "scalar_output")

NAMED = {"dynamic_shape_round": "op <built-in function round> is not in _SYM_OPS"}
"""What torch does not support → the operator that the refusal must name."""

SOURCE = """from torch._export.db.examples import all_examples

def build():
    return all_examples()[{name!r}].model

def example_inputs():
    return tuple(all_examples()[{name!r}].example_args)
"""


def ended(directory: Path, name: str) -> Any:
    """The proof of a case, with its model in a file of its own; its arguments are those of the catalogue."""
    (directory / "case.py").write_text(SOURCE.format(name=name))
    stage = directory / "stage"
    stage.mkdir()
    case = CASES[name]
    given = [*((None, one) for one in case.example_args), *case.example_kwargs.items()]
    example = Example(tuple(Argument(key or "", None, value, "given", key is not None) for key, value in given))
    named = patch.object(load, "example_from", lambda *given: example)  # no tuple says which arguments have names
    with named if case.example_kwargs else nullcontext(), patch.object(bundle, "_speed", return_value=None):
        wanted = MakeArtifact(Recipe(f"{directory / 'case.py'}:build"), "export", str(stage))
        write_manifest(stage, bundle.make_artifact(wanted, quiet_job()).manifest)
    return proven(stage)


@pytest.mark.parametrize(
    "name", [one if one in FAST else pytest.param(one, marks=pytest.mark.slow) for one in SUPPORTED]
)
def test_what_torch_supports_is_proven(tmp_path: Path, name: str) -> None:
    proof = ended(tmp_path, name)
    if name in EAGER_RAISES:
        assert "eager raised when it was called" in row(proof, "values").evidence
        return
    assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in SUPPORTED])
def test_what_torch_does_not_support_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        ended(tmp_path, name)
    failure = caught.value.failure
    assert failure.kind == "export"
    assert NAMED[name] in failure.message
    assert failure.remedy == "Try another kind: --to weights."
    assert "Traceback" in failure.details
