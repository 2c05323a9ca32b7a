"""When eager's own noise is worth measuring without being asked: once for each model and dtype, and only while idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.client.state import State

if TYPE_CHECKING:
    from workbench.client.session import Session
    from workbench.protocol.runs import RunRow


class YardstickPolicy:
    """Remembers for which models the question was put."""

    def __init__(self) -> None:
        self._asked: set[tuple[str, str]] = set()

    def wants(self, session: Session, row: RunRow) -> bool:
        """Whether this row differs so little that only a float64 run can say what that means, and nothing runs."""
        from workbench.client.flows import noise_would_help  # not wanted before the first run

        state = session.state
        return not state.jobs and self._key(state) not in self._asked and noise_would_help(session, row)

    def asked(self, state: State) -> None:
        """The question was put for this model and dtype, whatever comes of it."""
        self._asked.add(self._key(state))

    def forget(self) -> None:
        """Another model, or the same with other weights, is on the bench."""
        self._asked.clear()

    @staticmethod
    def _key(state: State) -> tuple[str, str]:
        return (state.recipe.target if state.recipe else "", state.modes.dtype if state.modes else "")
