"""Plain words for what a forward raises, made from the real errors of the installed torch."""

from __future__ import annotations

import bdb
import copy
import importlib
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.protocol.exits import exit_for
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.model import Recipe
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.example_sources import example_from
from workbench.worker.bench.rules import RULES
from workbench.worker.judge.origin import explain_from_start


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


def saved(x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.save({"x": x}, stream)
    return stream.getvalue()


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


class Attention(nn.Module):
    """Gives its input to attention over 5 places of 2 rows, as a mask."""

    def __init__(self, name: str = "attn_mask") -> None:
        super().__init__()
        self.attend, self.name = nn.MultiheadAttention(8, 2), name

    def forward(self, mask: Tensor) -> Tensor:
        data = torch.ones(5, 2, 8)
        return self.attend(data, data, data, **{self.name: mask})[0]


def pack(x: Tensor, lengths: list[int]) -> Any:
    return nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)


def unpacked(x: Tensor) -> Any:
    batch, length, width = x.shape
    return batch, length, width


def none() -> Any:
    return None


def quantised(x: Tensor) -> Tensor:
    return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)


def no_engine(x: Tensor) -> Any:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "none"
    try:
        return torch.ao.nn.quantized.Linear(10, 2)
    finally:
        torch.backends.quantized.engine = before


def twice_backward(x: Tensor) -> None:
    total = nn.Parameter(x).exp().sum()
    total.backward()
    total.backward()


