"""One tensor and what it was at one moment: values, place, requires_grad, gradient; compared with now, and put back."""

from __future__ import annotations

import torch

from workbench.worker.judge.pieces import is_plain_tensor, pieces, shape_of


class HeldTensor:
    """One tensor and what it was."""

    def __init__(self, name: str, tensor: torch.Tensor, copy: bool) -> None:
        self.name = name
        self._tensor = tensor
        self._requires_grad = tensor.requires_grad
        self._version = _version(tensor)
        self._data = tensor.data
        """Another tensor on the same memory: keeps it from being freed, and says whether `.data` was rebound."""
        self._grad = tensor.grad if tensor.is_leaf else None
        self._grad_copy = None if self._grad is None else self._grad.detach().clone()
        self._copy = _copied(tensor) if copy else None
        self._sample = None if copy else _sampled(tensor)

    def changed(self) -> bool:
        """Whether values, dtype or shape are other than they were."""
        if not _same_place(self._tensor, self._data):
            return True
        if self._copy is None:
            return self._version != _version(self._tensor) or not self._sample_is_same()
        with torch.no_grad():
            return not _same_values(self._tensor.detach(), self._copy)

    def restore(self) -> bool:
        """Put it back; False when its old values are not known."""
        tensor = self._tensor
        if not _same_place(tensor, self._data):
            tensor.data = self._data
        known = self._copy is not None or (self._version == _version(tensor) and self._sample_is_same())
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            if self._copy is not None and not _same_values(tensor.detach(), self._copy):
                tensor.data.copy_(self._copy)
            if self._grad is not None and self._grad_copy is not None and not _same_values(self._grad, self._grad_copy):
                self._grad.copy_(self._grad_copy)
        if tensor.is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            if tensor.grad is not self._grad:
                tensor.grad = self._grad
        return known

    def _sample_is_same(self) -> bool:
        now = _sampled(self._tensor)
        return now is None or self._sample is None or _same_values(now, self._sample)


SAMPLE = 1 << 12
"""Elements of a tensor without a copy that are: what writes to `.data` moves no version."""


def _sampled(tensor: torch.Tensor) -> torch.Tensor | None:
    """A copy of some elements, evenly spread; None for what has no plain memory."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.is_contiguous():
        return None
    with torch.inference_mode(False), torch.no_grad():
        flat = tensor.detach().reshape(-1)
        return flat[:: max(1, flat.numel() // SAMPLE)].clone()


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return tensor.detach().clone()


def _same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Of one dtype, layout and shape. NaN at the same place is the same, in either part of a complex number."""
    if not is_plain_tensor(a):
        mine, others = pieces(a), pieces(b)
        pairs = zip(mine, others)  # noqa: B905 (their number is compared)
        return len(mine) == len(others) and all(x.shape == y.shape and _same_values(x, y) for (_, x), (_, y) in pairs)
    if torch.equal(a, b):
        return True
    if a.is_complex():
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    if a.element_size() == 1 and a.is_floating_point():  # isnan has no kernel for all of these
        a, b = a.to(torch.float32), b.to(torch.float32)
    return a.is_floating_point() and bool(((a == b) | (a.isnan() & b.isnan())).all())


def _same_place(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    if tensor.dtype != data.dtype or tensor.layout is not data.layout or shape_of(tensor) != shape_of(data):
        return False
    return not (is_plain_tensor(tensor) or tensor.is_quantized) or tensor.data_ptr() == data.data_ptr()


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version
