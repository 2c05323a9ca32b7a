"""Example inputs: drawn, given, resized, placed, inferred, and asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from tests.unit import bench_models
from workbench.client.spec_edits import split_specs
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import Recipe
from workbench.protocol.spec import LIMITS
from workbench.worker import tensorfile
from workbench.worker.bench.example_sources import example_from
from workbench.worker.bench.inputs import Example


def example(model: nn.Module, *specs: str, file: str = "", seed: int = 0) -> Example:
    return example_from(Recipe("x.py:Net", inputs=specs, inputs_files=(file,) if file else (), seed=seed), model)


def refused(model: nn.Module, *specs: str, file: str = "") -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        example(model, *specs, file=file)
    assert caught.value.failure.kind == "inputs"
    return caught.value.failure


def test_a_sample_is_the_same_for_the_same_seed_and_leaves_the_global_generator_alone() -> None:
    made = example(bench_models.Net(), "x=float32[4,10]")
    before = torch.get_rng_state()
    (first,), _ = made.sample(3)
    (again,), _ = made.sample(3)
    (other,), _ = made.sample(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_values_keep_to_their_declared_ranges_at_any_scale() -> None:
    model = nn.Identity()
    (ints,), _ = example(model, "int64[1000]{3..7}").sample(0, scale=100)
    (floats,), _ = example(model, "float32[1000]{-1..2}").sample(0, scale=100)
    (normal,), _ = example(model, "float32[1000]").sample(0, scale=100)
    (plain,), _ = example(model, "int64[1000]").sample(0)
    (mask,), _ = example(model, "bool[50,6]").sample(0)
    assert set(ints.tolist()) == {3, 4, 5, 6, 7}
    assert floats.min() >= -1
    assert floats.max() <= 2
    assert 80 < normal.std() < 120
    assert set(plain.tolist()) == {0, 1}
    assert mask.any(1).all()
    assert not mask.all(1).any()


@pytest.mark.parametrize("dtype", LIMITS)
def test_the_widest_range_that_a_spec_may_say_is_drawn(dtype: str) -> None:
    """The limits of the spec language are torch's, and a range that ends at them is drawn without an overflow."""
    kind = getattr(torch, dtype)
    about: Any = torch.finfo(kind) if kind.is_floating_point else torch.iinfo(kind)
    assert (about.min, about.max) == LIMITS[dtype]
    high = about.max if dtype != "int64" else 2**63 - 1024  # the largest that a float has
    low = 0 if kind.is_floating_point else about.min
    for scale in (1.0, 1e3):
        (drawn,), _ = example(nn.Identity(), f"{dtype}[64]{{{low}..{high}}}").sample(0, scale=scale)
        assert low <= drawn.min().item() <= drawn.max().item() <= high


def test_the_batch_can_be_replaced_in_every_input_that_has_it() -> None:
    model = bench_models.Opaque()
    fixed = example(model, "left=float32[4,10]", "right=float32[4,1]")
    assert fixed.batch == 4
    assert [tuple(t.shape) for t in fixed.sample(0, batch=7)[0]] == [(7, 10), (7, 1)]
    named = example(model, "left=float32[10,batch:1..64]", "right=float32[4,batch:1..64]")
    assert (named.batch, named.batch_range) == (4, (1, 64))
    assert [tuple(t.shape) for t in named.sample(0, batch=2)[0]] == [(10, 2), (4, 2)]


def test_a_dimension_of_two_ranges_is_refused() -> None:
    assert "batch" in refused(bench_models.Opaque(), "left=float32[batch:1..3]", "right=float32[batch:1..9]").message


def test_placing_casts_floats_only() -> None:
    made = example(bench_models.TwoInputs(), "ids=int64[2,3]{0..9}", "features=float32[2,3]")
    made.place(torch.float16, torch.device("cpu"))
    ids, features = made.sample(0)[0]
    assert (ids.dtype, features.dtype) == (torch.int64, torch.float16)


def test_arguments_are_put_in_forwards_order_and_by_name_where_they_must() -> None:
    class Model(nn.Module):
        def forward(self, a: torch.Tensor, b: int = 1, c: int = 2, *, d: int = 3) -> None: ...

    args, kwargs = example(Model(), "d=float32[4]", "c=float32[3]", "a=float32[1]").sample(0)
    assert [len(value) for value in args] == [1]
    assert {name: len(value) for name, value in kwargs.items()} == {"d": 4, "c": 3}


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (("lft=float32[4]", "right=float32[4]"), "Did you mean 'left'"),
        (("left=float32[4]",), "--input 'right=float32[4,…]'"),
        (("float32[4]", "float32[4]", "float32[4]"), "3 inputs"),
        (("left=float32[4]", "left=float32[4]"), "twice"),
    ],
)
def test_inputs_that_do_not_fit_forward(specs: tuple[str, ...], words: str) -> None:
    failure = refused(bench_models.Opaque(), *specs)
    assert words in failure.message + failure.remedy


