"""Which other inputs an artifact wants: answers that are eager's once its inputs are changed in a known way.

Calls the artifact with changed copies of a few golden cases and compares with eager's answers to the cases as they
are. Names a change only when every one of those cases then agrees.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.manifest import manifest_tensors
from workbench.worker.artifact.naming_values import alike
from workbench.worker.artifact.prove_cases import Golden, call_artifact
from workbench.worker.judge.leaves import Flat

Inputs = dict[str, torch.Tensor]
Change = Callable[[Inputs], Inputs]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, by which image models are usually fed."""

_MOST_CHANNELS = 4

_SECONDS = 20.0
"""For all changes that are tried: an artifact may take seconds a call."""


def wanted_inputs(opened: Opened, golden: Golden, cases: Sequence[int], device: str) -> str:
    """What the artifact wants in place of the model's inputs, in words; empty when no known change mends it, and where
    nothing needs mending."""
    if not cases or all(agrees(opened, golden, index, device, dict) for index in cases):
        return ""
    found = golden.part(cases[0], "input")
    order = [name for entry in golden.manifest["inputs"] for name in manifest_tensors(entry["tree"])]
    samples = {name: found[name] for name in order}
    until = time.monotonic() + _SECONDS
    for words, change in _changes(samples):
        if all(agrees(opened, golden, index, device, change) for index in cases):
            return words
        if time.monotonic() > until:
            return ""
    return ""


def answer_to(opened: Opened, golden: Golden, index: int, device: str, change: Change | None = None) -> Flat:
    """The artifact's answer to one case whose input tensors were changed. Raises whatever the artifact raises."""
    tensors = golden.part(index, "input")
    changed = change(dict(tensors)) if change is not None else tensors
    args, kwargs = golden.inputs(index, device, {name: _replacing(changed[name]) for name in changed})
    return call_artifact(opened, golden.manifest, args, kwargs)


def ignored_inputs(opened: Opened, golden: Golden, index: int, device: str) -> list[str]:
    """Names of input tensors that the artifact's answer does not depend on: their values in another order, values
    between the same limits and those of another case change nothing."""
    found = []
    try:
        before = _kept(answer_to(opened, golden, index, device))
        for name, tensor in golden.part(index, "input").items():
            if tensor.numel() > 1 and bool((tensor != tensor.reshape(-1)[0]).any()):
                changes = (_rolled, _drawn, *_of_another_case(golden, index, name))
                if all(same_bits(before, answer_to(opened, golden, index, device, only(name, one))) for one in changes):
                    found.append(name)
    except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes; then nothing is known)
        return []
    return found


def _changes(samples: Inputs) -> Iterator[tuple[str, Change]]:
    """Words, and the change, the likeliest first."""
    for name, sample in samples.items():
        for dtype in _OTHER_DTYPES.get(sample.dtype, ()):
            yield f"it wants {name} as {str(dtype)[6:]}", only(name, functools.partial(_cast, to=dtype))
    for one, other in itertools.combinations(samples, 2):
        if samples[one].shape == samples[other].shape and samples[one].dtype == samples[other].dtype:
            yield f"it takes {one} and {other} in each other's place", _exchanged(one, other)
    for name, sample in samples.items():
        yield from _shuffles(name, sample)
    floating = [name for name, sample in samples.items() if sample.is_floating_point()]
    for name in floating:
        yield from _scales(name, samples[name])
    for name, sample in samples.items():
        if sample.dtype in (torch.int64, torch.int32):
            for step in (1, -1):
                yield f"it wants {name} counted from {step:+d}", only(name, functools.partial(torch.add, other=step))


def _shuffles(name: str, sample: torch.Tensor) -> Iterator[tuple[str, Change]]:
    """Other orders of the same values."""
    for dim in range(1, sample.dim()):
        if 2 <= sample.shape[dim] <= _MOST_CHANNELS or sample.dim() == 2:
            what = "its channels" if dim == 1 and sample.dim() == 4 else f"dimension {dim}"
            words = f"it wants {what} of {name} in reverse order"
            yield words + (" (BGR and RGB)" if sample.shape[dim] == 3 else ""), only(name, _flipped(dim))
    if sample.dim() == 4:
        yield f"it wants {name} with channels last (NHWC)", only(name, lambda value: value.permute(0, 2, 3, 1))
        yield f"it wants {name} with channels first (NCHW)", only(name, lambda value: value.permute(0, 3, 1, 2))
        yield f"it wants height and width of {name} exchanged", only(name, lambda value: value.transpose(2, 3))
    elif sample.dim() in (2, 3):
        one, other = sample.dim() - 2, sample.dim() - 1
        yield f"it wants the last two dimensions of {name} exchanged", only(name, lambda v: v.transpose(one, other))
    if sample.dim() == 3:
        yield f"it wants the first two dimensions of {name} exchanged", only(name, lambda v: v.transpose(0, 1))


