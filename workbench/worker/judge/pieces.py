"""Owns what a tensor is made of: the plain strided tensors that hold everything that it says.

Carried into a bundle's verify.py: standard library and torch only. It reads and never judges. A sparse tensor is its
indices and stored values, a quantised one its integers with scale and zero point, a nested one its components; on the
meta device there is nothing that could be read.
"""

from __future__ import annotations

import contextlib

import torch

_PIECES_ROWS = {torch.sparse_csr: "crow", torch.sparse_bsr: "crow", torch.sparse_csc: "ccol", torch.sparse_bsc: "ccol"}


def is_plain_tensor(tensor: torch.Tensor) -> bool:
    """Whether its elements lie in memory as they are: strided, neither quantised nor nested, and not on meta."""
    return tensor.layout is torch.strided and not (tensor.is_quantized or tensor.is_nested or tensor.is_meta)


def pieces(tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Name and tensor of every part, plain and detached; ("", itself) for a plain one; none for what holds no values.

    Two tensors of one dtype, layout and shape are the same bits when their pieces are. Duplicates in a sparse COO
    tensor are summed first, but in a dtype that has no kernel for that.
    """
    tensor = tensor.detach()
    if tensor.is_meta:
        return []
    if tensor.is_nested:
        return [(f"[{place}]", part) for place, part in enumerate(tensor.unbind())]
    if tensor.is_quantized:
        return [("integers", tensor.int_repr()), *quantiser(tensor)]
    if tensor.layout is torch.strided:
        return [("", tensor)]
    if tensor.layout is torch.sparse_coo:
        with contextlib.suppress(RuntimeError, NotImplementedError):  # else as they lie there
            tensor = tensor.coalesce()
        return [("indices", tensor._indices()), ("values", tensor._values())]
    if tensor.layout is torch._mkldnn:  # type: ignore[attr-defined]
        return [("values", tensor.to_dense())]
    rows = _PIECES_ROWS.get(tensor.layout)
    if rows == "crow":
        return [("rows", tensor.crow_indices()), ("columns", tensor.col_indices()), ("values", tensor.values())]
    if rows == "ccol":
        return [("columns", tensor.ccol_indices()), ("rows", tensor.row_indices()), ("values", tensor.values())]
    return []


def quantiser(tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """What the integers of a quantised tensor mean: scale and zero point, and their axis where each channel has its
    own; float64 and int64."""
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        scale, zero = torch.tensor(tensor.q_scale(), dtype=torch.float64), torch.tensor(tensor.q_zero_point())
        return [("scale", scale), ("zero point", zero)]
    scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return [("scale", scales), ("zero point", zeros), ("axis", torch.tensor(tensor.q_per_channel_axis()))]


def shape_of(tensor: torch.Tensor) -> tuple[int, ...] | str:
    """Its shape; in words for a nested one, which has one for each component."""
    if not tensor.is_nested:
        return tuple(tensor.shape)
    return f"nested {[list(part.shape) for part in tensor.unbind()]}"


def bytes_of(tensor: torch.Tensor) -> int:
    """Bytes that it holds, indices included; of an expanded tensor those of all elements; 0 where nobody can say."""
    if tensor.layout is torch.sparse_coo:  # as they lie there, for to coalesce would copy them
        parts = [tensor.detach()._indices(), tensor.detach()._values()]
        return sum(part.nbytes for part in parts)
    if tensor.layout is torch.strided or tensor.is_nested:
        return int(tensor.numel() * tensor.element_size())
    return sum(part.nbytes for _, part in pieces(tensor))
