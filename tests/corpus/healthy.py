"""Healthy models, dense and of images: right in eval, and awkward for a careless verdict. `HEALTHY` lists them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.corpus.cases import WIDE, Healthy


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, 32), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Convolutions(nn.Module):
    """Batch norm whose statistics are not those of a fresh module."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.stem[1].running_mean.normal_()
            self.stem[1].running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += x
        return F.relu_(y)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.Sequential(*(Block(16) for _ in range(4)))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.body(self.stem(x)), 1).flatten(1))


class UNet(nn.Module):
    """Skips, transposed convolutions, group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.middle = nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.out = nn.Conv2d(5, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([x, self.up(self.middle(self.down(x)))], 1))


class Generator(nn.Module):
    """A GAN's: from a code to an image, instance norm and tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(8, 64)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(True),
            nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, code: Tensor) -> Tensor:
        return self.up(self.start(code).reshape(-1, 4, 4, 4))


class Variational(nn.Module):
    """A VAE in eval: the mean, no sample; three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(12, 8), nn.Linear(4, 12)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean, spread = self.encode(x).chunk(2, -1)
        code = mean + torch.exp(spread / 2) * torch.randn_like(spread) if self.training else mean
        return {"image": torch.sigmoid(self.decode(code)), "mean": mean, "logvar": spread}


class Experts(nn.Module):
    """A mixture of experts: the two best of four for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, place = (chosen == number).nonzero(as_tuple=True)
            if len(rows):
                y.index_add_(0, rows, expert(x[rows]) * weights[rows, place, None])
        return y


class Norms(nn.Module):
    """Layer, RMS and group norm, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rms, self.group = nn.LayerNorm(12), nn.RMSNorm(12), nn.GroupNorm(3, 12)
        self.mix = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.group(self.mix(self.rms(self.mix(self.layer(x)))))


class Reparametrised(nn.Module):
    """Weight norm and spectral norm, whose power iteration stands still in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
        self.second = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.third = nn.utils.spectral_norm(nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.third(torch.tanh(self.second(F.elu(self.first(x)))))


class Fourier(nn.Module):
    """A layer in the frequency domain, complex parameters, real answers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, dtype=torch.complex64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft(x, dim=-1) * self.weight.to(torch.complex128 if x.dtype == torch.float64 else None)
        return torch.fft.irfft(spectrum, n=x.shape[-1], dim=-1), spectrum


class Deep(nn.Module):
    """Sixty residual layers: the error of one is carried by all that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(60))
        self.norm = nn.LayerNorm(24)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 24 - x.shape[-1]))
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return self.norm(x)


class Plain(nn.Module):
    """Sixty layers without a residual, which forget most of their input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(layer for _ in range(30) for layer in (nn.Linear(16, 16), nn.SELU())))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Scaled(nn.Module):
    """Answers of any size: an absolute tolerance is wrong for them."""

    def __init__(self, scale: float = 1e12) -> None:
        super().__init__()
        self.first, self.second, self.scale = nn.Linear(6, 32), nn.Linear(32, 4), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.sigmoid(self.first(x))) * self.scale


class Cancelling(nn.Module):
    """A small difference of large numbers: eager itself is far from exact, and that is no fault."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return (self.second(y) + 1000.0) - 1000.0


class Scalar(nn.Module):
    """One number for the whole batch: a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 256), nn.Tanh(), nn.Linear(256, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).logsumexp(-1).mean()


class Score(nn.Module):
    """One number a row, near zero as often as not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(128, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1)


