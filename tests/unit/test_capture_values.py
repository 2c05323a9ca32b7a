"""What a running program's model uses beside its own class, and what becomes of it in a capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.test_capture import JOB, _imports_taken_back, answer, opened, program  # noqa: F401 (a fixture)
from workbench import capture
from workbench.protocol.captures import read_capture
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.protocol.model import Recipe
from workbench.worker.artifact.inspect import inspect
from workbench.worker.bench import load
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.failing import failed_in

HELD = """
    import collections, dataclasses, enum, functools, logging, math, operator, re, threading, types, typing
    import torch
    import torch.nn.functional as F
    from torch import nn
    from typing import Optional
    from own import shifted
    from workbench import capture

    # types that have no function of their own, and types that a call made
    class Kind(enum.Enum):
        ONE = "one"
        TWO = "two"

    class Flag(enum.Flag):
        A = 1
        B = 2

    class Out(typing.NamedTuple):
        y: torch.Tensor
        kind: Kind = Kind.ONE

    @dataclasses.dataclass
    class Config:
        width: int = 24
        kind: Kind = Kind.TWO

    @dataclasses.dataclass
    class Derived:
        width: int
        act: typing.Callable = F.gelu
        half: float = dataclasses.field(init=False)

        def __post_init__(self):
            self.half = self.width / 2

    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, x):
            return x / self.by

    Pair = collections.namedtuple("Pair", "a b", defaults=(1,))
    Made = enum.Enum("Made", "RED BLUE")
    Ids = Optional[torch.Tensor]

    # values of the module
    CONFIG, DERIVED, BOTH, PAIR, HALF = Config(8), Derived(6), Flag.A | Flag.B, Pair(3), Scale(2.0)
    ACTS = {"relu": F.relu, Kind.TWO: torch.tanh, "method": torch.Tensor.sigmoid, "root": math.sqrt, "of": operator.add}
    LAYERS = {"gelu": nn.GELU(), "linear": nn.Linear(8, 8)}
    ROWS = torch.arange(8.0)
    LOG, WORDS, LOCK = logging.getLogger("x"), re.compile("a+", re.I), threading.RLock()
    BOX = types.SimpleNamespace(offset=0.25)
    OF = types.MappingProxyType({"a": 2})
    gelu = functools.partial(F.gelu, approximate="tanh")
    square = lambda x: x * x
    STEPS = [lambda x, by=by: x + by for by in range(3)]
    pool = F.max_pool1d

    # functions that functions made
    def scaled(by):
        def by_it(x):
            return x * by
        return by_it

    def doubled(function):
        def inner(x):
            return function(x) * 2
        return inner

    def plus_one(function):
        @functools.wraps(function)
        def inner(self, x):
            return function(self, x) + 1
        return inner

    twice, thrice, by_rows = scaled(2.0), scaled(3.0), scaled(ROWS)

    @doubled
    def shift(x):
        return x + 0.5

    @functools.lru_cache(maxsize=None)
    def mask(n):
        return torch.tril(torch.ones(n, n))

    @functools.singledispatch
    def kind_of(x):
        return 0

    @kind_of.register
    def _(x: int):
        return x + 1

    Number, T = typing.NewType("Number", int), typing.TypeVar("T")

    @torch.jit.script
    def fast(x):
        return x * 1.5

    @torch.no_grad()
    def still(x):
        return x.detach()

    def made(width):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(8, 8)

            def forward(self, x):
                text = '''a text
                  of its own lines'''
                return self.fc(x) * width + len(text)
        return Block()

    class Net(nn.Module):
        @torch.no_grad()
        def __init__(self, config):
            super().__init__()
            self.config, self.lock, self.log = config, threading.Lock(), logging.getLogger("y")
            self.five, self.seven, self.minus, self.shifted = scaled(5.0), scaled(7.0), lambda x: x - 1, shifted(2)
            self.pool, self.fast, self.kind = F.max_pool1d, fast, Made.BLUE
            self.blocks = nn.ModuleList([made(2), made(3)])
            self.blocks[0].register_forward_hook(lambda module, args, y: y + self.config.width)

        @plus_one
        def forward(self, x: Ids, more: Optional[T] = None):
            with self.lock, LOCK:
                LOG.debug("x %s", WORDS.match("Aa").group())
            y = twice(x) + thrice(x) + by_rows(x) + shift(x) + mask(8)[0] + fast(x) + still(x) + ROWS + BOX.offset
            for step in STEPS:
                y = square(gelu(step(y)))
            y = self.five(y) - self.seven(y) + self.minus(y) + self.shifted(y) + pool(y[None], 1)[0] + HALF(y)
            y = ACTS["relu"](y) + ACTS[self.config.kind](y) + ACTS["method"](y) + ACTS["root"](4) + ACTS["of"](1, 2)
            y = LAYERS["gelu"](LAYERS["linear"](self.fast(y))) + PAIR.a + PAIR.b + (BOTH is Flag.A | Flag.B) + OF["a"]
            y = DERIVED.act(y) * DERIVED.half + CONFIG.width + (self.kind is Made.BLUE) + self.pool(y[None], 1)[0]
            y = y + Number(kind_of(3))
            for block in self.blocks:
                y = block(y)
            return Out(y).y

    def own_way(self, x):
        return self.fc(x) * self.gain

    class Patched(nn.Module):
        gain = 1

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            return x

    Patched.forward, Patched.gain = own_way, 3  # as people do in notebooks

    def last(self, x):
        return -own_way(self, x)

    torch.manual_seed(0)
    net = Net(CONFIG).eval()
    net.blocks.extend([Patched(), Patched()])
    net.blocks[-1].forward = types.MethodType(last, net.blocks[-1])
    capture.watch(net, "net.capture")  # nobody closes it: leaving Python does
    with torch.no_grad():
        torch.save(net(torch.randn(2, 8)), "y.pt")
    open(__file__, "w").write("# edited while it ran")
