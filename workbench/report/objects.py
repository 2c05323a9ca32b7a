"""Records as the JSON objects that the command line prints. Their shape is a contract, versioned by `SCHEMA`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.protocol.artifacts import CheckRow, ExportResult, Finding, Inspection, Proof, VerifyResult
from workbench.protocol.cause import ErrorTable
from workbench.protocol.codec import plain
from workbench.protocol.compare import Compared
from workbench.protocol.convert import Converted
from workbench.protocol.exits import Exit
from workbench.protocol.failures import Failure
from workbench.protocol.inspected import InspectedPair
from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount
from workbench.protocol.messages import Loaded
from workbench.protocol.policy import Policy
from workbench.protocol.proven import check_verdict
from workbench.protocol.repair import Repaired
from workbench.protocol.runs import Diff, Divergence, RunRow

SCHEMA = 1


def failure_object(failure: Failure) -> dict[str, Any]:
    """What is printed for the exit codes 2 to 70 and 130."""
    error = {"kind": failure.kind, "message": failure.message, "where": failure.where, "remedy": failure.remedy}
    if failure.difference:
        error["difference"] = failure.difference
    return {"schema": SCHEMA, "verdict": "error", "error": error}


def model_object(loaded: Loaded) -> dict[str, Any]:
    """The model and its modes, without the module tree."""
    info: dict[str, Any] = plain(loaded.info)
    info["modules"] = len(loaded.info.modules.names)
    return {"model": info, "modes": plain(loaded.modes)}


def run_object(
    loaded: Loaded,
    rows: Iterable[RunRow],
    diff: Diff | None,
    divergence: Divergence | None,
    leak: Leak | None,
    errors: ErrorTable | None = None,
    account: MemoryAccount | None = None,
    counterfactual: Counterfactual | None = None,
) -> dict[str, Any]:
    """`workbench run`: it says what happened and judges nothing, so its verdict is "pass" when the model ran."""
    return {
        "schema": SCHEMA,
        "verdict": "pass",
        **model_object(loaded),
        "runs": [plain(row) for row in rows],
        "diff": plain(diff),
        "divergence": plain(divergence),
        "errors": plain(errors),
        "memory": plain(leak),
        "account": plain(account),
        "counterfactual": plain(counterfactual),
    }


def voting(rows: Iterable[CheckRow]) -> list[CheckRow]:
    """The rows that vote; what was measured and has no say is in `findings` alone."""
    return [row for row in rows if row.status]


def findings(rows: Iterable[CheckRow]) -> list[tuple[str, Finding]]:
    """(id of the check, what it found besides)."""
    return [(row.id, finding) for row in rows for finding in row.findings]


def check_counts(rows: Iterable[CheckRow]) -> str:
    """ "13 held, 1 failed, 1 skipped; 2 findings": what a list of checks came to, for people."""
    rows = tuple(rows)
    words = {"pass": "held", "fail": "failed", "error": "not answered", "skip": "skipped"}
    counts = {word: sum(row.status == status for row in rows) for status, word in words.items()}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing voted"
    besides = len(findings(rows))
    return told + (f"; {besides} finding{'s' if besides > 1 else ''}" if besides else "")


def _check_object(row: CheckRow) -> dict[str, Any]:
    record: dict[str, Any] = plain(row)
    del record["findings"]  # they have a list of their own
    return record


def check_object(loaded: Loaded, rows: Iterable[CheckRow], code: Exit, policy: Policy) -> dict[str, Any]:
    """`workbench check`; `code` is what it leaves with."""
    rows = tuple(rows)
    return {
        "schema": SCHEMA,
        "verdict": check_verdict(rows),
        **model_object(loaded),
        "checks": [_check_object(row) for row in voting(rows)],
        "findings": [{"check": check, **plain(finding)} for check, finding in findings(rows)],
        "policy": {"source": policy.source, "declared": list(policy.declared)},
        **_unanswered(rows, "engine" if code is Exit.ENGINE else "model"),
    }


def _unanswered(rows: Iterable[CheckRow], kind: str) -> dict[str, Any]:
    """The "error" of a report in which a check could not be answered: the first such check."""
    for row in rows:
        if row.status == "error":
            message = f"{row.id} could not be answered: {row.evidence}"
            return {"error": {"kind": kind, "message": message, "where": row.cause, "remedy": row.remedy}}
    return {}


def compare_object(found: Compared) -> dict[str, Any]:
    """`workbench compare`: the worst case of every leaf with its metrics, and what is known to differ."""
    record: dict[str, Any] = plain(found)
    leaves = [
        {**leaf.pop("worst"), **{f"case_{key}" if key == "where" else key: value for key, value in leaf.items()}}
        for leaf in record.pop("leaves")
    ]
    return {"schema": SCHEMA, "verdict": record.pop("verdict"), **record, "leaves": leaves}


def proof_object(proof: Proof) -> dict[str, Any]:
    """The part that `export` and `verify` share."""
    record: dict[str, Any] = plain(proof)
    return {"verdict": record.pop("verdict"), "checks": record.pop("checks"), "findings": record.pop("findings")} | {
        "proof": record,
        **(_unanswered(proof.checks, "artifact") if proof.verdict == "error" else {}),
    }


def export_object(result: ExportResult) -> dict[str, Any]:
    """`workbench export`."""
    made: dict[str, Any] = plain(result.made)
    made.pop("manifest")
    shared = proof_object(result.proof)
    shared["findings"] = made.pop("findings") + shared["findings"]
    return {
        "schema": SCHEMA,
        **shared,
        "kind": result.kind,
        "path": result.path,
        "published": result.published,
        "manifest_sha256": result.manifest_sha256,
        "made": made,
        "seconds": result.seconds,
    }


def exports_object(objects: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """`workbench export` of several kinds: each kind's own object by its name, and the worst verdict of them."""
    found = {one["verdict"] for one in objects.values()}
    verdict = "error" if "error" in found else "fail" if "fail" in found else "pass"
    return {"schema": SCHEMA, "verdict": verdict, "exports": dict(objects)}


def verify_object(result: VerifyResult) -> dict[str, Any]:
    """`workbench verify`."""
    return {
        "schema": SCHEMA,
        **proof_object(result.proof),
        "kind": result.kind,
        "path": result.path,
        "kept": result.kept,
        "seconds": result.seconds,
    }


def repair_object(found: Repaired) -> dict[str, Any]:
    """`workbench repair`: the verdict says whether everything fits, in one way only."""
    verdict = "fail" if found.random or found.doubt else "pass"
    names = [{"file": old, "model": new} for old, new in found.names]
    return {"schema": SCHEMA, "verdict": verdict, **plain(found), "names": names}


def convert_object(found: Converted) -> dict[str, Any]:
    """`workbench convert`: the verdict says whether what was written makes the very model that was pickled."""
    record: Mapping[str, Any] = plain(found)
    return {"schema": SCHEMA, "verdict": "pass" if found.whole else "fail", **record}


def inspect_object(inspection: Inspection) -> dict[str, Any]:
    """`workbench inspect`."""
    record: Mapping[str, Any] = plain(inspection)
    return {"schema": SCHEMA, "verdict": "pass", **record}


def inspect_pair_object(pair: InspectedPair) -> dict[str, Any]:
    """`workbench inspect A B`."""
    record: Mapping[str, Any] = plain(pair)
    return {"schema": SCHEMA, "verdict": "pass", **record}