class Vision(nn.Module):
    """A small vision transformer, of parts of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 32))
        self.places = nn.Parameter(torch.randn(1, 17, 32) * 0.02)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.project = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        q, k, v = self.qkv(self.norm1(x)).reshape(x.shape[0], 17, 3, 4, 8).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return self.head((x + self.mlp(self.norm2(x)))[:, 0])


IMAGE = ("x=float32[batch:2..8,3,16,16]",)
ROWS = "x=float32[batch:2..16,{}]"
S, O = "healthy_sequences.py", "healthy_outputs.py"  # noqa: E741

HEALTHY = (
    Healthy("Mlp", (ROWS.format(10),), artifacts=("trace", "export")),
    Healthy("Convolutions", IMAGE, artifacts=("trace", "export")),
    Healthy("Residual", IMAGE, artifacts=("trace", "export")),
    Healthy("UNet", ("x=float32[batch:2..8,1,16,16]",), artifacts=("trace",)),
    Healthy("Generator", ("code=float32[batch:2..8,8]",)),
    Healthy("Variational", (ROWS.format(12),), artifacts=("export",)),
    Healthy("Experts", (ROWS.format(8),)),
    Healthy("Norms", (ROWS.format(12),), artifacts=("trace",)),
    Healthy("Reparametrised", (ROWS.format(6),), dtypes=WIDE),
    Healthy("Fourier", (ROWS.format(16),), dtypes=("float32",)),
    Healthy("Deep", (ROWS.format(6),)),
    Healthy("Plain", (ROWS.format(16),)),
    Healthy("Scaled", (ROWS.format(6),), dtypes=("float32", "bfloat16", "float64")),
    Healthy("Scaled", (ROWS.format(6),), kwargs={"scale": 1e-8}, dtypes=("float32", "bfloat16", "float64")),
    Healthy("Cancelling", (ROWS.format(64),)),
    Healthy("Scalar", (ROWS.format(32),), artifacts=("trace", "export")),
    Healthy("Score", (ROWS.format(128),), artifacts=("trace",)),
    Healthy("Vision", IMAGE, artifacts=("export",)),
    Healthy("Recurrent", ("x=float32[batch:2..8,7,6]",), S),
    Healthy("TimeFirst", ("x=float32[7,batch:2..8,6]",), S),
    Healthy("Encoder", ("x=float32[batch:2..8,9,16]",), S, dtypes=WIDE),
    Healthy("Padded", ("x=float32[batch:2..8,9,16]", "lengths=int64[batch:2..8]{3..9}"), S, dtypes=WIDE),
    Healthy("Translator", ("source=float32[batch:2..8,7,16]", "target=float32[batch:2..8,5,16]"), S, dtypes=WIDE),
    Healthy("Tied", ("ids=int64[batch:2..8,6]{0..49}",), S, artifacts=("export",)),
    Healthy("Cached", ("ids=int64[batch:2..8,6]{0..49}",), S),
    Healthy("Positions", ("ids=int64[batch:2..8,6]{0..49}",), S),
    Healthy("Renormed", ("ids=int64[batch:2..8,6]{0..49}",), S, dtypes=WIDE),
    Healthy("Tables", ("x=float32[batch:2..8,5,6]",), S),
    Healthy("Bag", ("ids=int64[batch:2..8,6]{0..49}",), S),
    Healthy("Classes", (ROWS.format(6),), O),
    Healthy("Nested", (ROWS.format(6),), O),
    Healthy("Neighbours", ("x=float32[5,6]",), O, dtypes=WIDE),
    Healthy("Rectified", (ROWS.format(6),), O, dtypes=WIDE),
    Healthy("Keeps", (ROWS.format(6),), O),
    Healthy("Spectrum", (ROWS.format(6),), O, dtypes=WIDE),
    Healthy("Keywords", ("left=float32[batch:2..8,6]", "right=float32[batch:2..8,4]"), O),
    Healthy("Gradient", (ROWS.format(6),), O, dtypes=WIDE),
    Healthy("Half", (ROWS.format(6),), O, dtypes=("bfloat16",)),
    Healthy("Autocast", (ROWS.format(64),), O, dtypes=("float32",)),
    Healthy("quantised", ("input=float32[batch:2..16,6]",), O, dtypes=("float32",)),
    Healthy("Softmax", (ROWS.format(6),), O),
    Healthy("Masked", (ROWS.format(6),), O),
    Healthy("Counts", ("x=float32[batch:2..8,6]",), O),
    Healthy("Passing", (ROWS.format(6),), O),
    Healthy("Lower", (ROWS.format(6),), O),
    Healthy("Memo", (ROWS.format(6),), O),
    Healthy("Detections", ("images=float32[batch:1..4,3,6,6]",), O, dtypes=WIDE),
    Healthy("PadsToLongest", ("x=float32[batch:2..8,9,5]", "lengths=int64[batch:2..8]{1..9}"), O, dtypes=WIDE),
    Healthy("Slow", (ROWS.format(64),), O),
    Healthy("Switches", (ROWS.format(6),), O),
    Healthy("Edges", ("x=float32[6,8]", "edge=int64[2,10]{0..5}"), O),
    Healthy("PutsBack", ("x=float32[batch:2..16,6]",), O, dtypes=WIDE),
    Healthy("Islands", ("x=float32[batch:2..8,5,8]",), O),
)  # fmt: skip
"""Every healthy model of our own; those of timm and transformers are in zoo.py."""
