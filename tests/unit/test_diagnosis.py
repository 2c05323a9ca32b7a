"""Plain words for what a forward raises, made from the real errors of the installed torch."""

from __future__ import annotations

import bdb
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.protocol.exits import exit_for
from workbench.protocol.failures import Failure, error
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.rules import RULES


class Model(nn.Module):
    """A layer below a body, with anything done to the input first."""

    def __init__(self, layer: nn.Module, before: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(layer)
        self.before = before

    def forward(self, x: Tensor) -> Any:
        return self.body(x if self.before is None else self.before(x))


def failure_of(layer: nn.Module, x: Any, before: Callable[[Tensor], Any] | None = None) -> Failure:
    model = Model(layer, before)
    try:
        model(x)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 (whatever a model raises is what is explained)
        return explain(problem, model)
    pytest.fail("it raised nothing")


def raised(problem: BaseException) -> Callable[[Tensor], Any]:
    def before(_x: Tensor) -> Any:
        raise problem

    return before


def inference_made(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x * 1


def changed_leaf(x: Tensor) -> Tensor:
    return nn.Parameter(torch.ones(10)).add_(x)


def spoiled(x: Tensor) -> Tensor:
    made = nn.Parameter(x).exp()
    made.add_(1)
    made.sum().backward()
    return made


X = torch.randn(4, 10)
ROWS: list[tuple[nn.Module, Any, Callable[[Tensor], Any] | None, str, tuple[str, ...]]] = [
    (nn.Linear(9, 5), X, None, "inputs", ("body.0 (Linear)", "9", "--input 'x=float32[4,9]'")),
    (nn.Linear(9, 5), X, torch.relu, "forward", ("body.0 (Linear)", "float32[4,10]", "last size must be 9")),
    (nn.Linear(10, 5), X.double(), None, "inputs", ("float32 and was given float64", "'x=float32[4,10]'", "--dtype")),
    (nn.Linear(10, 5), X, Tensor.double, "forward", ("float64", ".to(torch.float32)")),
    (nn.Linear(10, 5).half(), X, None, "inputs", ("float16 and was given float32",)),
    (nn.Linear(10, 5), X.long(), None, "inputs", ("int64", "'x=float32[4,10]'")),
    (nn.Conv2d(3, 4, 3), torch.randn(1, 4, 8, 8), None, "inputs", ("3 channels", "4", "'x=float32[1,3,8,8]'")),
    (nn.Conv2d(3, 4, 3), torch.randn(4, 8), None, "inputs", ("4D", "float32[4,8]")),
    (nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8).double(), None, "inputs", ("float64",)),
    (nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), None, "inputs", ("uint8",)),
    (nn.Conv2d(3, 4, 5), torch.randn(1, 3, 2, 2), None, "inputs", ("too small",)),
    (nn.MaxPool2d(4), torch.randn(1, 3, 2, 2), None, "inputs", ("too small",)),
    (nn.BatchNorm2d(4), torch.randn(2, 3, 4, 4), None, "inputs", ("4 channels", "3")),
    (nn.BatchNorm1d(4), torch.randn(1, 4), None, "inputs", ("training", "eval", "'x=float32[2,4]'")),
    (nn.LayerNorm(4), torch.randn(2, 5), None, "inputs", ("normalises [4]",)),
    (nn.LSTM(4, 3), torch.randn(2, 5, 6), None, "inputs", ("4 features", "'x=float32[2,5,4]'")),
    (nn.TransformerEncoderLayer(8, 2), torch.randn(2, 5, 6), None, "inputs", ("embedding dimension of 8",)),
    (nn.Embedding(10, 4), torch.tensor([11]), None, "inputs", ("outside", "0 to 9", "'x=int64[1]{0..9}'")),
    (nn.Embedding(10, 4), torch.randn(3), None, "inputs", ("whole numbers", "'x=int64[3]{0..9}'")),
    (nn.Identity(), X, lambda x: x.view(-1, 784), "forward", ("[-1, 784]", "40")),
    (nn.Identity(), X, lambda x: x.t().view(40), "forward", (".reshape",)),
    (nn.Identity(), X, lambda x: x + torch.ones(4, 3), "forward", ("10 and 3",)),
    (nn.Identity(), X, lambda x: torch.cat([x, torch.ones(4, 3)]), "forward", ("10 and 3",)),
    (nn.Identity(), X, lambda x: x[7], "forward", ("index 7", "4")),
    (nn.Identity(), X, lambda x: nn.functional.cross_entropy(x, torch.full((4,), 99)), "forward", ("label 99",)),
    (nn.Identity(), X, lambda x: torch.linalg.inv(x[:, :4].half()), "forward", ("float16", "float32")),
    (nn.Identity(), X, lambda x: bool(x > 0), "forward", ("one truth",)),
    (nn.Identity(), X, changed_leaf, "forward", ("in place", "no_grad")),
    (nn.Linear(10, 5), X, inference_made, "forward", ("inference_mode", "--grad no_grad")),
    (nn.Identity(), X, spoiled, "forward", ("in place",)),
    (nn.Identity(), X, lambda x: torch.autograd.grad(x.sum(), x), "forward", ("--grad grad",)),
    (nn.Identity(), X, lambda x: nn.Parameter(x).numpy(), "forward", ("--grad no_grad",)),
    (nn.Identity(), X, lambda x: torch.empty(1 << 50), "memory", ("not enough memory", "4194304.0 GB", "batch")),
    (nn.Identity(), X, raised(MemoryError()), "memory", ("not enough memory",)),
    (nn.Identity(), X, raised(bdb.BdbQuit()), "forward", ("debugger",)),
    (nn.Identity(), X, raised(EOFError("EOF when reading a line")), "forward", ("keyboard",)),
    (nn.Identity(), X, raised(SystemExit(3)), "forward", ("exit",)),
    (nn.Identity(), X, raised(KeyError("hidden")), "forward", ("KeyError", "'hidden'", "source")),
    (nn.Linear(10, 5, device="meta"), X, None, "device", ("devices", "device=x.device")),
    (nn.Linear(10, 5), [1.0], None, "forward", ("list", "Tensor")),
    (nn.Module(), X, None, "forward", ("no forward",)),
]


