"""What a list of checks came to, and the words that every face has for it. Stdlib only: verify.py carries this file."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.protocol.artifacts import CheckRow, Proof

PROVEN = "proven"

UNCOMPARED = "no answer was compared; hashes, names and shapes hold"
"""Of weights whose architecture is not to be had: nothing was called, so nothing is proven about answers."""

_PROVEN_WORDS = {"fail": "refused", "error": "could not be proven"}


def check_verdict(rows: Iterable[CheckRow]) -> str:
    """ "error" when any check could not be answered, else "fail" when any failed, else "pass"; as the exit codes go."""
    found = {row.status for row in rows}
    return "error" if "error" in found else "fail" if "fail" in found else "pass"


def compared(proof: Proof) -> bool:
    """Whether it holds because answers were compared: only then is an artifact called proven."""
    return proof.verdict == "pass" and proof.cases > 0


def proof_words(proof: Proof) -> str:
    """The verdict in words: `PROVEN` only where `compared`, otherwise `UNCOMPARED` or that it does not hold."""
    if proof.verdict == "pass":
        return PROVEN if compared(proof) else UNCOMPARED
    return _PROVEN_WORDS.get(proof.verdict, proof.verdict)
