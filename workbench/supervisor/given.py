"""The jobs that the bench worker was given and has not ended: which is worked on, and which stands still."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from workbench.protocol.messages import Complete, Evaluate


@dataclass(eq=False)
class GivenJob:
    """A request that was given to the worker and has not ended."""

    number: int | None
    body: Any
    began: float
    """Supervisor's seconds when the worker could start on it."""
    seen: bool = False
    """A run row of it has come."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class GivenJobs:
    """In the order in which they were given; a worker takes the oldest first."""

    def __init__(self) -> None:
        self._jobs: dict[int | None, GivenJob] = {}
        self.still: GivenJob | None = None
        """Stands still at a breakpoint; lines for its console are worked on meanwhile."""

    def add(self, number: int | None, body: Any, began: float) -> None:
        self._jobs[number] = GivenJob(number, body, began)

    def get(self, number: int | None) -> GivenJob | None:
        return self._jobs.get(number)

    def end(self, job: GivenJob, now: float) -> None:
        """It has ended: the next can begin at `now`."""
        del self._jobs[job.number]
        job.ended.set()
        if self.still is job:
            self.still = None
        if self.still is None and (oldest := next(iter(self._jobs.values()), None)) is not None:
            oldest.began = now

    def give_up(self) -> list[GivenJob]:
        """All of them, for the worker is gone."""
        jobs, self._jobs, self.still = [*self._jobs.values()], {}, None
        for job in jobs:
            job.ended.set()
        return jobs

    def in_work(self) -> tuple[GivenJob, ...]:
        """The oldest; or the one that stands still, and after it the first line for its console if there is one."""
        if self.still is None:
            return tuple(self._jobs.values())[:1]
        lines = tuple(job for job in self._jobs.values() if job is not self.still and _is_line(job.body))
        return (self.still, *lines[:1])

    @property
    def waits(self) -> bool:
        """Nothing is worked on: a job stands still, and waits for a person."""
        return self.still is not None and len(self.in_work()) == 1


def _is_line(body: Any) -> bool:
    """A request for the console of a job that stands still."""
    return isinstance(body, Evaluate | Complete) and body.pause > 0
