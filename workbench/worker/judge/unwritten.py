"""Whether an answer has memory in it that nobody wrote: what torch.empty gives is filled in two ways, and asked again.

Owns the dispatch mode that fills. Both forwards are watched alike, so that only the filling can make a difference.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.job import Cancelled
from workbench.worker.judge.mode import Mode
from workbench.worker.judge.watch import users_line

EMPTY = ("aten.empty", "aten.new_empty")
"""Operators, and what their names begin with, that answer with memory as it was."""
FILLS = (0, 3)
"""Ordinary numbers: what a later operator multiplies by zero, or masks, is no difference."""
SITES = 16
"""Places that are tried one by one."""


@dataclass(frozen=True)
class Site:
    """A place that asks for memory."""

    operator: str
    """ "aten.empty"."""
    where: str
    """file:line of the user's code; empty where none of it is on the stack."""

    @property
    def words(self) -> str:
        """ "aten.empty at model.py:41"."""
        return f"{self.operator} at {os.path.basename(self.where)}" if self.where else self.operator


class _Fills(Mode):
    """Fills what comes unwritten: with the first of `FILLS`, at `other` (None: nowhere) with the second."""

    def __init__(self, other: Callable[[Site], bool] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sites: dict[Site, None] = {}
        self._other = other

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket)
        if name.startswith(EMPTY) and _fillable(output):
            site = Site(name, users_line(sys._getframe(1))[0])
            self.sites[site] = None
            with torch.no_grad():
                output.fill_(FILLS[self._other is not None and self._other(site)])
        return output


def unwritten(forward: Callable[[], bytes]) -> Site | None:
    """The place whose unwritten memory is in the answer; None where there is none, or where it cannot be told.

    `forward` begins from one and the same state each time, and gives the digest of the answer.
    """

    def asked(other: Callable[[Site], bool] | None) -> tuple[bytes, list[Site]]:
        with _Fills(other) as fills:
            return forward(), list(fills.sites)

    try:
        plain, sites = asked(None)
        if not sites or asked(None)[0] != plain or asked(lambda site: True)[0] == plain:
            return None
        for one in sites[:SITES] if len(sites) > 1 else ():
            if asked(lambda site, one=one: site == one)[0] != plain:  # type: ignore[misc]
                return one
        return sites[0]
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (a forward that cannot be watched, or that fills break: nothing is known)
        return None


def _fillable(output: Any) -> bool:
    return (
        isinstance(output, torch.Tensor)
        and output.layout is torch.strided
        and not output.is_meta
        and not output.is_quantized
        and output.numel() > 0
    )