X = torch.randn(4, 10)
ROWS: list[tuple[nn.Module, Any, Callable[[Tensor], Any] | None, str, tuple[str, ...]]] = [
    (nn.Linear(9, 5), X, None, "inputs", ("body.0 (Linear)", "9", "--input 'x=float32[4,9]'")),
    (nn.GroupNorm(4, 8), torch.ones(4, 6, 3), None, "inputs", ("float32[4,6,3]", "'x=float32[4,8,3]'")),
    (nn.GroupNorm(4, 8), torch.ones(4, 12, 3), None, "inputs", ("float32[4,12,3]", "'x=float32[4,8,3]'")),
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
    (nn.Identity(), X, lambda x: pickle.loads(b""), "forward", ("ends too early",)),
    (nn.Identity(), X, lambda x: pickle.loads(pickle.dumps([1.5] * 99)[:50]), "forward", ("ends too early",)),
    (nn.Identity(), X, lambda x: torch.load(io.BytesIO(saved(x)[:200])), "forward", ("ends too early",)),
    (nn.Identity(), X, raised(SystemExit(3)), "forward", ("exit",)),
    (nn.Identity(), X, raised(KeyError("hidden")), "forward", ("KeyError", "'hidden'", "source")),
    (nn.Linear(10, 5, device="meta"), X, None, "device", ("devices", "device=x.device")),
    (nn.Linear(10, 5), [1.0], None, "forward", ("list", "Tensor")),
    (nn.Module(), X, None, "forward", ("no forward",)),
    # masks and indices
    (Attention(), torch.zeros(4, 4), None, "forward", ("(5, 5)", "[4, 4]", "Make the mask [5,5]")),
    (Attention("key_padding_mask"), torch.zeros(3, 5, dtype=torch.bool), None, "forward", ("2 at dimension 0", "3")),
    (Attention("key_padding_mask"), torch.zeros(2, 5, dtype=torch.int64), None, "forward", ("whole", "mask == 0")),
    (nn.Identity(), X, lambda x: F.scaled_dot_product_attention(x, x, x, torch.ones(4, 4).long()), "forward",
     ("float32", "int64")),
    (nn.Identity(), X, lambda x: F.scaled_dot_product_attention(x, x.double(), x), "forward", ("float64", "one dtype")),
    (nn.Identity(), X, lambda x: x.masked_fill(torch.ones(4, 10), 0), "forward", ("float32", "boolean", ".bool()")),
    (nn.Identity(), X, lambda x: torch.where(torch.ones(4, 10), x, x), "forward", ("float32", "boolean")),
    (nn.Identity(), X, lambda x: x * (1 - (x > 0)), "forward", ("~mask",)),
    (nn.Identity(), X, lambda x: ~x, "forward", ("not boolean",)),
    (nn.Identity(), X, lambda x: x[torch.tensor([0.0])], "forward", ("index", ".long()")),
    (nn.Embedding(3, 2), torch.tensor([1], dtype=torch.int16), None, "inputs", ("int16", "int64[1]{0..2}")),
    (nn.Identity(), X, F.one_hot, "forward", ("int64",)),
    (nn.Identity(), X, lambda x: F.one_hot(torch.tensor([5]), 3), "forward", ("num_classes",)),
    (nn.Identity(), X, lambda x: torch.multinomial(-x.abs(), 1), "forward", ("negative",)),
    (nn.Identity(), X, lambda x: torch.distributions.Normal(x, -x.abs()), "forward", ("Normal", "GreaterThan")),
    (nn.Identity(), X, lambda x: nn.LSTM(10, 3)(x[None], (torch.zeros(1, 9, 3),) * 2), "forward", ("[1, 4, 3]",)),
    (nn.Identity(), X, lambda x: pack(x[..., None], [1, 2, 0, 3]), "forward", ("length is 0",)),
    (nn.EmbeddingBag(10, 3), torch.tensor([1, 2]), None, "inputs", ("offsets",)),
    (nn.EmbeddingBag(10, 3), torch.ones(2, 2, 2).long(), None, "inputs", ("1D or 2D", "int64[2,2,2]")),
    # shapes
    (nn.GroupNorm(2, 4), torch.randn(1, 6, 3, 3), None, "inputs", ("4 channels", "float32[1,6,3,3]")),
    (nn.Identity(), X, lambda x: x @ torch.ones(4), "forward", ("4x10", "vector of 4")),
    (nn.Identity(), X, lambda x: x[0] @ torch.ones(4), "forward", ("10 and 4",)),
    (nn.Identity(), X, lambda x: torch.einsum("bi,bj->bij", x, x[1:]), "forward", ("subscript b", "4 and 3")),
    (nn.Identity(), X, lambda x: x.sum(3), "forward", ("dimension 3", "-2 to 1")),
    (nn.Identity(), X, lambda x: x.permute(0, 2, 1), "forward", ("3 dimensions", "has 2")),
    (nn.Identity(), X, lambda x: x[0, 0, 0], "forward", ("2 dimensions",)),
    (nn.Identity(), X, unpacked, "forward", ("apart into 3",)),
    (nn.Identity(), X, lambda x: torch.stack([x, x[0]]), "forward", ("[4, 10] and [10]",)),
    (nn.Identity(), X, lambda x: torch.cat([x, x[0]]), "forward", ("2 and 1 dimensions",)),
    (nn.Identity(), X, lambda x: x[0].clone().add_(x), "forward", ("[4, 10] in place", "[10]")),
    (nn.Identity(), X, lambda x: x.unflatten(1, (3, 4)), "forward", ("do not come out",)),
    (nn.Identity(), X, lambda x: F.interpolate(x, scale_factor=2), "forward", ("too few dimensions",)),
    (nn.Identity(), X, lambda x: F.grid_sample(torch.ones(1, 1, 4, 4), torch.ones(2, 3, 3, 2)), "forward",
     ("batches",)),
    # dtypes
    (nn.BatchNorm1d(10), X.double(), None, "inputs", ("float32", "float64[4,10]", "'x=float32[4,10]'")),
    (nn.LayerNorm(10), X, Tensor.double, "forward", ("float32", "float64[4,10]", ".to(torch.float32)")),
    (nn.Identity(), X, lambda x: torch.linalg.svd(x.half()), "forward", ("float16", "--dtype float32")),
    (nn.Identity(), X, lambda x: torch.fft.rfft(x.half()), "forward", ("float16",)),
    (nn.Identity(), X, lambda x: x.long().float().long().softmax(0), "forward",
     ("wants floating numbers", "int64", ".float()", "--dtype casts no whole numbers")),
    (nn.Softmax(0), X.long(), None, "inputs", ("wants floating numbers", "'x=float32[4,10]'")),
    (nn.Identity(), X, lambda x: torch.linalg.inv(x[:, :4].long()), "forward", ("int64", ".float()")),
    (nn.Identity(), X, lambda x: x.long().mean(), "forward", ("whole numbers", ".float()")),
    (nn.Identity(), X, lambda x: x.long().div_(2), "forward", ("float32", "int64")),
    # what is Python's
    (nn.Linear(10, 2), X, lambda x: None, "forward", ("None where a tensor belongs",)),
    (nn.Linear(10, 2), X, lambda x: (x, x), "forward", ("tuple", "y, _ = …")),
    (nn.Identity(), X, lambda x: none().shape, "forward", ("asks None for shape",)),
    (nn.Identity(), X, lambda x: none()(x), "forward", ("None", "callable")),
    (nn.Identity(), X, lambda x: none()[0], "forward", ("None", "subscriptable")),
    (nn.Identity(), X, lambda x: x + none(), "forward", ("computes with None",)),
    (nn.Identity(), X, lambda x: torch.cat([x, none()]), "forward", ("computes with None",)),
    (nn.Identity(), X, lambda x: x.foo, "forward", ("a Tensor has no foo",)),
    (nn.Identity(), X, lambda x: importlib.import_module("not_there_xyz"), "forward", ("not_there_xyz", "--python")),
    (nn.Identity(), X, lambda x: copy.deepcopy(nn.Parameter(x) * 2), "forward", ("graph", "detach")),
    (nn.Identity(), X, lambda x: copy.deepcopy(threading.Lock()), "forward", ("_thread.lock", "__deepcopy__")),
    (nn.Identity(), X, lambda x: pickle.dumps(lambda: 0), "forward", ("cannot be copied", "<lambda>")),
    (nn.Identity(), X, lambda x: 1 // 0, "forward", ("divides by zero",)),
    # backends and devices
    (nn.Identity(), X, lambda x: quantised(x) + x, "forward", ("quantised", ".dequantize()")),
    (nn.Identity(), X, lambda x: F.conv1d(quantised(x), torch.ones(1, 4, 1)), "forward", ("quantised", "conv")),
    (nn.Identity(), X, no_engine, "forward", ("NoQEngine", "supported_engines")),
    (nn.Identity(), X, lambda x: torch.empty(1, device="meta").item(), "device", ("meta", "--weights")),
    (nn.Identity(), X, lambda x: nn.Linear(2, 2, device="meta").to("cpu"), "device", ("meta", "--weights")),
    (nn.Identity(), X, lambda x: x.to("xpu"), "device", ("XPU", "--device cpu")),
    (nn.Identity(), X, lambda x: x.to("mps"), "device", ("device mps", "--device cpu")),
    (nn.Identity(), X, raised(RuntimeError("fft: ATen not compiled with MKL support")), "forward",
     ("library MKL", "--python")),
    (nn.Identity(), X, lambda x: x.to("gpu"), "device", ("gpu", "cuda:1")),
    (nn.Identity(), X, lambda x: nn.LazyLinear(3).weight.shape, "forward", ("shape the first run",)),
    # gradients
    (nn.Identity(), X, lambda x: torch.ones(1).expand(3).add_(1), "forward", (".clone()",)),
    (nn.Identity(), X, lambda x: inference_made(x).requires_grad_(), "forward", ("inference_mode", "no_grad")),
    (nn.Identity(), X, twice_backward, "forward", ("earlier run", "detach")),
]  # fmt: skip


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


class Outer(nn.Module):
    """Calls one of its modules wrongly."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.block = nn.Bilinear(10, 10, 2)
        self.call = call

    def forward(self, x: Tensor) -> Any:
        return self.call(self.block, x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda block, x: block(x), "block (Bilinear) was not given 'input2'."),
        (lambda block, x: block(x, x, x), "block (Bilinear) was given more arguments"),
        (lambda block, x: block(x, x, mask=x), "block (Bilinear) has no argument 'mask'"),
        (lambda block, x: block(x, input1=x), "block (Bilinear) was given 'input1' twice"),
    ],
)
def test_a_wrong_call_inside_the_model_is_mended_in_its_source(call: Any, words: str) -> None:
    model = Outer(call)
    with pytest.raises(TypeError) as caught:
        model(X)
    failure = explain(caught.value, model, (X,), {})
    assert words in failure.message
    assert failure.remedy.startswith(f"At {__file__}:"), "the line of the call"
    assert "--input" not in failure.remedy


def test_a_tensor_in_the_place_of_a_dict_is_answered_with_its_keys() -> None:
    class Net(nn.Module):
        def forward(self, batch: dict[str, Tensor], scale: float = 1.0) -> Tensor:
            return batch["pixel values"] * batch["mask"] * scale

    model = Net()
    with pytest.raises((TypeError, IndexError)) as caught:
        model(X)
    failure = explain(caught.value, model, (X,), {})
    wanted = """--input 'batch["pixel values"]=float32[4,…]' --input 'batch.mask=float32[4,…]'"""
    assert wanted in failure.remedy
    with pytest.raises(WorkbenchError) as refused:
        example_from(Recipe("m.py:Net"), model)
    assert "batch is a dict of pixel values, mask" in refused.value.failure.message
    assert wanted in refused.value.failure.remedy


def test_a_failure_that_is_one_already_stays_as_it_is() -> None:
    own = error("weights", "said before")
    assert explain(own, None) is own.failure


def test_every_rule_leads_to_the_exit_code_of_a_model_that_does_not_run() -> None:
    assert {exit_for(rule.kind) for rule in RULES} == {3}


class Scaled(nn.Module):
    """Something on the way makes it float64."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("scale", torch.full((10,), 2.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "buffer":
            return x * self.scale
        if self.how == "constant":
            return x * torch.full((10,), 2.0, dtype=torch.float64)
        if self.how == "outside":
            return x * OUTSIDE
        return x.double()


OUTSIDE = torch.ones(10, dtype=torch.float64)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cast", "becomes float64 at _to_copy"),
        ("constant", "becomes float64 at full"),
        ("buffer", "The buffer norm.scale is float64"),
        ("outside", "A tensor made outside torch, or kept from before is float64"),
    ],
)
def test_a_dtype_is_followed_to_where_it_starts(how: str, words: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(10, 10), Scaled(how), nn.Linear(10, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(self.first(x)) + torch.tensor(1.0, dtype=torch.float64))

    net = Net()
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError) as caught:
        net(X)
    failure = explain_from_start(caught.value, net, (X,), {})
    assert words in failure.message
    assert "last (Linear) computes in float32 and was given float64" in failure.message
    assert "test_diagnosis.py:" in failure.message
    assert "norm (Scaled)" in failure.message
    assert torch.equal(state, torch.get_rng_state())