def test_inputs_from_files(tmp_path: Path) -> None:
    values = {"left": torch.arange(8.0).reshape(4, 2), "right": torch.ones(4, 2)}
    tensorfile.save(str(tmp_path / "x.safetensors"), values)
    torch.save({"left": [values["left"]], "right": values["right"]}, tmp_path / "x.pt")
    made = example(bench_models.Opaque(), file=str(tmp_path / "x.safetensors"), seed=5)
    assert torch.equal(made.sample(5)[0][0], values["left"])
    assert torch.equal(made.sample(5, batch=6)[0][0], values["left"][[0, 1, 2, 3, 0, 1]])
    assert not torch.equal(made.sample(6)[0][0], values["left"])
    assert made.infos[0].spec == "left=float32[4,2]"
    assert made.infos[0].origin == "from x.safetensors"
    listed = example(bench_models.Opaque(), file=str(tmp_path / "x.pt"))
    assert torch.equal(listed.sample(0)[0][0][0], values["left"])
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04broken")
    assert "broken.pt" in refused(bench_models.Opaque(), file=str(tmp_path / "broken.pt")).message
    assert "no file" in refused(bench_models.Opaque(), file=str(tmp_path / "none.pt")).message


def test_a_given_tensor_keeps_its_vocabulary_when_it_is_varied() -> None:
    def own() -> dict[str, torch.Tensor]:
        return {"ids": torch.tensor([[3, 7, 9, 3]]), "features": torch.zeros(1, 3)}

    made = example_from(Recipe("x.py:Net"), bench_models.TwoInputs(), own)
    seen = {int(value) for seed in range(20) for value in made.sample(seed)[0][0].flatten()}
    assert seen == {3, 7, 9}


@pytest.mark.parametrize(
    ("model", "specs", "origin"),
    [
        (bench_models.Net(), ["x=float32[4,10]"], "from fc1.weight [16,10]"),
        (bench_models.Net().double(), ["x=float64[4,10]"], "from fc1.weight [16,10]"),
        (bench_models.Tied(), ["ids=int64[2,16]{0..19}"], "from embed.weight [20,8]"),
        (bench_models.Images(), ["image=float32[4,1,28,28]"], "from conv.weight [2,1,3,3]"),
        (bench_models.Frozen(), ["x=float32[4,4]"], "from body.0.weight [4,4]"),
        (bench_models.TwoInputs(), ["ids=int64[2,16]{0..49}", "features=float32[4,3]"], "from words.weight [50,4]"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), ["input=float32[4,12]"], "from 1.weight [2,12]"),
        (nn.LSTM(6, 3), ["input=float32[16,batch:1..64,6]"], "from weight_ih_l0 [12,6]"),
    ],
)
def test_inputs_are_inferred_from_the_layers_that_take_them(model: nn.Module, specs: list[str], origin: str) -> None:
    made = example(model)
    assert [info.spec for info in made.infos] == specs
    assert made.infos[0].origin == origin
    args, kwargs = made.sample(0)
    model.eval()(*args, **kwargs)


