"""The user's own trust store, and the one rule of who may run code here.

Data opens straight. What runs code when it is loaded wants a yes: asked for by a person, given by
digest on the command line, or remembered from before. Bundles written here enter by themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_path

from workbench.protocol.artifacts import Fingerprint
from workbench.protocol.codec import CodecError, from_plain, plain
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.files import write_text


@dataclass(frozen=True)
class Entry:
    """One thing that was trusted."""

    sha256: str
    path: str
    """Where it lay at that time."""
    kind: str
    when: float
    """Seconds since the epoch."""
    how: str
    """"asked" by a person, or "written here"."""


class TrustStore:
    """A JSON file of `Entry`s by digest, in the user's state directory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_state_path("workbench") / "trust.json"

    def knows(self, sha256: str) -> bool:
        return sha256 in self._read()

    def remember(self, fingerprint: Fingerprint, how: str) -> None:
        """Raises `WorkbenchError("write")` when the store cannot be written."""
        entries = self._read()
        entry = Entry(fingerprint.sha256, fingerprint.path, fingerprint.kind, time.time(), how)
        entries[entry.sha256] = entry
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as problem:
            raise error("write", f"The trust store cannot be written: {problem.strerror}.", str(self.path)) from problem
        write_text(self.path, json.dumps([plain(one) for one in entries.values()], indent=1) + "\n")

    def _read(self) -> dict[str, Entry]:
        """What is remembered; a store that cannot be read trusts nothing."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return {entry.sha256: entry for entry in (from_plain(Entry, one) for one in found)}
        except (OSError, ValueError, TypeError, CodecError):
            return {}


def runs_code(fingerprint: Fingerprint) -> bool:
    """Whether loading it can run code of whoever made it."""
    return fingerprint.trust != "DATA"


def allowed(fingerprint: Fingerprint, store: TrustStore, digests: Iterable[str] = (), allow_code: bool = False) -> bool:
    """Whether it may be loaded without asking. `digests` as given to --trust: with or without "sha256:"."""
    named = {digest.removeprefix("sha256:").lower() for digest in digests}
    return not runs_code(fingerprint) or allow_code or fingerprint.sha256 in named or store.knows(fingerprint.sha256)


def refusal(fingerprint: Fingerprint) -> WorkbenchError:
    """What to raise when it may not."""
    return error(
        "trust",
        f"{fingerprint.path} is {fingerprint.trust}: loading it runs code, and nobody has trusted it yet.",
        fingerprint.path,
        f"If you know where it comes from: --trust sha256:{fingerprint.sha256}",
    )
