"""The table from request to the function that serves it.

Owns nothing but the table and the state that handlers share. Each entry imports what it needs when it is
first asked, so that a role pays only for its own work: the inspect role never imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.protocol import messages
from workbench.protocol.failures import error
from workbench.worker.job import Job

if TYPE_CHECKING:
    from workbench.protocol.inside import Evaluated
    from workbench.worker.bench.bench import Bench
    from workbench.worker.inside.console import Console, Notice
    from workbench.worker.inside.pause import Pauses
    from workbench.worker.judge.memory import Before
    from workbench.worker.judge.run import Runs


@dataclass
class State:
    """What lasts from one job to the next in this process."""

    before: Before | None = None
    """Memory before the first model came; None until then."""
    bench: Bench | None = None
    """None until a model was loaded."""
    runs: Runs | None = None
    """The runs of `bench`, from the first need on; new ones for each model, unless a load keeps them."""
    pauses: Pauses | None = None
    """Where breakpoints stop; None in a worker without."""
    console: Console | None = None
    """The console on the bench, from its first line on."""
    _notice: Notice | None = None

    def on_bench(self) -> Bench:
        """The bench, or `WorkbenchError("usage")` while there is no model."""
        if self.bench is None:
            raise error("usage", "There is no model on the bench.", remedy="Open one first: workbench file.py:Name")
        return self.bench

    def judged(self) -> tuple[Bench, Runs]:
        """The bench and its runs, or `WorkbenchError("usage")` while there is no model."""
        bench = self.on_bench()
        if self.runs is None:
            from workbench.worker.judge.run import Runs

            self.runs = Runs(bench)
        return bench, self.runs

    def noticed(self, job: Job, work: Callable[[], Evaluated]) -> Evaluated:
        """A line of a console, and in its answer what it changed on the bench's model."""
        if self.bench is None:
            return work()
        from workbench.worker.inside.console import Notice

        self._notice = self._notice or Notice()
        return self._notice.around(self.bench, self.runs, job, work)


def handle(request: Any, job: Job, state: State) -> Any:
    """Serve one request; returns its result record or None. Raises what the work raises."""
    function = TABLE.get(type(request))
    if function is None:
        raise error("internal", f"A worker does not serve {type(request).__name__}.")
    return function(request, job, state)


def _load(request: messages.Load, job: Job, state: State) -> Any:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.memory import Before

    state.before = state.before or Before.take()
    bench = state.bench or Bench()
    if state.console is not None:
        state.console.let_go()
    loaded = bench.load(request, job)
    state.bench = bench
    if not request.keep_runs and state.runs is not None:
        kind, state.runs = state.runs.yardstick.kind, None
        if kind != "tolerance":  # what new runs begin with
            job.emit(messages.YardstickNow("tolerance"))
    _settle_runs(state, job)
    return loaded


def _set_modes(request: messages.SetModes, job: Job, state: State) -> Any:
    now = state.on_bench().set_modes(request, job)
    _settle_runs(state, job)
    return now


def _set_inputs(request: messages.SetInputs, job: Job, state: State) -> Any:
    loaded = state.on_bench().set_inputs(request, job)
    _settle_runs(state, job)
    return loaded


def _restore(request: messages.Restore, job: Job, state: State) -> Any:
    loaded = state.on_bench().restore(request, job)
    _settle_runs(state, job)
    return loaded


def _settle_runs(state: State, job: Job) -> None:
    """What is kept for the model or the switches before is let go of now, not at the next run."""
    if state.runs is not None:
        state.runs.settle(job)


def _save_state(request: messages.SaveState, job: Job, state: State) -> Any:
    return state.on_bench().save_state(request, job)


def _fire(request: messages.Fire, job: Job, state: State) -> Any:
    return state.judged()[1].fire(request, job)


def _set_reference(request: messages.SetReference, job: Job, state: State) -> Any:
    return state.judged()[1].set_reference(request, job)


def _get_diff(request: messages.GetDiff, job: Job, state: State) -> Any:
    return state.judged()[1].diff(request, job)


def _pin(request: messages.Pin, job: Job, state: State) -> Any:
    from workbench.worker.judge.pins import pin

    return pin(state.judged()[1], request, job)


def _set_yardstick(request: messages.SetYardstick, job: Job, state: State) -> Any:
    return state.judged()[1].set_yardstick(request, job)


def _find_divergence(request: messages.FindDivergence, job: Job, state: State) -> Any:
    from workbench.worker.judge.divergence import find

    bench, runs = state.judged()
    return find(bench, runs, request, job)


def _measure_errors(request: messages.MeasureErrors, job: Job, state: State) -> Any:
    from workbench.worker.judge.errors import measure

    bench, runs = state.judged()
    return measure(bench, runs, request, job)