class Chain(nn.Module):
    """Layers of one dtype, then `between` them and the last, which has another."""

    def __init__(self, dtype: torch.dtype, between: Callable[[Tensor], Tensor], first: bool = True) -> None:
        super().__init__()
        self.a = nn.Linear(10, 10) if first else nn.Identity()
        self.act, self.b, self.between = nn.ReLU(), nn.Linear(10, 2).to(dtype), between

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.act(self.a(x))).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize(
    ("between", "first", "words"),
    [
        (lambda x: x * 2, True, "a (Linear) answers float32, as its own weights are."),
        (lambda x: x.bfloat16().float(), True, "It becomes float32 at _to_copy, "),
        (lambda x: x * 2, False, "So is an input, and nothing casts it on the way."),
    ],
)
def test_a_dtype_that_an_input_has_too_is_told_with_the_module_that_made_it(
    dtype: torch.dtype, between: Callable[[Tensor], Tensor], first: bool, words: str
) -> None:
    model = Chain(dtype, between, first)
    with pytest.raises(RuntimeError) as caught:
        model(X)
    message = explain_from_start(caught.value, model, (X,), {}).message
    assert f"b (Linear) computes in {str(dtype)[6:]} and was given float32. {words}" in message
    assert "outside torch" not in message


class Loss(nn.Module):
    """A loss of 4 classes, over labels that are an input or made on the way."""

    def __init__(self, made: Callable[[Tensor], Tensor], functional: bool = True) -> None:
        super().__init__()
        self.body, self.loss, self.made, self.functional = nn.Linear(10, 4), nn.CrossEntropyLoss(), made, functional

    def forward(self, x: Tensor, truth: Tensor) -> Tensor:
        scores = self.body(x)
        return F.cross_entropy(scores, self.made(truth)) if self.functional else self.loss(scores, self.made(truth))


