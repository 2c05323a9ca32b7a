"""Pickles that no program writes: opcodes in any order whose stack holds, as damage to bytes hardly ever makes them.

The same seed makes the same pickle. Most are of torch's own vocabulary: storages, rebuilt tensors, parameters.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile

_STORAGES = ("FloatStorage", "LongStorage", "BoolStorage", "UntypedStorage", "NoStorage")
_GLOBALS = (
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_meta_tensor_no_storage", "torch Size",
    "torch._tensor _rebuild_from_type_v2", "collections OrderedDict", "torch.nn.parameter Parameter",
    "copyreg _reconstructor", "torch.nn.modules.linear Linear", "os system", "builtins set", "torch float16",
)  # fmt: skip
_KEYS = ("weight", "_parameters", "_buffers", "_modules", "module", "storage", "cpu", "0", "epoch", "args", "k" * 3000)


def made(seed: str, archive: bool) -> bytes:
    """A pickle, bare or as torch.save's archive holds one."""
    pickle = Maker(seed).pickle()
    if not archive:
        return pickle
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("made/data.pkl", pickle)
        for key in ("0", "weight", "cpu"):
            file.writestr(f"made/data/{key}", bytes(64))
        file.writestr("made/version", "3\n")
    return stream.getvalue()


class Maker:
    """Writes opcodes, and knows how many values lie on the stack above each mark."""

    def __init__(self, seed: str) -> None:
        self._dice = random.Random(seed)
        self._out = bytearray()
        self._memo = 0

    def pickle(self) -> bytes:
        protocol = self._dice.choice((2, 2, 4, 5))
        self._out += b"\x80" + bytes([protocol])
        self._emit(b"}")
        for _ in range(self._dice.randrange(1, 8)):
            self._value(0)
            self._value(0)
            self._emit(b"s")
        self._emit(self._dice.choice((b".", b".", b".", b"0N.", b"")))
        return bytes(self._out)

    def _emit(self, *parts: bytes) -> None:
        for part in parts:
            self._out += part

    def _value(self, depth: int) -> None:
        """Leaves one value more on the stack."""
        ways = (self._plain, self._key, self._plain, self._again)
        deeper = (
            self._tuple,
            self._dict,
            self._list,
            self._tensor,
            self._call,
            self._state,
            self._stacked,
            self._tower,
        )
        self._dice.choice(ways if depth > 5 else ways + deeper)(depth + 1)
        if self._dice.random() < 0.3:
            self._emit(b"r" + struct.pack("<I", self._memo))
            self._memo += 1

    def _plain(self, depth: int) -> None:
        integer = self._dice.choice((0, 1, 4, 16, 2**31 - 1, 2**61, 2**63 - 1, -1, -(2**62), 2**400))
        raw = integer.to_bytes(integer.bit_length() // 8 + 1, "little", signed=True)
        floating = struct.pack(">d", self._dice.choice((0.0, float("nan"), 1e308)))
        long = b"\x8a" + bytes([len(raw)]) + raw
        self._emit(
            self._dice.choice((b"N", b"\x88", b")", b"]", b"}", b"K\x03", long, long, b"G" + floating, b"C\x02ab"))
        )

    def _key(self, depth: int) -> None:
        text = self._dice.choice(_KEYS).encode()
        self._emit(b"X" + struct.pack("<I", len(text)) + text)

    def _again(self, depth: int) -> None:
        """Something that was there before, also what it stands in itself."""
        if not self._memo:
            self._plain(depth)
            return
        self._emit(b"j" + struct.pack("<I", self._dice.randrange(self._memo)))

    def _tuple(self, depth: int) -> None:
        count = self._dice.randrange(4)
        self._emit(b"(")
        for _ in range(count):
            self._value(depth)
        self._emit(b"t")

    def _dict(self, depth: int) -> None:
        self._emit(b"}(")
        for _ in range(2 * self._dice.randrange(4)):
            self._value(depth)
        self._emit(b"u")

    def _list(self, depth: int) -> None:
        self._emit(b"](")
        for _ in range(self._dice.choice((0, 1, 3))):
            self._value(depth)
        self._emit(b"e")

    def _tower(self, depth: int) -> None:
        """A few bytes that say much: pairs of the same, tuples in tuples, the same many times."""
        self._value(depth)
        times = self._dice.choice((3, 40, 300, 3000))
        self._emit(self._dice.choice((b"2\x86", b"\x85", b"\x85")) * times)

    def _global(self) -> None:
        module, name = self._dice.choice(_GLOBALS).split()
        self._emit(f"c{module}\n{name}\n".encode())

    def _stacked(self, depth: int) -> None:
        self._value(depth)
        self._value(depth)
        self._emit(b"\x93")

    def _call(self, depth: int) -> None:
        self._global()
        self._dice.choice((self._tuple, self._value))(depth)
        self._emit(self._dice.choice((b"R", b"R", b"\x81")))

    def _state(self, depth: int) -> None:
        self._call(depth)
        self._value(depth)
        self._emit(b"b")

    def _storage(self, depth: int) -> None:
        self._emit(b"(")
        self._emit(b"X\x07\0\0\0storage", f"ctorch\n{self._dice.choice(_STORAGES)}\n".encode())
        self._dice.choice((self._key, self._key, self._value))(depth)
        self._key(depth)
        self._dice.choice((self._plain, self._value))(depth)
        self._emit(b"tQ")

    def _tensor(self, depth: int) -> None:
        """A call that rebuilds a tensor, any part of which may be something else."""
        self._emit(f"ctorch._utils\n_rebuild_tensor_v{self._dice.choice((2, 2, 3))}\n(".encode())
        self._dice.choice((self._storage, self._storage, self._value))(depth)
        self._dice.choice((self._plain, self._value))(depth)
        for _ in range(2):
            self._sizes(depth)
        for _ in range(self._dice.randrange(4)):
            self._value(depth)
        self._emit(b"tR")

    def _sizes(self, depth: int) -> None:
        if self._dice.random() < 0.2:
            self._value(depth)
            return
        self._emit(b"(", b"K\x02" * self._dice.choice((0, 1, 2, 2, 100, 20_000)), b"t")
