"""A tiny transformer: token ids in, a dict of tensors out.

    workbench sample_models/transformer.py:TinyTransformer --weights sample_models/transformer.safetensors

Each output leaf is compared by its path (`output['logits']`, `output['hidden']`). PyTorch's encoder layer
takes another kernel when no graph is needed, so grad against no_grad is within the noise, not identical.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VOCABULARY = 32
LONGEST = 64


class TinyTransformer(nn.Module):
    """Predicts the next token: embedding, causal encoder layers, a linear head."""

    def __init__(self, width: int = 32, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        length = ids.shape[1]
        place = torch.arange(length, device=ids.device)
        later = torch.triu(torch.ones(length, length, dtype=torch.bool, device=ids.device), diagonal=1)
        hidden = self.embed(ids) + self.position(place)  # [batch, length] -> [batch, length, width]
        hidden = self.encoder(hidden, mask=later, is_causal=True)
        return {"logits": self.head(hidden), "hidden": hidden}  # logits: [batch, length, vocabulary]


def example_inputs() -> dict[str, Tensor]:
    """Two sequences that hold every token once."""
    return {"ids": torch.randperm(VOCABULARY).reshape(2, VOCABULARY // 2)}