@pytest.mark.parametrize("functional", [True, False])
@pytest.mark.parametrize("made", [lambda truth: truth, lambda truth: truth.view(-1)])
def test_a_label_that_is_no_class_is_mended_at_its_own_input(
    made: Callable[[Tensor], Tensor], functional: bool
) -> None:
    model, truth = Loss(made, functional), torch.tensor([0, 9, 1, 2])
    for args, kwargs in (((X, truth), {}), ((X,), {"truth": truth})):
        with pytest.raises(IndexError) as caught:
            model(*args, **kwargs)
        failure = explain(caught.value, model, args, kwargs)
        assert "label 9" in failure.message
        assert failure.remedy == "There are 4 classes, numbered 0 to 3. Give it --input 'truth=int64[4]{0..3}'"


def test_a_label_that_is_no_class_and_made_inside_is_no_matter_of_the_inputs() -> None:
    model = Loss(lambda truth: truth + 9)
    with pytest.raises(IndexError) as caught:
        model(X, torch.zeros(4, dtype=torch.int64))
    remedy = explain(caught.value, model, (X, torch.zeros(4, dtype=torch.int64)), {}).remedy
    assert "numbered 0 to 3. The labels are made inside forward" in remedy
    assert "--input" not in remedy


@pytest.mark.parametrize("before", [inference_made, twice_backward])
def test_what_the_same_forward_made_is_not_put_on_an_earlier_run(before: Callable[[Tensor], Any]) -> None:
    message = failure_of(nn.Linear(10, 5), X, before).message
    assert "that an earlier run" not in message
    assert "keeps a tensor of an earlier run" not in message


def test_a_tensor_that_is_fixed_to_another_device_is_found_where_it_is_made() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            shift = torch.zeros(10, device="meta")
            return nn.functional.linear(x, self.weight) + shift

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10, 10))

    net = Net()
    with pytest.raises(RuntimeError) as caught:
        net(X) @ torch.ones(10, 10)
    failure = explain_from_start(caught.value, net, (X,), {})
    assert failure.kind == "device"
    assert "It becomes meta at zeros" in failure.message or "It becomes meta at empty" in failure.message


def test_what_is_an_input_is_not_looked_for_further() -> None:
    net = Model(nn.Linear(10, 2))
    with pytest.raises(RuntimeError) as caught:
        net(X.double())
    assert explain_from_start(caught.value, net, (X.double(),), {}) is not None
    with pytest.raises(RuntimeError) as caught:
        net(X[:, :3])
    assert "becomes" not in explain_from_start(caught.value, net, (X[:, :3],), {}).message