def test_a_trial_changes_nothing_of_the_model() -> None:
    model = bench_models.Images()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    example(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


class Remembers(nn.Module):
    """Its forward leaves something in every kind of place; no copy of it can be made."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(2 * 26 * 26, 3)
        self.register_buffer("mean", torch.zeros(1))
        self.calls, self.seen, self.cache = 0, None, {"last": torch.zeros(1)}

    def __deepcopy__(self, memo: object) -> Remembers:
        raise TypeError("it holds a lock")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls, self.seen, self.mean = self.calls + 1, image.shape, self.mean + 1
        self.cache["last"] += 1
        self.cache[str(self.calls)] = image
        Remembers.made += 1
        return self.fc(self.conv(image).flatten(1))


def test_a_trial_on_the_model_itself_leaves_nothing_in_it() -> None:
    model = Remembers()
    mean, last = model.mean, model.cache["last"]
    assert example(model).infos[0].spec == "image=float32[4,1,28,28]"
    assert (model.calls, model.seen, Remembers.made, list(model.cache)) == (0, None, 0, ["last"])
    assert model.mean is mean
    assert model.cache["last"] is last
    assert (float(mean), float(last)) == (0, 0)
    assert model.training


def test_a_trial_on_a_copy_leaves_nothing_in_its_class() -> None:
    model = Remembers()
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(Remembers, "__deepcopy__")
        example(model)
    assert Remembers.made == 0


def test_what_cannot_be_told_is_asked_for_by_name() -> None:
    failure = refused(bench_models.Opaque())
    assert "--input 'left=float32[4,…]' --input 'right=float32[4,…]'" in failure.remedy
    assert "left" in failure.message


def test_a_forward_without_arguments_takes_none() -> None:
    class Constant(nn.Module):
        def forward(self) -> torch.Tensor:
            return torch.ones(2)

    made = example(Constant())
    assert made.sample(0) == ((), {})
    assert made.batch == 0


class Doubles(nn.Module):
    """Wrong whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(x).double())


def test_what_the_likeliest_try_raised_is_told_with_its_place() -> None:
    failure = refused(Doubles())
    assert "float64" in failure.message
    assert "test_inputs.py:" in failure.message
    assert "Traceback" in failure.details


class Nested(nn.Module):
    """Takes a dict, a list, a tuple, and things that are no tensors."""

    def forward(
        self,
        batch: dict[str, torch.Tensor],
        xs: list[torch.Tensor],
        state: tuple[torch.Tensor, torch.Tensor],
        k: int = 1,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return batch["x"] * k + xs[0] + state[1]


def test_parts_grow_into_the_arguments_that_they_belong_to() -> None:
    specs = (
        "mask=None",
        "xs[1]=float32[4,2]{ones}",
        "xs[0]=float32[4,2]{zeros}",
        "batch.x=float32[rows:1..9,2]",
        'batch["a key"]=int64[4]{0..3}',
        "k=3",
        "state.0=float32[1]",
        "state.1=float32[rows:1..9,2]",
    )
    made = example(Nested(), *specs)
    args, kwargs = made.sample(0)
    batch, xs, state, k = args
    assert (kwargs, k, type(xs), type(state)) == ({"mask": None}, 3, list, tuple)
    assert [one.sum().item() for one in xs] == [0, 8]
    assert (sorted(batch), batch["x"].shape, state[1].shape) == (["a key", "x"], (4, 2), (4, 2))
    assert not torch.equal(batch["x"], state[1]), "parts of the same call are drawn apart"
    assert made.batch_name == "rows"
    other = made.sample(0, batch=7)[0]
    assert (len(other[0]["x"]), len(other[0]["a key"]), len(other[2][1])) == (7, 4, 7)
    assert {path for one in made.arguments for path, _ in one.specs} >= {"batch['x']", "xs[1]", "state[1]"}
    again = tuple(text for info in made.infos for text in split_specs(info.spec))
    assert {*again} == {*specs}
    assert example(Nested(), *again).infos == made.infos
    assert Nested()(*args, **kwargs).shape == (4, 2)


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (("batch.x=float32[4]", "batch=None"), "whole and in parts"),
        (("batch=None", "batch.x=float32[4]"), "whole and in parts"),
        (("xs[0]=float32[4]", "xs[0][1]=float32[4]"), "whole and in parts"),
        (("xs[0]=float32[4]", "xs.a=float32[4]"), "a dict and a list at once"),
        (("xs[0]=float32[4]", "xs[2]=float32[4]"), "--input 'xs[1]=float32[4,…]'"),
        (("batch.x=float32[4]",), "--input 'xs=float32[4,…]'"),
    ],
)
def test_parts_that_do_not_make_a_whole(specs: tuple[str, ...], words: str) -> None:
    failure = refused(Nested(), *specs)
    assert words in failure.message + failure.remedy


def test_what_was_declared_of_values_holds_in_every_sample() -> None:
    spec = "x=float32[8,4]{normal(50,0.1);[0,1]=nan;[6,0]=-2}"
    made = example(bench_models.Net(), spec.replace("[8,4]", "[8,10]"))
    for seed in range(3):
        x = made.sample(seed, scale=100.0)[0][0]
        assert x[0, 1].isnan()
        assert x[6, 0] == -2
        assert abs(x[1].mean() - 50) < 1
    assert made.sample(0, batch=3)[0][0].shape == (3, 10)


