"""torch's switches: what each is, and each put back. A forward that flips one changes every model after it.

Never runs a model. Grad mode and inference mode are of one thread, and whoever runs a forward inside a context gives
them back by that: look at them inside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class _Switch:
    name: str
    """As a person would say it, and as `mutates` names it: "torch.default_dtype"."""
    get: Callable[[], Any]
    set: Callable[[Any], Any]


class Switches:
    """Where every switch stands at one moment, or with `of_thread` those of this thread alone."""

    def __init__(self, of_thread: bool = False) -> None:
        self._all = _OF_THREAD if of_thread else _SWITCHES
        self._before = [_read(one) for one in self._all]

    def moved(self) -> list[tuple[str, str]]:
        """(name, "highest → high") of every switch that stands otherwise now."""
        now = ((one, _read(one)) for one in self._all)
        pairs = zip(now, self._before)  # noqa: B905 (one table)
        return [(one.name, f"{_word(old)} → {_word(new)}") for (one, new), old in pairs if new != old]

    def put(self) -> None:
        """Set back what stands otherwise, and nothing else: some setters import the whole compiler, seconds of it."""
        for _ in range(PASSES):
            pairs = zip(self._all, self._before)  # noqa: B905 (one table)
            wrong = [(one, old) for one, old in pairs if old != _MIXED and _read(one) != old]
            if not wrong:
                return
            for one, old in wrong:
                one.set(old)


PASSES = 3
"""A precision has an older and a newer switch, and setting one may move the other: so often all are looked at."""

_MIXED = "mixed"
"""What an older switch says where the newer ones contradict it: torch refuses to answer then."""


def _read(one: _Switch) -> Any:
    try:
        return one.get()
    except RuntimeError:
        return _MIXED


def _word(value: Any) -> str:
    words = {True: "on", False: "off"}
    return words[value] if isinstance(value, bool) else str(value).removeprefix("torch.")


def _deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn" if torch.is_deterministic_algorithms_warn_only_enabled() else "on"


def _set_deterministic(mode: str) -> None:
    torch.use_deterministic_algorithms(mode != "off", warn_only=mode == "warn")


def _anomaly() -> str:
    if not torch.is_anomaly_enabled():
        return "off"
    return "on" if torch.is_anomaly_check_nan_enabled() else "on without NaN"


def _set_anomaly(mode: str) -> None:
    torch.set_anomaly_enabled(mode != "off", mode != "on without NaN")


def _default_device() -> Any:
    """None: nobody set one. `torch.get_default_device()` says "cpu" then, where nothing is in the way of every call."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _mkldnn(enabled: bool) -> None:
    torch._C._set_mkldnn_enabled(enabled)  # `torch.backends.mkldnn.enabled = …` is refused once flags are frozen


def _autocast(device: str) -> Iterator[_Switch]:
    yield _Switch(
        f"torch.autocast({device!r})",
        lambda: torch.is_autocast_enabled(device),
        lambda value: torch.set_autocast_enabled(device, value),
    )
    yield _Switch(
        f"torch.autocast_dtype({device!r})",
        lambda: torch.get_autocast_dtype(device),
        lambda value: torch.set_autocast_dtype(device, value),
    )


def _scaled_dot_product() -> Iterator[_Switch]:
    cuda = torch.backends.cuda
    yield _Switch("torch.flash_sdp", cuda.flash_sdp_enabled, cuda.enable_flash_sdp)
    yield _Switch("torch.mem_efficient_sdp", cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp)
    yield _Switch("torch.math_sdp", cuda.math_sdp_enabled, cuda.enable_math_sdp)
    if hasattr(cuda, "cudnn_sdp_enabled"):
        yield _Switch("torch.cudnn_sdp", cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp)


def _precisions() -> Iterator[_Switch]:
    """float32's inner precision by backend and operator; 2.9 and later. Older switches come first: each sets two."""
    yield _Switch(
        "torch.float32_matmul_precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    )
    yield _Switch("torch.cuda.matmul.allow_tf32", torch._C._get_cublas_allow_tf32, torch._C._set_cublas_allow_tf32)
    yield _Switch("torch.cudnn.allow_tf32", torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32)
    get = getattr(torch._C, "_get_fp32_precision_getter", None)
    if get is None:
        return
    places = [(where, which) for where in ("cuda", "mkldnn") for which in ("all", "matmul", "conv", "rnn")]
    for where, which in [("generic", "all"), *places]:
        name = f"torch.{where}.{which}.fp32_precision"
        yield _Switch(
            name,
            lambda where=where, which=which: get(where, which),  # type: ignore[misc]
            lambda value, where=where, which=which: torch._C._set_fp32_precision_setter(where, which, value),  # type: ignore[misc]
        )


def _flag(owner: Any, name: str, attribute: str) -> _Switch:
    return _Switch(name, lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def _set_inference(enabled: bool) -> None:
    guard = torch._C._InferenceMode(enabled)
    guard.__enter__()  # type: ignore[no-untyped-call]
    _GUARDS.append(guard)  # what it set is gone with it


_GUARDS: list[Any] = []

GRAD = "torch.grad_mode"
"""Whether operators are recorded for backward."""

_OF_THREAD = (
    _Switch("torch.inference_mode", torch.is_inference_mode_enabled, _set_inference),
    _Switch(GRAD, torch.is_grad_enabled, torch.set_grad_enabled),
)

_SWITCHES = (
    *_OF_THREAD,
    _Switch("torch.num_threads", torch.get_num_threads, torch.set_num_threads),
    _Switch("torch.default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Switch("torch.default_device", _default_device, torch.set_default_device),
    *_precisions(),
    _Switch("torch.deterministic_algorithms", _deterministic, _set_deterministic),
    _Switch("torch.mha.fastpath", torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    _Switch("torch.mkldnn", torch._C._get_mkldnn_enabled, _mkldnn),
    _flag(torch.backends.cudnn, "torch.cudnn", "enabled"),
    _flag(torch.backends.cudnn, "torch.cudnn.benchmark", "benchmark"),
    _flag(torch.backends.cudnn, "torch.cudnn.deterministic", "deterministic"),
    *_autocast("cpu"),
    *_autocast("cuda"),
    _Switch("torch.autocast_cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    _Switch("torch.anomaly_mode", _anomaly, _set_anomaly),
    *_scaled_dot_product(),
)

SWITCH_NAMES = tuple(one.name for one in _SWITCHES)
"""As `mutates` may name them."""


def standing(names: Iterable[str]) -> tuple[Any, ...]:
    """Where these switches stand now."""
    return tuple(_read(one) for one in _SWITCHES if one.name in names)
