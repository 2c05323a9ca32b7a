"""The user's own trust store, and the one rule of who may run code here.

Data opens straight. What runs code when it is loaded wants a yes: asked for by a person, given by
digest on the command line, or remembered from before. Bundles written here enter by themselves.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """A store that cannot be read trusts nothing."""
        try:
            return any(_entry(one) and one["sha256"] == sha256 for one in self._read())
        except (OSError, ValueError):
            return False

    def remember(self, fingerprint: Fingerprint, how: str) -> None:
        """Raises `WorkbenchError("write")` when the store cannot be written, or holds what nobody can read: writing
        over it would forget every yes that was given."""
        entry = Entry(fingerprint.sha256, fingerprint.path, fingerprint.kind, time.time(), how)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(self.path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # another workbench may be remembering at this moment
                others = [one for one in self._read() if not (_entry(one) and one["sha256"] == entry.sha256)]
                write_text(self.path, json.dumps([*others, plain(entry)], indent=1) + "\n")
        except OSError as problem:
            raise error("write", f"The trust store cannot be written: {problem.strerror}.", str(self.path)) from problem
        except ValueError as problem:
            words = f"The trust store cannot be read, so nothing was added to it: {problem}."
            raise error("write", words, str(self.path), "Mend it, or move it away to begin a new one.") from problem

    def _read(self) -> list[Any]:
        """Every entry as it stands in the file, also one that means nothing to this version; [] without a file.

        Raises OSError and ValueError when there is a file and it cannot be read.
        """
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return []
        if not isinstance(found, list):
            raise ValueError("it is no list of entries")
        return found


def _entry(one: Any) -> bool:
    """Whether it is a whole entry of this version."""
    try:
        return isinstance(from_plain(Entry, one), Entry)
    except (ValueError, TypeError, CodecError):
        return False


def runs_code(fingerprint: Fingerprint) -> bool:
    """Whether loading it can run code of whoever made it."""
    return fingerprint.trust != "DATA"


def allowed(fingerprint: Fingerprint, store: TrustStore, digests: Iterable[str] = (), allow_code: bool = False) -> bool:
    """Whether it may be loaded without asking. `digests` as given to --trust: with or without "sha256:"."""
    named = {digest.removeprefix("sha256:").lower() for digest in digests}
    return not runs_code(fingerprint) or allow_code or fingerprint.sha256 in named or store.knows(fingerprint.sha256)


def require_named(fingerprint: Fingerprint, digests: Iterable[str]) -> None:
    """Raises `WorkbenchError("trust")` when digests were named and none is this one's: it is another file, then,
    whether it runs code or not."""
    named = {digest.removeprefix("sha256:").lower() for digest in digests}
    if named and fingerprint.sha256 not in named:
        raise error(
            "trust",
            f"{fingerprint.path} is not what --trust names: its sha256 is {fingerprint.sha256}. Nothing was loaded.",
            fingerprint.path,
            "Get it again from where it was made.",
        )


def refusal(fingerprint: Fingerprint) -> WorkbenchError:
    """What to raise when it may not."""
    return error(
        "trust",
        f"{fingerprint.path} is {fingerprint.trust}: loading it runs code, and nobody has trusted it yet.",
        fingerprint.path,
        f"If you know where it comes from: --trust sha256:{fingerprint.sha256}",
    )
