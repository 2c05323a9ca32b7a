"""Healthy models that answer, or compute, in unusual ways: classes, nests, gradients inside, half, int8, caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 4)

    def logits(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x)))


class Classes(Small):
    """Integers and booleans beside floats."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.logits(x)
        return y.argmax(-1), y > 0, y.softmax(-1)


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple[Tensor, ...]
    loss: Tensor | None = None


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Nested(Small):
    """A dataclass in a dict beside a named tuple, a None, a number and a word."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        hidden = self.first(x)
        y = self.logits(x)
        return {"answer": Answer(y, (hidden, hidden.relu())), "pair": Pair(y[:, 0], y[:, 1]), "size": 4, "name": "net"}


class Neighbours(Small):
    """A graph network of five nodes: its adjacency is a sparse buffer."""

    def __init__(self) -> None:
        super().__init__()
        ring = torch.arange(5)
        places = torch.stack([ring, (ring + 1) % 5])
        self.register_buffer("adjacency", torch.sparse_coo_tensor(places, torch.full((5,), 0.5), (5, 5)).coalesce())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(torch.sparse.mm(self.adjacency, self.first(x))))


class Rectified(Small):
    """Answers with a sparse tensor beside a dense one."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.logits(x)
        return y, y.relu().to_sparse()


class Layer:
    """What one layer keeps, as caches of language models do."""

    def __init__(self, keys: Tensor) -> None:
        self.keys, self.values = keys, keys * 2
        self.device, self.kind = keys.device, Layer


class Keeps(Small):
    """Answers with an object that holds tensors in its attributes, and with a number of Python's."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.logits(x)
        cache = Layer(self.first(x))
        cache.below = [Layer(y), Layer(y.relu())]
        return {"logits": y, "cache": cache, "score": float(self.first.weight.detach().square().mean())}


class Spectrum(Small):
    """Complex answers, complex128 in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(self.logits(x))


class Keywords(nn.Module):
    """Takes nothing by place."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 8), nn.Linear(4, 8)

    def forward(self, *, left: Tensor, right: Tensor) -> Tensor:
        return self.left(left) * torch.sigmoid(self.right(right))


class Gradient(Small):
    """A force: the gradient of an energy with respect to the input, taken inside forward."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False):
                return self.force(x.clone())
        return self.force(x)

    def force(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            energy = torch.tanh(self.first(x)).square().sum()
            return torch.autograd.grad(energy, x)[0]


class Half(Small):
    """Built in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.to(torch.bfloat16))


class Autocast(nn.Module):
    """float32 outside, bfloat16 inside: ten thousand times float32's noise, and no fault."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = self.last(F.relu(self.first(x)))
        return y.to(x.dtype)


def quantised() -> nn.Module:
    """Dynamic int8, one scale for a whole batch by its design."""
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4))
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})  # type: ignore[no-any-return]


class Softmax(Small):
    """Probabilities, most of them tiny."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.logits(x) * 30).softmax(-1)


class Masked(Small):
    """Minus infinity at some places, as a mask of logits has it."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        allowed = torch.tensor([True, False, True, True], device=x.device)
        return y.masked_fill(~allowed, -torch.inf)


class Counts(Small):
    """Counts its calls in train mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.logits(x)


class Passing(Small):
    """Hands its input on beside its answer."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(x), x


class Lower(nn.Module):
    """A triangular solve and a norm that is divided by: rounding grows, bits may differ between batches."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 36)

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.mix(x).unflatten(-1, (6, 6))
        product = matrix @ matrix.transpose(1, 2) + 0.1 * torch.eye(6, dtype=x.dtype, device=x.device)
        y = (product @ x[..., None]).squeeze(-1)
        return y / (1e-3 + y.norm(dim=-1, keepdim=True))


class Memo(Small):
    """A cache by shape of what depends on the shape alone."""

    def __init__(self) -> None:
        super().__init__()
        self.memo: dict[tuple[Any, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        key = (*x.shape, x.dtype)
        if key not in self.memo:
            self.memo[key] = torch.linspace(0, 1, x.shape[-1], dtype=x.dtype, device=x.device)
        return self.logits(x * self.memo[key])


class Slow(nn.Module):
    """Large enough that several threads share one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 2048), nn.Linear(2048, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


class Detections(nn.Module):
    """A list of boxes for each image, of which there may be none."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.score, self.box = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 1, 1), nn.Conv2d(6, 4, 1)

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        hidden = F.relu(self.features(images))
        scores = self.score(hidden).flatten(1).sigmoid()
        boxes = self.box(hidden).flatten(2).transpose(1, 2)
        found = []
        for score, box in zip(scores, boxes, strict=True):
            kept = score > 0.75
            found.append({"boxes": box[kept], "scores": score[kept]})
        return found


class PadsToLongest(nn.Module):
    """As many steps as the longest of the batch has."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(5, 8, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


class Islands(nn.Module):
    """Computes in float32 where half is too coarse, and casts back: a norm, rotary angles, attention's softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 3)
        self.weight = nn.Parameter(torch.ones(8))
        self.register_buffer("inv_freq", 1.0 / 100 ** (torch.arange(0, 8, 2) / 8), persistent=False)

    def norm(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype != torch.float64 else x
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
        return (wide * (1.0 + (self.weight.double() if x.dtype == torch.float64 else self.weight.float()))).to(x.dtype)

    def angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        places = torch.arange(x.shape[1], device=x.device)[:, None].float()
        angle = places @ self.inv_freq.float()[None]
        angle = torch.cat([angle, angle], -1)
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        cos, sin = self.angles(x)
        q, k = (one * cos + torch.cat([-one[..., 4:], one[..., :4]], -1) * sin for one in (q, k))
        kind = torch.float64 if x.dtype == torch.float64 else torch.float32
        weights = F.softmax(q @ k.transpose(1, 2), -1, dtype=kind).to(q.dtype)
        return self.head(x + weights @ v)


class Switches(Small):
    """Sets modes in forward and puts them back as they were; its train() keeps one part in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(16), nn.Dropout(0.5)

    def train(self, mode: bool = True) -> Switches:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        was = self.training
        self.eval()
        y = self.norm(self.first(x))
        self.train(was)
        self.drop.train(self.training)
        return self.last(self.drop(y))


class Edges(nn.Module):
    """A graph network: a node's neighbours are among its inputs, and nothing in them is a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edge: Tensor) -> Tensor:
        source, target = edge
        heard = torch.zeros_like(x).index_add_(0, target, self.mix(x)[source])
        return self.head(torch.relu(x + heard))


class PutsBack(Small):
    """Switches grad off and on, seeds a generator of its own, and makes a buffer once, alike in every process."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        was = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        signs = torch.rand(16, generator=torch.Generator().manual_seed(3)) > 0.5
        torch.set_grad_enabled(was)
        if self.window is None:
            self.window = torch.hann_window(16, dtype=x.dtype)
        return self.last(F.relu(self.first(x)) * self.window * signs)
