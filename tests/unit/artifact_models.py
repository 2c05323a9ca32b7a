"""Small models that the tests of artifacts export by `artifact_models.py:Name`, one habit each."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Pair = namedtuple("Pair", "first second")


class Net(nn.Module):
    """Linear, batch norm, dropout: everything that train mode changes."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.fc1 = nn.Linear(5, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(torch.relu(self.norm(self.fc1(x)))))


class Image(nn.Module):
    """Looks at an image of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.nn.functional.gelu(self.conv(x)).mean((2, 3)))


class Branch(nn.Module):
    """Takes one side or the other, by the sign of its input."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


class Loop(nn.Module):
    """Counts its rows in Python: a trace bakes the number without a warning."""

    def forward(self, x: Tensor) -> Tensor:
        total = x
        for row in range(x.size(0)):
            total = total + row
        return total


class Fixed(nn.Module):
    """Its code knows one batch size only, and eager runs others all the same."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 4:
            return x + 1
        return x + 2


class Tied(nn.Module):
    """Its head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


@dataclass
class Answer:
    logits: Tensor
    extra: tuple[Tensor | None, ...]
    count: int


class Classy(nn.Module):
    """Answers with a class of its own, and takes an argument by name only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 2)

    def forward(self, x: Tensor, *, factor: Tensor) -> Answer:
        return Answer(self.fc(x) * factor, (None, x.sum(1)), 3)


class Two(nn.Module):
    """Two outputs of one shape."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"plus": x + 1, "times": x * 3}


class Noisy(nn.Module):
    """Draws random numbers whatever its mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Counting(nn.Module):
    """Answers differently each time, without any generator."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Rooted(nn.Module):
    """Eager itself gives NaN for negative inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)


class Nested(nn.Module):
    """Takes a dict of tensors."""

    def forward(self, features: dict[str, Any]) -> Tensor:
        return features["a"] + features["b"][0]


class Cloud(nn.Module):
    """Its dropout does not listen to eval()."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class OwnStatistics(nn.Module):
    """A batch norm without running statistics: the batch's own are what eval uses too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Scalars(nn.Module):
    """One sequence length that may vary beside the batch."""

    def forward(self, ids: Tensor) -> Tensor:
        return ids.float().mean(1)


class Silent(nn.Module):
    """Answers with nothing that could be exported."""

    def forward(self, x: Tensor) -> str:
        return str(x.shape)


class Calls(nn.Module):
    """Counts its calls in a buffer, in place; no answer depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.fc(x)


class CallsAnew(Calls):
    """The same with a new tensor at each call."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return self.fc(x)


class Keys(nn.Module):
    """Answers with a dict whose keys depend on the number of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        answer = {"y": self.fc(x)}
        if x.shape[0] < 3:
            answer["small"] = self.fc(x) * 2
        return answer


class Collide(nn.Module):
    """Answers with a dataclass in which two tensors come to one plain name."""

    def forward(self, x: Tensor) -> Any:
        return Answer(x + 1, ({"a.b": x + 2, "a": {"b": x * 3}},), 3)  # type: ignore[arg-type]


class Writes(nn.Module):
    """Doubles its input in place after it has answered."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        x.mul_(2)
        return y


class Reads(nn.Module):
    """Answers as Writes does and leaves its input alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Masked(nn.Module):
    """Answers -inf wherever its input is negative, as a mask over logits does."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, float("-inf"), torch.sin(x) * 3)


class Barren(nn.Module):
    """Answers NaN, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * float("nan")


class TimeFirst(nn.Module):
    """A recurrent layer over [time, batch, features], beside a table that has no rows."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 3)

    def forward(self, table: Tensor, x: Tensor) -> Tensor:
        return self.gru(x)[0] * table.sum()


class Affine(nn.Module):
    """One layer and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class ReadsMemory(Affine):
    """The same answer, as long as its input is contiguous."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.as_strided(x, x.shape, (5, 1)))


class HidesNan(Affine):
    """The same answer, except that a NaN does not come through."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.nan_to_num(x))


class Flattened(Affine):
    """Eager itself wants contiguous memory."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.view(-1).view(-1, 5))


class Steps(nn.Module):
    """Two dynamic dimensions beside the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2))


class Pooled(nn.Module):
    """A mean over many numbers that are almost alike, whose order of summing shows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * 0.01 + 1.37).mean((2, 3)) * 3


class Lists(nn.Module):
    """Takes two lists of tensors."""

    def forward(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        return a[0].mul(2) + b[0]


def training(**changes: Any) -> dict[str, Any]:
    """A training checkpoint: a model, an averaged copy of it, and an optimizer that has stepped."""
    state, ema = ({"fc.weight": torch.full((3, 2), value)} for value in (1.0, 2.0))
    moments = {0: {"step": torch.tensor(5.0), "exp_avg": torch.full((3, 2), 3.0)}}
    optimizer = {"state": moments, "param_groups": [{"lr": 0.001, "betas": (0.9, 0.999), "params": [0]}]}
    return {
        "epoch": 7,
        "args": {"width": 8, "name": "small"},
        "model": state,
        "ema": ema,
        "optimizer": optimizer,
    } | changes


class AnyName(nn.Module):
    """Takes what it is given by name, as a wrapper of another model does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor, **more: torch.Tensor) -> Answer:
        return Answer(self.fc(x) * more["scale"], (x.sum(-1),), 2)


class AnyNameAlone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.fc(inputs["x"]) * inputs["scale"]
