"""Healthy models of sequences: recurrent ones with state, transformers with masks, caches, tied embeddings."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Recurrent(nn.Module):
    """LSTM, then GRU; the states are outputs too."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 12, num_layers=2, dropout=0.2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(24, 8, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        y, states = self.lstm(x)
        y, last = self.gru(y)
        return y, states, last


class TimeFirst(nn.Module):
    """Dimension 0 is time, as torch's recurrent layers take it by default."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class Encoder(nn.Module):
    """torch's encoder, which has another kernel in eval without grad."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class Padded(nn.Module):
    """The same with a padding mask, whose positions it zeroes."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(x.shape[1], device=x.device)[None] >= lengths[:, None]
        y = self.encoder(x, src_key_padding_mask=padding)
        return y.masked_fill(padding[..., None], 0.0)


class Translator(nn.Module):
    """Encoder and decoder with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        size = target.shape[1]
        mask = torch.full((size, size), -math.inf, dtype=target.dtype, device=target.device).triu(1)
        return self.body(source, target, tgt_mask=mask)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.qkv(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2)), k, v


class Tied(nn.Module):
    """A small GPT whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(50, 16), nn.Embedding(16, 16)
        self.norm, self.attend = nn.LayerNorm(16), Attention(16, 2)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        return self.head(x + self.attend(self.norm(x))[0])


class Cached(nn.Module):
    """Answers with its keys and values, for the next call to be given."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend, self.head = nn.Embedding(50, 16), Attention(16, 2), nn.Linear(16, 50)

    def forward(self, ids: Tensor) -> dict[str, object]:
        y, keys, values = self.attend(self.embed(ids))
        return {"logits": self.head(y), "cache": [(keys, values)], "steps": ids.shape[1]}


class Positions(nn.Module):
    """A table of positions that is made when it is first wanted, and kept: the same whenever it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 16), nn.Linear(16, 5)
        self._table: Tensor | None = None

    def table(self, length: int, x: Tensor) -> Tensor:
        if self._table is None or len(self._table) < length or self._table.dtype != x.dtype:
            place = torch.arange(length, dtype=torch.float64)[:, None]
            rate = torch.exp(torch.arange(0, 16, 2, dtype=torch.float64) * (-math.log(10000.0) / 16))
            table = torch.stack([torch.sin(place * rate), torch.cos(place * rate)], -1).flatten(1)
            self._table = table.to(x)
        return self._table[:length]

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        return self.head(x + self.table(ids.shape[1], x))


class Bag(nn.Module):
    """An embedding bag, and a linear head on its logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(50, 12, mode="sum"), nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return F.log_softmax(self.head(self.bag(ids)), -1)


class Renormed(nn.Module):
    """max_norm, and no row is as long: nothing is written."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 16, max_norm=1.0), nn.Linear(16, 4)
        with torch.no_grad():
            self.embed.weight.renorm_(2, 0, 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids).mean(1))


class Tables(nn.Module):
    """A table for each length, in a bounded functools.lru_cache."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) * ramp(x.shape[1], x.dtype, x.device)[:, None]


@functools.lru_cache(maxsize=8)
def ramp(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.linspace(0, 1, length, dtype=dtype, device=device)
