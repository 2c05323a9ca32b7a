"""Pictures as inputs: float32[1,3,height,width] from 0 to 1, resized and normalised where that was asked for.

Owns the one use of pillow, which is an extra: the worker runs without it.
"""

from __future__ import annotations

import os

import torch

from workbench.protocol.failures import error

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as torchvision.transforms.presets.ImageClassification has them."""
_MOST_PIXELS = 200_000_000
_FREE_PIXELS = 16_000_000
_PIXELS_A_BYTE = 1000
"""Beyond `_FREE_PIXELS` a picture may claim so many for each byte of its file; one of a single colour has about as many
in deflate (1,032 to 1) with a channel a pixel."""


def load_image(path: str, size: tuple[int, int] | None, imagenet: bool) -> torch.Tensor:
    """The picture as RGB, float32[1,3,height,width].

    size: (height, width) that its shorter side is scaled to, the rest being cut off around the middle. imagenet: mean
    and deviation of ImageNet are taken out. Raises `WorkbenchError("inputs")` without pillow, OSError and ValueError
    for what is no picture.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as problem:
        message = f"{path} is a picture, and pillow, which reads them, is not installed where the worker runs."
        raise error(
            "inputs", message, path, "pip install 'pytorch-workbench[image]', or pip install pillow"
        ) from problem
    with Image.open(path) as opened:
        pixels, size_in_bytes = opened.width * opened.height, os.path.getsize(path)
        if pixels > min(_MOST_PIXELS, max(_FREE_PIXELS, _PIXELS_A_BYTE * size_in_bytes)):
            raise ValueError(f"it claims {opened.width}×{opened.height} pixels in {size_in_bytes:,} bytes")
        picture = opened.convert("RGB")
    if size is not None:
        picture = ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BILINEAR)
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    made = data.view(1, picture.height, picture.width, 3).permute(0, 3, 1, 2).float() / 255
    if imagenet:
        made = (made - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)
    return made.contiguous()
