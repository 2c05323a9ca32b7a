"""A module looked into, and the console on the bench, in a real worker: what is told, and that looking is harmless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.engines.talking import Worker
from workbench.protocol.inside import Attend, Complete, Evaluate, Evaluated, Inside, LookInside
from workbench.protocol.messages import Fire, Loaded, ModesNow, SaveState, SetModes
from workbench.protocol.model import ModeChange
from workbench.protocol.results import result_of
from workbench.worker.bench import weights

from .test_worker_pause import load


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    worker.greeting()
    worker.send(Attend())
    worker.receive()
    yield worker
    assert worker.close() == 0


@pytest.fixture
def bench(worker: Worker) -> Worker:
    """The plain model, new, with nothing fired."""
    worker.ask(load("Plain"))
    worker.events.clear()
    return worker


def look(worker: Worker, path: str) -> Inside:
    answer = worker.ask(LookInside(path))
    assert isinstance(answer, Inside)
    return answer


def typed(worker: Worker, text: str) -> Evaluated:
    answer = worker.ask(Evaluate(text))
    assert isinstance(answer, Evaluated)
    return answer


def state_of(worker: Worker, path: Path) -> dict[str, torch.Tensor]:
    worker.ask(SaveState(str(path)))
    return dict(weights.read(str(path)).tensors)


# a module looked into


def test_a_layer_of_torch_with_its_source_and_what_went_through_it(bench: Worker) -> None:
    bench.ask(Fire())
    inside = look(bench, "fc")
    assert (inside.path, inside.type) == ("fc", "torch.nn.modules.linear.Linear")
    assert inside.run == 1
    assert inside.training
    assert inside.details == "in_features=10, out_features=4, bias=True"
    assert inside.source[0].title == "forward"
    assert inside.source[0].file.endswith("linear.py")
    assert any("F.linear" in line for line in inside.source[0].lines)
    assert inside.source[1].title == "class Linear"
    assert [(one.name, one.kind) for one in inside.held] == [("weight", "parameter"), ("bias", "parameter")]
    assert inside.held[0].stats.requires_grad
    (call,) = inside.calls
    assert Path(call.site.rpartition(":")[0]).name == "stopping_models.py"
    assert [(one.path, one.shape) for one in call.inputs] == [("input", (4, 10))]
    assert [(one.path, one.shape) for one in call.outputs] == [("output", (4, 4))]


def test_every_call_and_every_leaf(worker: Worker) -> None:
    worker.ask(load("Twice"))
    worker.ask(Fire())
    inside = look(worker, "same")
    assert [call.number for call in inside.calls] == [0, 1]
    assert inside.calls[0].others == ("scale = True",)
    assert inside.calls[1].inputs[0].mean == pytest.approx(2 * inside.calls[0].inputs[0].mean, rel=1e-5)
    assert [one.kind for one in inside.held] == ["buffer, not saved"]
    root = look(worker, "")
    assert [one.path for one in root.calls[0].outputs] == ["output['logits']", "output['mask']"]
    assert root.calls[0].outputs[1].dtype == "bool"
    assert root.calls[0].site == ""


def test_looking_changes_nothing_and_the_next_run_is_the_one_it_would_have_been(worker: Worker, tmp_path: Path) -> None:
    rows = []
    for looks in (False, True):
        worker.ask(load("Plain"))
        worker.ask(Evaluate("torch.manual_seed(3); None"))
        worker.ask(Fire())
        before = state_of(worker, tmp_path / f"before{looks}")
        if looks:
            look(worker, "drop")
            typed(worker, "act['drop'].shape")
        after = state_of(worker, tmp_path / f"after{looks}")
        assert all(torch.equal(before[name], after[name]) for name in before)
        worker.ask(Fire())
        rows.append(typed(worker, "y.tolist()").output)
    assert rows[0] == rows[1]


def test_before_any_run_one_forward_is_made_and_counts_as_none(bench: Worker) -> None:
    inside = look(bench, "fc")
    assert inside.run == 0
    assert inside.calls
    assert "counts as no run" in inside.note
    assert bench.ask(Fire()).run == 1


def test_a_forward_that_raises_still_shows_what_reached_the_module(worker: Worker) -> None:
    worker.ask(load("Wrong"))
    worker.refused(Fire())
    inside = look(worker, "last")
    assert inside.calls[0].inputs[0].shape == (4, 4)
    assert inside.calls[0].outputs == ()
    assert not inside.calls[0].returned
    assert "raised" in inside.note


def test_hooks_are_named_and_ours_are_not_among_them(bench: Worker) -> None:
    typed(bench, "def record(module, args, output): pass\nmodel.fc.register_forward_hook(record)")
    (hook,) = look(bench, "fc").hooks
    assert hook.startswith("forward: record (")


def test_a_module_without_source_says_so(bench: Worker) -> None:
    typed(bench, "class Made(nn.Module):\n    def forward(self, x):\n        return x\n")
    typed(bench, "model.drop = eval('torch.jit.script(nn.ReLU())')")
    assert "TorchScript" in look(bench, "drop").source_note
    failure = bench.refused(LookInside("nowhere"))
    assert failure.kind == "usage"


# the console


def test_the_names_that_are_there(bench: Worker) -> None:
    bench.ask(Fire())
    assert typed(bench, "type(model).__name__").output == "'Plain'"
    assert typed(bench, "x.shape, y.shape, act['fc'].shape").output.count("torch.Size") == 3
    assert typed(bench, "_[0]").output == "torch.Size([4, 10])"
    assert typed(bench, "nn.Linear is torch.nn.Linear and F.relu(x).min() >= 0").output == "tensor(True)"
    assert typed(bench, "len(act.inputs('fc')), len(act.calls('fc')), 'drop' in act").output == "(1, 1, True)"
    assert "no module 'fcc'" in typed(bench, "act['fcc']").error


def test_y_before_any_run_and_after_it_and_names_of_ones_own(bench: Worker) -> None:
    assert "nothing was fired yet" in typed(bench, "y").error
    typed(bench, "mine = 3\ndef double(n):\n    return mine * n\n")
    assert typed(bench, "[double(n) for n in range(3)]").output == "[0, 3, 6]"
    typed(bench, "x = x[:2]")
    assert typed(bench, "x.shape").output == "torch.Size([2, 10])"
    bench.ask(Fire(new_inputs=True))
    assert typed(bench, "x.shape").output == "torch.Size([4, 10])"


def test_what_is_printed_and_what_is_raised(bench: Worker) -> None:
    answer = typed(bench, "import sys\nprint('out'); print('err', file=sys.stderr)\n7")
    assert answer.output == "out\nerr\n7"
    assert typed(bench, "print('x' * 100_000)").output.endswith("more characters")
    assert "SyntaxError" in typed(bench, "1 +").error
    error = typed(bench, "model(x[:, :3])").error
    assert "stopping_models.py" in error
    assert "mat1 and mat2" in error
    assert "worker/inside" not in error
    assert "nn/modules" not in error
    assert "exit() ends nothing" in typed(bench, "exit()").error
    assert "\x1b" not in typed(bench, "print('\\x1b[31m')").output


def test_what_changed_is_told_and_the_next_run_says_it(bench: Worker) -> None:
    bench.ask(Fire())
    first = typed(bench, "model.eval(); None")
    assert first.changed == ("the whole model: eval mode",)
    assert any(isinstance(event, ModesNow) and not event.modes.training for event in bench.events)
    assert typed(bench, "model.fc.weight.data.mul_(2); None").changed == ("fc.weight: values",)
    assert typed(bench, "model.fc.bias.requires_grad_(False); None").changed == ("fc.bias: requires_grad off",)
    assert typed(bench, "model.fc.weight.sum(); model(x); None").changed == ()
    row = bench.ask(Fire())
    assert "fc.weight: values" in row.note
    assert row.cause == "weights changed"
    assert bench.ask(Fire()).note.count("console") == 0


def test_it_is_said_once_that_this_is_real() -> None:
    worker = Worker()
    worker.greeting()
    worker.receive()
    worker.ask(load("Plain"))
    assert "real" in typed(worker, "model.fc.weight.data.zero_(); None").note
    assert typed(worker, "model.fc.bias.data.zero_(); None").note == ""
    worker.close()


def test_another_module_is_in_the_tree(bench: Worker) -> None:
    assert typed(bench, "model.extra = nn.ReLU()").changed == ("extra: a new ReLU",)
    loaded = next(event for event in bench.events if isinstance(event, Loaded))
    assert "extra" in loaded.info.modules.names
    assert loaded.keep_runs


def test_a_long_line_is_interrupted_and_the_names_stay(bench: Worker) -> None:
    bench.forget_log()
    typed(bench, "kept = 1")
    job = bench.send(Evaluate("model.nap(60)"))
    bench.wait_for_log("napping")
    bench.cancel(job)
    answer = result_of(bench.end_of(job), foreign=True)
    assert answer.error.startswith("interrupted at ")
    assert answer.output == "asleep"
    assert typed(bench, "kept").output == "1"


def test_completion(bench: Worker) -> None:
    assert bench.ask(Complete("model.fc.wei")).words == ("weight",)
    words = bench.ask(Complete("a = mod"))
    assert (words.start, words.words) == (4, ("model",))
    assert bench.ask(Complete("act['f")).words == ("fc",)
    assert bench.ask(Complete("1 + ")).words == ()


def test_modes_set_elsewhere_are_seen_here(bench: Worker) -> None:
    bench.ask(SetModes(ModeChange(training=False)))
    assert typed(bench, "model.training").output == "False"


def test_a_model_that_was_seen_at_the_console_is_freed_when_another_comes(bench: Worker) -> None:
    bench.ask(Fire())
    typed(bench, "import gc, weakref; seen = weakref.ref(model); values = weakref.ref(x); act['']; y; model")
    assert typed(bench, "seen() is model, _ is model, values() is x").output == "(True, True, True)"
    bench.ask(load("Plain"))
    assert typed(bench, "gc.collect() and 0; seen(), values()").output == "(None, None)"
    assert "Plain" in typed(bench, "model").output