@pytest.mark.parametrize(("layer", "x", "before", "kind", "words"), ROWS, ids=range(len(ROWS)))
def test_a_known_error_is_one_plain_message(
    layer: nn.Module, x: Any, before: Callable[[Tensor], Any] | None, kind: str, words: tuple[str, ...]
) -> None:
    failure = failure_of(layer, x, before)
    assert failure.kind == kind, failure
    for word in words:
        assert word in f"{failure.message} {failure.remedy}"
    assert __file__ in failure.where
    assert failure.remedy
    assert "Traceback" not in failure.message
    assert "Traceback" in failure.details
    assert exit_for(failure.kind) == 3


def test_the_place_names_the_innermost_module_and_the_users_line() -> None:
    assert failure_of(nn.Linear(9, 5), X).where.endswith("in body.0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there() -> None:
    assert failure_of(nn.Identity(), X, lambda x: x.cuda()).kind == "device"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("expected scalar type Float but found Double", "computes in float32 and was given float64"),
        ("expected m1 and m2 to have the same dtype, but got: double != float", "float32 and was given float64"),
        ("Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same", "devices"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has", "2.00 GiB"),
        ("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!", "devices"),
    ],
)
def test_words_of_other_versions_and_machines(text: str, words: str) -> None:
    assert words in failure_of(nn.Identity(), X, raised(RuntimeError(text))).message


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "--input 'x=float32[4,…]'"),
        ((X, X), {}, "more arguments"),
        ((X,), {"mask": X}, "'mask'"),
    ],
)
def test_arguments_that_forward_does_not_take(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    model = Model(nn.Identity())
    with pytest.raises(TypeError) as caught:
        model(*args, **kwargs)
    failure = explain(caught.value, model, args, kwargs)
    assert failure.kind == "inputs"
    assert words in f"{failure.message} {failure.remedy}"


def test_a_failure_that_is_one_already_stays_as_it_is() -> None:
    own = error("weights", "said before")
    assert explain(own, None) is own.failure


def test_every_rule_leads_to_the_exit_code_of_a_model_that_does_not_run() -> None:
    assert {exit_for(rule.kind) for rule in RULES} == {3}
