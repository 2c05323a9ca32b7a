"""Commands on checks: ask all of them of the model on the bench as it is, show everything about one."""

from __future__ import annotations

from workbench.client.flows import run_checks
from workbench.client.policy import policy_for
from workbench.protocol.artifacts import CHECK_IDS, LATENCY, CheckRow
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import Modes
from workbench.protocol.proven import check_verdict
from workbench.report.objects import check_counts
from workbench.tui.desk import Desk
from workbench.tui.screens.text_card import TextCard, Told


async def checks(desk: Desk) -> None:
    """Every check, one after another; esc ends them. The bench stays as it is, a continuous fire waits meanwhile."""
    recipe, modes = desk.state.recipe, desk.state.modes or Modes()
    assert recipe is not None
    policy = policy_for(recipe.target, recipe.directory)
    pane = desk.app.main.checks
    desk.show_pane("checks")
    pane.start(modes.training_word, modes.grad)
    try:
        async with desk.firing.paused():
            rows, _ = await run_checks(desk.session, (*CHECK_IDS, LATENCY), 0.0, pane.put, policy, recover=False)
    except WorkbenchError as problem:
        pane.finish("cancelled" if problem.failure.kind == "cancelled" else problem.failure.message)
        raise
    pane.finish()
    verdict = check_verdict(rows)
    words = {"pass": "ready to serve", "fail": "not ready to serve", "error": "not every check was answered"}[verdict]
    declared = f"; declared in {policy.source}: {'; '.join(policy.declared)}" if policy.declared else ""
    desk.say(f"{words}: {check_counts(rows)}{declared}", {"pass": "good", "fail": "error"}.get(verdict, "warning"))
    desk.app.main.painter.news("checks")


def show_check(desk: Desk, row: CheckRow) -> None:
    """A card with everything about one check."""
    told: list[tuple[str, str] | Told] = [("", row.evidence)]
    told += [("bad gap", row.cause)] if row.cause else []
    told += [("good gap", f"→ {row.remedy}")] if row.remedy else []
    for finding in row.findings:
        told.append(Told("gap", f"· {finding.id}: {finding.words}", 2))
        told += [Told("dim", f"  {finding.remedy}", 2)] if finding.remedy else []
    told.append(("dim gap", f"took {row.seconds:.1f} s"))
    failed = row.status in ("fail", "error")
    desk.show_card(TextCard(f"{row.id}: {row.status or 'no vote'}", told, copy=row.evidence, danger=failed))
