"""How a job ends on the wire: with a record, with nothing, or with a failure."""

from __future__ import annotations

import math

import pytest

from workbench.protocol.codec import CodecError, Envelope, decode, encode
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import REGISTRY, Done, Saved
from workbench.protocol.results import done, failed, result_of
from workbench.protocol.runs import Diff, LeafDiff


def travel(message: Done, foreign: bool) -> Done:
    body = decode(encode(Envelope(message, 3, "bench")), REGISTRY, foreign).body
    assert isinstance(body, Done)
    return body


def test_a_record_comes_back_as_itself() -> None:
    leaf = LeafDiff("output[0]", "beyond", shape=(4, 10), max_abs=math.inf, heat=((0.0, math.inf), (1.0, 2.0)))
    diff = Diff(2, 1, "beyond", "", (leaf,), "float64")
    assert result_of(travel(done(diff), foreign=False), foreign=False) == diff


def test_nothing_comes_back_as_nothing() -> None:
    assert result_of(travel(done(), True), True) is None
    assert result_of(travel(done(None), True), True) is None


def test_a_foreign_record_is_cleaned() -> None:
    saved = result_of(travel(done(Saved("/tmp/\x1b[2J", 3)), True), True)
    assert saved == Saved("/tmp/\\x1b[2J", 3)


def test_a_failure_travels_whole_and_cleaned() -> None:
    failure = Failure("weights", "size mismatch for \x1b[31mfc.weight", "fc.weight", "--weights", "Traceback …")
    ended = travel(failed(failure), foreign=True)
    assert ended.result is None
    assert ended.failure == Failure(
        "weights", "size mismatch for \\x1b[31mfc.weight", "fc.weight", "--weights", "Traceback …"
    )


@pytest.mark.parametrize(
    "result",
    [3, "Saved", [], {}, {"type": "Saved"}, {"body": {}}, {"type": "Unheard", "body": {}}, {"type": [], "body": {}},
     {"type": "Saved", "body": {}}, {"type": "Saved", "body": {"path": 1, "bytes": 2}},
     {"type": "Saved", "body": None}],
)  # fmt: skip
def test_what_is_no_result_raises_codec_error(result: object) -> None:
    with pytest.raises(CodecError):
        result_of(Done(result), foreign=True)


def test_an_error_is_its_failure() -> None:
    raised = error("load", "There is no such file.", "x.py", "Check the path.", "details")
    assert isinstance(raised, WorkbenchError)
    assert str(raised) == "There is no such file."
    assert raised.failure == Failure("load", "There is no such file.", "x.py", "Check the path.", "details")
