"""Makes the trained weights that ship with the samples: synthetic data, seeded, less than a minute on two cores.

    python sample_models/train_samples.py [FOLDER]

Writes `story.safetensors`, `cnn.safetensors` and `transformer.safetensors` beside the samples, or into FOLDER.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import cnn
import story
import torch
import transformer
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
"""Inputs, and the class wanted at each place."""


def story_batch(size: int) -> Batch:
    """Ten clouds of points, one a class, that overlap a little."""
    centres = torch.randn(story.CLASSES, story.FEATURES, generator=torch.Generator().manual_seed(7))
    labels = torch.randint(story.CLASSES, (size,))
    return centres[labels] + 0.6 * torch.randn(size, story.FEATURES), labels


def cnn_batch(size: int, side: int = 24) -> Batch:
    """Coloured gratings in noise: five directions, two widths of stripe."""
    labels = torch.randint(cnn.CLASSES, (size,))
    angle = (labels % 5).float() * math.pi / 5
    frequency = torch.where(labels < 5, 0.6, 1.2)
    along, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    turned = angle.cos().view(-1, 1, 1) * along + angle.sin().view(-1, 1, 1) * across  # [size, side, side]
    phase = 2 * math.pi * torch.rand(size, 1, 1)
    stripes = torch.sin(frequency.view(-1, 1, 1) * turned + phase)
    colour = torch.rand(size, 3, 1, 1) + 0.5
    return colour * stripes.unsqueeze(1) + 0.5 * torch.randn(size, 3, side, side), labels


def transformer_batch(size: int, length: int = 16) -> Batch:
    """Sequences that count upwards in steps of one to four; the next token is wanted at each place."""
    start = torch.randint(transformer.VOCABULARY, (size, 1))
    step = torch.randint(1, 5, (size, 1))
    tokens = (start + step * torch.arange(length + 1)) % transformer.VOCABULARY
    return tokens[:, :-1], tokens[:, 1:]


def train(model: nn.Module, batch: Callable[[int], Batch], steps: int, size: int) -> float:
    """Train in place with Adam; returns the share of places that a last batch gets right in eval."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=steps)
    model.train()
    for _ in range(steps):
        inputs, wanted = batch(size)
        loss = nn.functional.cross_entropy(logits(model, inputs).flatten(0, -2), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    model.eval()
    with torch.no_grad():
        inputs, wanted = batch(256)
        return (logits(model, inputs).argmax(-1) == wanted).float().mean().item()


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    output = model(inputs)
    return output["logits"] if isinstance(output, dict) else output


def save(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state_dict as .safetensors: eight bytes of length, a JSON header, the tensors one after another."""
    names = {torch.float32: "F32", torch.int64: "I64"}
    header: dict[str, object] = {}
    blocks: list[bytes] = []
    end = 0
    for name, tensor in state.items():
        block = tensor.detach().cpu().contiguous()
        size = block.numel() * block.element_size()
        blocks.append(ctypes.string_at(block.data_ptr(), size))
        header[name] = {"dtype": names[block.dtype], "shape": list(block.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


SAMPLES: tuple[tuple[str, type[nn.Module], Callable[[int], Batch], int, int], ...] = (
    ("story", story.Net, story_batch, 600, 128),
    ("cnn", cnn.Cnn, cnn_batch, 150, 32),
    ("transformer", transformer.TinyTransformer, transformer_batch, 500, 64),
)
"""Name of the file, the class, its data, training steps, batch size."""


def main(folder: Path) -> None:
    for name, kind, batch, steps, size in SAMPLES:
        torch.manual_seed(0)
        model = kind()
        share = train(model, batch, steps, size)
        path = folder / f"{name}.safetensors"
        save(path, model.state_dict())
        print(f"{path.name}: {share:.1%} right, {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
