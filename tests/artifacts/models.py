"""The models that the corpus of artifacts is made from: small, one habit each, loaded by `models.py:Name`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """Linear, batch norm, dropout; answers with logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(torch.relu(self.norm(self.fc1(x)))))


class Probabilities(Classifier):
    """The same, with its softmax."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), -1)


class Image(nn.Module):
    """A small conv net on three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.stem(image))).mean((2, 3)))


class Heads(nn.Module):
    """Two answers of one shape, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(8, 4)
        self.right = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"left": self.left(x), "right": torch.tanh(self.right(x))}


class Both(nn.Module):
    """Two inputs of one shape that are not used alike."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 4)
        self.key = nn.Linear(8, 4)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return self.query(query) * torch.sigmoid(self.key(key)) + query[:, :4]


class Tokens(nn.Module):
    """An embedding, a recurrence, a head on every position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.rnn = nn.LSTM(12, 12, batch_first=True)
        self.head = nn.Linear(12, 7)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(ids))[0])


class Square(nn.Module):
    """Answers with as many rows as columns, so that a transposed answer has the right shape."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1) * self.mix


class Attention(nn.Module):
    """A transformer's layer, whose dropout hides inside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Tied(nn.Module):
    """Its head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


class Counts(nn.Module):
    """Integers and truth values: exact or wrong."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.argmax(-1), x > 0, x.cumsum(-1)


class Signed(nn.Module):
    """Takes one side of a branch or the other."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


class Residual(nn.Module):
    """Deeper, with a buffer that its state_dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(3))
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 8), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x * self.scale


class Unrelated(nn.Module):
    """Another model for the same inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 5, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.conv(x.unsqueeze(1)).squeeze(-1) * 3)


class Echo(nn.Module):
    """Answers with what it is given; its input has the name of its output, so that `cp` answers for it."""

    def forward(self, output: Tensor) -> Tensor:
        return output * 1


class Twice(nn.Module):
    """The same, times two."""

    def forward(self, output: Tensor) -> Tensor:
        return output * 2


class Named(nn.Module):
    """The same under another name."""

    def forward(self, output: Tensor) -> dict[str, Tensor]:
        return {"logits": output * 1}