"""
OWN = """
def shifted(by):
    return lambda x: x + by * SHIFT

SHIFT = 0.125
"""


def test_what_a_script_holds_comes_along(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    assert program(tmp_path, HELD, "program.py") == ""
    assert read_capture(str(tmp_path / "net.capture")).notes == ()
    (tmp_path / "own.py").unlink()
    assert torch.equal(answer(opened(tmp_path / "net.capture")), torch.load(tmp_path / "y.pt"))


LEFT = """
    import socket, torch
    from torch import nn
    from workbench import capture

    SOCKET, steps = socket.socket(), (one for one in range(3))
    LARGE = torch.zeros(17 << 20)
    words = "no name that code mentions"

    def noisy(x, by=torch.zeros(3)):
        return x + by

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 3)

        def forward(self, x, words=3):
            return noisy(self.fc(x)) if x.sum() < 0 else self.fc(x) + SOCKET.fileno() + LARGE[0]

    net = Net()
    with capture.watch(net, "net.capture") as captured:
        net(torch.ones(2, 8))
"""


def test_what_cannot_come_along_is_said_by_everyone(tmp_path: Path) -> None:
    said = program(tmp_path, LEFT, "program.py")
    assert "SOCKET is not in the capture" in said
    found = read_capture(str(tmp_path / "net.capture"))
    assert sorted(found.left_out) == ["LARGE", "SOCKET"]
    assert any("LARGE is not in" in one and "tensors of more than 64 MB" in one for one in found.notes)
    words = inspect(Inspect(str(tmp_path / "net.capture")), JOB).words
    assert "SOCKET, which its forward may use" in words[0]
    assert any(one.startswith("SOCKET is not in the capture") for one in words)
    built = opened(tmp_path / "net.capture")
    assert any("SOCKET" in one for one in built.info.warnings)
    args, kwargs = built.example.sample(0)
    with pytest.raises(NameError) as caught:
        built.model(*args, **kwargs)
    failure = explain(caught.value, built.model, args, kwargs)
    assert "uses SOCKET, which is not in the capture: a socket" in failure.message
    assert "capture again" in failure.remedy
    assert "uses SOCKET" in failed_in(caught.value, "model", "It", "").failure.message


def test_a_value_that_a_definition_wants_at_once_and_that_is_not_there(tmp_path: Path) -> None:
    text = LEFT.replace("words=3", "words=SOCKET").replace("17 << 20", "1")
    assert "wanted as soon as a class or function is defined" in program(tmp_path, text, "program.py")
    with pytest.raises(WorkbenchError) as caught:
        opened(tmp_path / "net.capture")
    assert "SOCKET, which is not in the capture" in caught.value.failure.message


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.again = [self.fc.weight]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.again[0].sum()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_quantised_model(tmp_path: Path) -> None:
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), {nn.Linear})
    with capture.watch(net, str(tmp_path / "a")):
        y = net(torch.ones(2, 8))
    assert torch.equal(answer(opened(tmp_path / "a")), y)


def test_an_object_that_holds_its_parameters_elsewhere_too_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "META_FROM", 1)
    net = Net()
    with capture.watch(net, str(tmp_path / "a")), torch.no_grad():
        y = net(torch.ones(2, 8))
    built = opened(tmp_path / "a")
    assert built.model.again[0] is built.model.fc.weight
    assert torch.equal(answer(built), y)


class Prepared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.register_forward_pre_hook(lambda module, args: (args[0] + self.fc.bias,))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def test_a_module_with_parametrizations_and_a_hook_of_its_own_that_changes_its_inputs(tmp_path: Path) -> None:
    net = Prepared()
    with capture.watch(net, str(tmp_path / "a")), torch.no_grad():
        y = net(torch.ones(2, 8))
    built = opened(tmp_path / "a")
    assert torch.equal(built.example.sample(0)[0][0], torch.ones(2, 8)), "as the program gave it"
    assert torch.equal(answer(built), y)
    assert nn.utils.parametrize.is_parametrized(built.model.fc)


class Particular(nn.Linear):
    def _load_from_state_dict(self, *given: Any) -> None:
        raise KeyError("fc.weight")


def test_code_of_a_module_s_own_that_reads_its_values_and_fails(tmp_path: Path) -> None:
    torch.save(Particular(2, 2).state_dict(), tmp_path / "w.pt")
    recipe = Recipe(f"{__file__}:make_particular", weights=str(tmp_path / "w.pt"))
    with pytest.raises(WorkbenchError) as caught:
        load.build(recipe, JOB)
    assert (caught.value.failure.kind, "KeyError" in caught.value.failure.message) == ("weights", True)


def make_particular() -> nn.Module:
    return Particular(2, 2)
