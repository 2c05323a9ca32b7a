"""Many real inputs: samples out of files, read when they are wanted, a few of them held at a time.

Owns how files become samples: one file is one, or has many (a list of dicts or tuples, a first dimension that counts
them). What a sample means to forward is said by whoever asks for one.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from workbench.protocol.failures import error
from workbench.worker.bench.input_files import InputFile, read
from workbench.worker.bench.sampling import map_tensors, tensors_in

_HELD = 4
"""Files whose content is held."""


@dataclass(frozen=True)
class _Place:
    """Where one sample lies."""

    file: InputFile
    number: int
    """Which of its file's samples."""
    several: bool
    """Its file holds more."""


class Samples:
    """A sequence of calls of forward; each is a dict by name, a list by place, or one tensor."""

    def __init__(self, files: list[InputFile]) -> None:
        """Raises `WorkbenchError` ("inputs", "memory") for a file that must be read to be counted, and does not load.

        The first of many .pt or .json files tells whether each of them is one sample, or holds several.
        """
        self._held: OrderedDict[InputFile, _Content] = OrderedDict()
        self._places: list[_Place] = []
        single: set[str] = set()
        for file in files:
            suffix = os.path.splitext(file.path)[1].lower()
            one = not file.split and (suffix in single or suffix not in (".pt", ".pth", ".json"))
            count = 1 if one else self._content(file).count
            if not file.split and count == 1:
                single.add(suffix)
            self._places += [_Place(file, number, count > 1) for number in range(count)]
        if not self._places:
            raise error("inputs", "The files of --inputs hold no sample.", "--inputs", "Give others.")
        names = [os.path.basename(file.path) for file in files]
        source = names[0] if len(files) == 1 else f"{len(files)} files, {names[0]} to {names[-1]}"
        self.words = f"{len(self)} sample{'s' if len(self) > 1 else ''} from {source}"
        """ "500 samples from digits.npy"."""

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Any:
        """Sample `number`. Raises `WorkbenchError` ("inputs", "memory") when its file does not load."""
        place = self._places[number]
        content = self._content(place.file)
        if content.count > 1 and not place.several:
            message = f"{place.file.path} holds {content.count} samples, and the files before it one each."
            raise error("inputs", message, "--inputs", "Keep files of one sample and files of several apart.")
        return content.at(place.number)

    def origin(self, number: int) -> str:
        """ "from digits.npy", with its number where the file has several."""
        place = self._places[number]
        return f"from {os.path.basename(place.file.path)}" + (f" #{place.number}" if place.several else "")

    def _content(self, file: InputFile) -> _Content:
        if file in self._held:
            self._held.move_to_end(file)
            return self._held[file]
        self._held[file] = _Content(read(file), file)
        while len(self._held) > _HELD:
            self._held.popitem(last=False)
        return self._held[file]


class _Content:
    """What one file holds, as samples."""

    def __init__(self, value: Any, file: InputFile) -> None:
        """Raises `WorkbenchError("inputs")` for a first dimension that cannot count samples."""
        self._value, self._split, self._rows = value, file.split, file.rows
        self._listed = isinstance(value, list) and bool(value) and all(isinstance(one, (dict, tuple)) for one in value)
        self.count = len(value) if self._listed else 1
        if not file.split:
            return
        if self._listed:
            raise error("inputs", f"{file.path} is a list of samples already.", "--inputs", f"Leave out #{file.split}.")
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in tensors_in(value)}
        if len(sizes) != 1 or 0 in sizes:
            message = f"The tensors in {file.path} have no common first dimension that could count {file.split}."
            raise error("inputs", message, "--inputs", f"Leave out #{file.split}, or stack them all alike.")
        (total,) = sizes
        self.count = total if file.split == "samples" else -(-total // file.rows)

    def at(self, number: int) -> Any:
        """Sample `number`; its tensors may be views."""
        if self._listed:
            return self._value[number]
        if self._split == "samples":
            return map_tensors(self._value, lambda tensor: tensor[number])
        if self._split == "rows":
            return map_tensors(self._value, lambda tensor: tensor[number * self._rows : (number + 1) * self._rows])
        return self._value