class LeNet(nn.Module):
    """Flattens by a number that only one size of picture leads to."""

    def __init__(self, side: int, how: str = "flatten") -> None:
        super().__init__()
        self.conv1, self.conv2, self.how = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 5), how
        self.wide = 6 * (((side - 4) // 2 - 4) // 2) ** 2
        self.fc = nn.Linear(self.wide, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.conv1(image), 2)
        x = nn.functional.max_pool2d(self.conv2(x), 2)
        return self.fc(x.flatten(1) if self.how == "flatten" else x.view(-1, self.wide))


class Patches(nn.Module):
    """Cuts its pictures into patches itself, as many vision transformers do: no layer says what they are."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(192), nn.Linear(192, 5)
        self.places = nn.Parameter(torch.zeros((side // 8) ** 2, 5))

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        rows, channels, high, wide = img.shape
        cut = img.reshape(rows, channels, high // 8, 8, wide // 8, 8).permute(0, 2, 4, 3, 5, 1)
        return self.fc(self.norm(cut.reshape(rows, -1, 192))) + self.places


@pytest.mark.parametrize("side", [224, 32])
def test_pictures_that_the_model_cuts_itself_are_known_by_their_name(side: int) -> None:
    (found,) = example(Patches(side)).infos
    assert (found.spec, found.origin) == (f"img=float32[2,3,{side},{side}]", "guessed from its name and tried")


@pytest.mark.parametrize("side", [28, 40, 60, 100, 512])
@pytest.mark.parametrize("how", ["flatten", "view"])
def test_the_side_of_pictures_is_found_by_what_their_flattened_size_comes_to(side: int, how: str) -> None:
    made = example(LeNet(side, how))
    assert made.infos[0].spec == f"image=float32[4,1,{side},{side}]"
    assert made.infos[0].origin.startswith("from conv1.weight [4,1,5,5]")
    assert LeNet(side, how)(*made.sample(0)[0]).shape == (4, 3)


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 23 * 23, 4))
        self.table, self.head = nn.Linear(7, 4), nn.Bilinear(4, 4, 2)

    def forward(net, image: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return net.head(net.image(image), net.table(table))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.out = nn.Embedding(50, 8), nn.GRU(8, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        assert mask.dtype == torch.bool
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(tokens), lengths, True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.out(states.masked_fill(~mask[:, : states.shape[1], None], 0).sum(1))


class OfTimm(nn.Module):
    """As timm's models are: what they take is written on them."""

    default_cfg: ClassVar = {"input_size": (3, 30, 20)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class OfTransformers(nn.Module):
    """As transformers' models are: no argument is required, and a configuration says the rest."""

    main_input_name = "input_ids"
    config = SimpleNamespace(vocab_size=30, is_encoder_decoder=False)

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.ModuleDict({"words": nn.Embedding(30, 4)})

    def forward(self, input_ids: Any = None, position_ids: Any = None, attention_mask: Any = None) -> torch.Tensor:
        return self.deep["words"](input_ids) * attention_mask[..., None]


class Diffuser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.time = nn.Conv2d(3, 4, 3, padding=1), nn.Embedding(10, 4)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        emb = self.time(timestep)
        return self.conv(sample) + emb[..., None, None]


@pytest.mark.parametrize(
    ("model", "specs"),
    [
        (Tower(), ["image=float32[4,3,48,48]", "table=float32[4,7]"]),
        (Tokens(), ["tokens=int64[2,16]{0..49}", "mask=bool[2,16]{ones}", "lengths=int64[2]{1..16}"]),
        (OfTimm(), ["x=float32[2,3,30,20]"]),
        (OfTransformers(), ["input_ids=int64[2,16]{0..29}", "attention_mask=int64[2,16]{ones}"]),
        (Diffuser(), ["sample=float32[4,3,32,32]", "timestep=int64[4]{0..9}"]),
        (nn.Transformer(8, 2, 1, 1, 16), ["src=float32[4,16,8]", "tgt=float32[4,16,8]"]),
        (nn.Bilinear(3, 4, 5), None),
    ],
)
def test_several_arguments_and_what_models_say_of_themselves(model: nn.Module, specs: list[str] | None) -> None:
    if specs is None:
        assert "--input" in refused(model).remedy
        return
    made = example(model)
    assert [info.spec for info in made.infos] == specs
    assert all(info.origin for info in made.infos)
    args, kwargs = made.sample(0)
    model.eval()(*args, **kwargs)