def _check(request: messages.Check, job: Job, state: State) -> Any:
    from workbench.worker.judge.checks import check

    bench, runs = state.judged()
    return check(bench, runs, request, job)


def _check_policy(request: messages.CheckPolicy, job: Job, state: State) -> None:
    from workbench.worker.judge.declared import check_policy

    bench, runs = state.judged()
    check_policy(bench, runs, request, job)


def _look_inside(request: messages.LookInside, job: Job, state: State) -> Any:
    from workbench.worker.inside.look import look_inside

    bench, runs = state.judged()
    return look_inside(bench, runs, request, job)


def _console(request: messages.Evaluate | messages.Complete, job: Job, state: State) -> Console:
    if request.pause:
        raise error("usage", "The run that was paused has gone on.", remedy="Type it again for the bench.")
    from workbench.worker.inside.console import Console

    state.console = state.console or Console()
    return state.console


def _evaluate(request: messages.Evaluate, job: Job, state: State) -> Any:
    console = _console(request, job, state)
    return state.noticed(job, lambda: console.evaluate(*state.judged(), request, job))


def _complete(request: messages.Complete, job: Job, state: State) -> Any:
    return _console(request, job, state).complete(*state.judged(), request, job)


def _measure_noise(request: messages.MeasureNoise, job: Job, state: State) -> Any:
    from workbench.worker.judge.noise import measure_noise

    return measure_noise(request, job)


def _account_memory(request: messages.AccountMemory, job: Job, state: State) -> Any:
    from workbench.worker.judge.account import account

    bench, runs = state.judged()
    assert state.before is not None  # a model was loaded
    return account(bench, runs, state.before, request, job)


def _measure_counterfactual(request: messages.MeasureCounterfactual, job: Job, state: State) -> Any:
    from workbench.worker.judge.counterfactual import counterfactual

    return counterfactual(request, job)


def _measure_matrix(request: messages.MeasureMatrix, job: Job, state: State) -> Any:
    from workbench.worker.judge.matrix import measure_matrix

    return measure_matrix(request, job)


def _compare(request: messages.Compare, job: Job, state: State) -> Any:
    from workbench.worker.judge.models import compare_models

    return compare_models(request, job)


def _make_artifact(request: messages.MakeArtifact, job: Job, state: State) -> Any:
    from workbench.worker.artifact.bundle import make_artifact

    return make_artifact(request, job)


def _make_golden(request: messages.MakeGolden, job: Job, state: State) -> Any:
    from workbench.worker.artifact.bundle import make_golden

    return make_golden(request, job)


def _prove(request: messages.Prove, job: Job, state: State) -> Any:
    from workbench.worker.artifact.prove_job import prove

    return prove(request, job)


def _inspect(request: messages.Inspect, job: Job, state: State) -> Any:
    from workbench.worker.artifact.inspect import inspect

    return inspect(request, job)


def _repair(request: messages.RepairWeights, job: Job, state: State) -> Any:
    from workbench.worker.bench.repairing import repair

    return repair(request, job)


def _convert(request: messages.ConvertPickled, job: Job, state: State) -> Any:
    from workbench.worker.bench.converting import convert

    return convert(request, job)


def _inspect_pair(request: messages.InspectPair, job: Job, state: State) -> Any:
    from workbench.worker.artifact.inspect_pair import inspect_pair

    return inspect_pair(request, job)


TABLE: dict[type, Callable[[Any, Job, State], Any]] = {
    messages.Load: _load,
    messages.SetModes: _set_modes,
    messages.SetInputs: _set_inputs,
    messages.Restore: _restore,
    messages.SaveState: _save_state,
    messages.Fire: _fire,
    messages.SetReference: _set_reference,
    messages.GetDiff: _get_diff,
    messages.SetYardstick: _set_yardstick,
    messages.Pin: _pin,
    messages.FindDivergence: _find_divergence,
    messages.MeasureErrors: _measure_errors,
    messages.Check: _check,
    messages.CheckPolicy: _check_policy,
    messages.LookInside: _look_inside,
    messages.Evaluate: _evaluate,
    messages.Complete: _complete,
    messages.MeasureNoise: _measure_noise,
    messages.AccountMemory: _account_memory,
    messages.MeasureCounterfactual: _measure_counterfactual,
    messages.MeasureMatrix: _measure_matrix,
    messages.Compare: _compare,
    messages.MakeArtifact: _make_artifact,
    messages.MakeGolden: _make_golden,
    messages.Prove: _prove,
    messages.Inspect: _inspect,
    messages.RepairWeights: _repair,
    messages.ConvertPickled: _convert,
    messages.InspectPair: _inspect_pair,
}
"""Every request that a worker serves."""
