"""Every architecture of the zoo by every kind: proven, or refused in words that say why and what to do."""

from __future__ import annotations

import importlib.util

import pytest

from tests.artifacts.zoo import EXPLAINED, KINDS, ZOO, prove_case
from tests.corpus import zoo as corpus
from tests.corpus.cases import Healthy
from workbench.protocol.failures import WorkbenchError
from workbench.worker.artifact.aoti import unavailable

pytestmark = pytest.mark.skipif(bool(corpus.missing()), reason=corpus.missing() or "it is there")

OFTEN = (("BertModel", "trace"), ("GPT2LMHeadModel", "trace"))

COMPILED = ("resnet10t", "BertModel", "GPT2LMHeadModel")
"""Convolutions, an encoder, a decoder: those that are compiled, which takes minutes each."""


def hold(case: Healthy, kind: str) -> None:
    if kind == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        pytest.skip("onnx, onnxscript and onnxruntime are not installed")
    words = EXPLAINED.get((case.title, kind))
    if words is not None:
        with pytest.raises(WorkbenchError) as caught:
            prove_case(case, kind)
        assert words in caught.value.failure.message
        assert caught.value.failure.remedy
        return
    proof = prove_case(case, kind)
    assert [(row.id, row.evidence, row.cause) for row in proof.checks if row.status in ("fail", "error")] == []
    assert proof.verdict == "pass"


def test_the_zoo_is_as_large_as_it_says() -> None:
    names = [case.name for case in ZOO]
    assert names.count("timm_model") >= 16
    assert names.count("transformer") >= 12
    assert len({case.title for case in ZOO}) == len(ZOO)


@pytest.mark.parametrize(("title", "kind"), OFTEN)
def test_an_architecture_is_proven(title: str, kind: str) -> None:
    hold(next(case for case in ZOO if case.title == title), kind)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(unavailable("cpu")), reason="there is no compiler")
@pytest.mark.parametrize("title", COMPILED)
def test_an_architecture_is_compiled_and_proven(title: str) -> None:
    hold(next(case for case in ZOO if case.title == title), "aoti")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ZOO, ids=lambda case: case.title)
def test_every_architecture_is_proven_or_explained(case: Healthy, kind: str) -> None:
    hold(case, kind)