def _scales(name: str, sample: torch.Tensor) -> Iterator[tuple[str, Change]]:
    """The preprocessing that one of the two does and the other leaves to the caller."""
    if sample.dim() == 4 and sample.shape[1] == 3:
        mean, std = (torch.tensor(one, dtype=sample.dtype).reshape(3, 1, 1) for one in (_MEAN, _STD))
        yield f"it normalises {name} itself (ImageNet's mean and std)", only(name, lambda v: v * std + mean)
        yield f"it wants {name} normalised (ImageNet's mean and std)", only(name, lambda v: (v - mean) / std)
        inside = (lambda v: (v * std + mean) * 255, lambda v: (v * 255 - mean) / std, lambda v: (v / 255 - mean) / std)
        yield f"it divides {name} by 255 and normalises it itself", only(name, inside[0])
        yield f"it wants {name} normalised by 255 and by ImageNet's mean and std", only(name, inside[2])
    for factor, words in ((255.0, "times 255"), (1 / 255, "divided by 255"), (-1.0, "negated")):
        yield f"it wants {name} {words}", only(name, functools.partial(torch.mul, other=factor))
    yield f"it wants {name} from 0..1 moved to -1..1", only(name, lambda value: value * 2 - 1)
    yield f"it wants {name} from -1..1 moved to 0..1", only(name, lambda value: (value + 1) / 2)


_OTHER_DTYPES = {
    torch.float32: (torch.float64, torch.float16, torch.bfloat16),
    torch.float64: (torch.float32,),
    torch.float16: (torch.float32,),
    torch.bfloat16: (torch.float32,),
    torch.int64: (torch.int32, torch.float32),
    torch.int32: (torch.int64, torch.float32),
    torch.bool: (torch.int64, torch.float32),
    torch.uint8: (torch.float32,),
}


def only(name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """The change of one input."""
    return lambda tensors: {**tensors, name: function(tensors[name])}


def _exchanged(one: str, other: str) -> Change:
    return lambda tensors: {**tensors, one: tensors[other], other: tensors[one]}


def _flipped(dim: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda value: value.flip(dim)


def _cast(value: torch.Tensor, to: torch.dtype) -> torch.Tensor:
    return value.to(to)


def _rolled(value: torch.Tensor) -> torch.Tensor:
    return value.reshape(-1).roll(1).reshape(value.shape)


def _drawn(value: torch.Tensor) -> torch.Tensor:
    """Values between its least and its largest, these left out where there are others between."""
    generator = torch.Generator().manual_seed(0)
    low, high = value.min(), value.max()
    if value.dtype == torch.bool:
        return torch.rand(value.shape, generator=generator) < 0.25
    if value.is_floating_point():
        share = torch.rand(value.shape, generator=generator, dtype=torch.float64)
        return (low.double() + share * (high.double() - low.double())).to(value.dtype)
    least, most = int(low), int(high) + 1
    least, most = (least + 1, most - 1) if most - least > 2 else (least, most)
    return torch.randint(least, most, value.shape, generator=generator).to(value.dtype)


def _of_another_case(golden: Golden, index: int, name: str) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """The values that this input has in one other case of its shape."""
    own = golden.part(index, "input")[name]
    for other in range(golden.count):
        value = golden.part(other, "input")[name]
        if not golden.given_nan(other) and value.shape == own.shape and not torch.equal(value, own):
            yield lambda _, value=value: value  # type: ignore[misc]
            return


def _kept(flat: Flat) -> Flat:
    """A copy: an artifact may answer with memory of its own that its next call writes to."""
    return Flat(flat.structure, [(path, leaf.clone()) for path, leaf in flat.leaves])


def _replacing(value: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda _: value.contiguous().clone()


def agrees(opened: Opened, golden: Golden, index: int, device: str, change: Change) -> bool:
    """Whether the artifact answers the changed case as eager answers the case itself; dtypes may differ."""
    try:
        found = answer_to(opened, golden, index, device, change).leaves
    except Exception:  # noqa: BLE001 (a change that it does not take is none that it wants)
        return False
    wanted = golden.eager(index).leaves
    return len(found) == len(wanted) and all(
        alike(mine, _shaped(its, mine.shape))
        for (_, mine), (_, its) in zip(wanted, found)  # noqa: B905 (compared above)
    )


def _shaped(value: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """In `shape` where that is possible: this is about values."""
    fits = value.layout is torch.strided and value.numel() == shape.numel()
    return value.reshape(shape) if fits else value


def same_bits(one: Flat, other: Flat) -> bool:
    """Whether two answers are the same; every NaN is like every other."""
    pairs: list[tuple[Any, Any]] = list(zip(one.leaves, other.leaves))  # noqa: B905 (the same artifact twice)
    return all(a.shape == b.shape and a.dtype == b.dtype and _same(a, b) for (_, a), (_, b) in pairs)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    nan = a.isnan()
    return torch.equal(nan, b.isnan()) and torch.equal(a.masked_fill(nan, 0), b.masked_fill(nan, 0))
