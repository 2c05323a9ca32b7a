"""Real samples out of files: every format, many at once, and what is wrong with a file said in words."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import nn

from tests.unit import bench_models
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import Recipe
from workbench.tui.screens.arguments import parse_inputs
from workbench.worker import tensorfile
from workbench.worker.bench.example_sources import example_from
from workbench.worker.bench.input_files import find_files
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.numpy_files import load_npy, load_npz
from workbench.worker.judge.case_inputs import case_inputs, real_seeds
from workbench.worker.judge.plan import CASES, GIVEN, plan


def example(directory: Path, *files: str, model: nn.Module | None = None, specs: tuple[str, ...] = ()) -> Example:
    recipe = Recipe("x.py:Net", inputs=specs, inputs_files=files, seed=7, directory=str(directory))
    return example_from(recipe, model or bench_models.Net())


def refused(directory: Path, *files: str, model: nn.Module | None = None) -> Failure:
    def all_of_them() -> None:
        made = example(directory, *files, model=model)
        for number in range(made.count):
            made.sample(made.seed + number)

    with pytest.raises(WorkbenchError) as caught:
        all_of_them()
    assert caught.value.failure.kind == "inputs"
    assert caught.value.failure.remedy
    return caught.value.failure


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(12, dtype="<f4").reshape(3, 4),
        numpy.arange(12, dtype=">f8").reshape(3, 4),
        numpy.asfortranarray(numpy.arange(24, dtype="<i8").reshape(2, 3, 4)),
        numpy.array([1 + 2j, 3 - 1j], dtype=">c16"),
        numpy.array([True, False]),
        numpy.arange(5, dtype="u1"),
        numpy.array([65535, 0], dtype="<u2"),
        numpy.array([2**32 - 1], dtype=">u4"),
        numpy.float32(3.5),
        numpy.zeros((0, 3), dtype="f2"),
    ],
)
def test_numpys_arrays_are_read_without_numpy(tmp_path: Path, array: Any) -> None:
    numpy.save(tmp_path / "x.npy", array)
    numpy.savez_compressed(tmp_path / "x.npz", x=array)
    for made in (load_npy(str(tmp_path / "x.npy")), load_npz(str(tmp_path / "x.npz"))["x"]):
        assert made.shape == array.shape
        assert made.tolist() == array.tolist()
        assert made.is_contiguous()


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin"),
        (b"\x93NUMPY\x01\x00", "unpack"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x" * 9), "objects"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", b"x" * 9), "records"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,), }"), "claims 39999999996 bytes"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "header does not read"),
        (npy("{'descr': '<f4', 'shape': (1,)}"), "header does not read"),
        (npy("__import__('os').system('false')"), "header does not read"),
        (npy("{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", b"x" * 16), "no dtype"),
        (npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", b"x" * 16), "no dtype"),
    ],
)
def test_a_npy_file_that_lies(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert words in refused(tmp_path, "x.npy").message


def test_an_archive_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999,), }", b"\0" * 64))
    assert "claims 399996 bytes" in refused(tmp_path, "x.npz").message


def test_every_truncation_of_a_npy_file_is_refused(tmp_path: Path) -> None:
    numpy.save(tmp_path / "whole.npy", numpy.arange(20, dtype="f4").reshape(2, 10))
    whole = (tmp_path / "whole.npy").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "x.npy").write_bytes(whole[:length])
        refused(tmp_path, "x.npy")


def test_one_sample_of_every_format(tmp_path: Path) -> None:
    x = torch.randn(3, 10)
    numpy.save(tmp_path / "x.npy", x.numpy())
    numpy.savez(tmp_path / "named.npz", x=x.numpy())
    numpy.savez(tmp_path / "placed.npz", x.numpy())
    torch.save({"x": x}, tmp_path / "x.pt")
    torch.save(x, tmp_path / "bare.pt")
    tensorfile.save(str(tmp_path / "x.safetensors"), {"x": x})
    (tmp_path / "x.json").write_text(json.dumps({"x": x.tolist()}))
    for name in ("x.npy", "named.npz", "placed.npz", "x.pt", "bare.pt", "x.safetensors", "x.json"):
        made = example(tmp_path, name)
        assert torch.equal(made.sample(7)[0][0], x), name
        assert (made.count, made.words, made.infos[0].origin) == (1, "", f"from {name}")
        assert made.infos[0].spec == "x=float32[3,10]"


def test_pictures(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        Image.new("RGB", (6, 4), (255, number, 0)).save(tmp_path / f"p{number}.png")
    Image.new("L", (4, 8), 51).save(tmp_path / "p3.jpg")
    (tmp_path / "notes.txt").write_text("not an input")
    made = example(tmp_path, ".#size:4", model=nn.Sequential(nn.Conv2d(3, 2, 3)))
    seen = [made.sample(7 + number)[0][0] for number in range(made.count)]
    assert {one.shape for one in seen} == {(1, 3, 4, 4)}
    order = [round(float(one[0, 1, 0, 0] * 255)) for one in seen]
    assert order == [1, 2, 51, 10], "x2 comes before x10"
    assert made.words.startswith("4 samples from 4 files, p1.png to p10.png")
    tall = example(tmp_path, "p1.png#size:8x6,imagenet", model=nn.Conv2d(3, 2, 3)).sample(7)[0][0]
    assert tall.shape == (1, 3, 8, 6)
    assert tall[0, 0, 0, 0] == pytest.approx((1 - 0.485) / 0.229)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    assert "broken.png" in refused(tmp_path, "broken.png").message
    Image.new("RGB", (6, 4)).save(tmp_path / "lies.bmp")
    lies = bytearray((tmp_path / "lies.bmp").read_bytes())
    lies[18:26] = (9_000).to_bytes(4, "little") * 2
    (tmp_path / "lies.bmp").write_bytes(lies)
    assert "claims 9000×9000 pixels in 134 bytes" in refused(tmp_path, "lies.bmp").message


def test_a_first_dimension_counts_samples_or_rows_when_it_is_said_so(tmp_path: Path) -> None:
    x = torch.randn(500, 4, 10)
    numpy.save(tmp_path / "x.npy", x.numpy())
    made = example(tmp_path, "x.npy#samples")
    assert (made.count, made.batch) == (500, 4)
    assert made.words.startswith("500 samples from x.npy")
    assert torch.equal(made.sample(7 + 499)[0][0], x[499])
    varied = made.sample(7 + 500)[0][0]
    assert not torch.equal(varied, x[0])
    assert torch.allclose(varied.sort(0)[0], x[0].sort(0)[0], atol=1), "beyond the last they are varied"
    numpy.save(tmp_path / "flat.npy", x.reshape(2000, 10).numpy())
    rows = example(tmp_path, "flat.npy#rows:8")
    assert (rows.count, rows.sample(7 + 1)[0][0].shape) == (250, (8, 10))
    assert example(tmp_path, "flat.npy#rows").count == 2000
    assert example(tmp_path, "flat.npy").count == 1
    torch.save({"left": torch.ones(3, 2), "right": torch.ones(4, 2)}, tmp_path / "uneven.pt")
    assert "common first" in refused(tmp_path, "uneven.pt#rows", model=bench_models.Opaque()).message
    assert "stands pages" in refused(tmp_path, "x.npy#pages").message


def test_a_file_whose_name_has_a_sign_of_its_own(tmp_path: Path) -> None:
    torch.save(torch.ones(2, 10), tmp_path / "x#1.pt")
    assert example(tmp_path, "x#1.pt").sample(7)[0][0].shape == (2, 10)


def test_lists_of_samples_several_files_and_directories(tmp_path: Path) -> None:
    torch.save([{"x": torch.full((2, 10), float(n))} for n in range(3)], tmp_path / "a.pt")
    (tmp_path / "b.json").write_text(json.dumps([{"x": [[9.0] * 10]}, {"x": [[8.0] * 10]}]))
    os.mkdir(tmp_path / "more")
    for number in range(2):
        torch.save({"x": torch.full((1, 10), 20.0 + number)}, tmp_path / "more" / f"{number}.pt")
    made = example(tmp_path, "a.pt", "b.json", "more")
    assert [float(made.sample(7 + number)[0][0][0, 0]) for number in range(made.count)] == [0, 1, 2, 9, 8, 20, 21]
    assert "7 samples from 4 files" in made.words
    torch.save({"y": torch.ones(1, 10)}, tmp_path / "more" / "2.pt")
    assert "no argument 'y'" in refused(tmp_path, "more").message
    os.mkdir(tmp_path / "empty")
    assert "holds no file" in refused(tmp_path, "empty").message


def test_plain_values_and_specs_beside_files(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: Any = None, how: str = "") -> torch.Tensor:
            return x

    (tmp_path / "x.json").write_text(json.dumps([{"x": [[1, 2]], "how": "a"}, {"x": [[3, 4]], "how": "b"}]))
    made = example(tmp_path, "x.json", model=Masked(), specs=("mask=bool[2]",))
    args, kwargs = made.sample(8)
    assert (args[0].tolist(), args[0].dtype, args[2], kwargs) == ([[3, 4]], torch.int64, "b", {})
    assert args[1].dtype == torch.bool
    (tmp_path / "x.json").write_text('{"x": [[1, 2], [3]]}')
    assert "unequal" in refused(tmp_path, "x.json", model=Masked()).message


def test_real_samples_are_the_cases_that_two_sides_are_compared_on(tmp_path: Path) -> None:
    x = torch.randn(500, 4, 10)
    numpy.save(tmp_path / "x.npy", x.numpy())
    made = example(tmp_path, "x.npy#samples")
    cases = plan(7, made.batch, 1, None, 100, 0, real_seeds(made))
    real = [case for case in cases if case.kind == GIVEN]
    assert len(real) == CASES
    for place, case in enumerate(real):
        assert torch.equal(case_inputs(made, case)[0][0], x[place * 500 // CASES])
    assert len({case.seed for case in cases}) == len(cases)


def test_only_a_few_files_are_held(tmp_path: Path) -> None:
    for number in range(40):
        torch.save(torch.full((1, 10), float(number)), tmp_path / f"{number}.pt")
    made = example(tmp_path, ".")
    os.unlink(tmp_path / "39.pt")
    assert made.sample(7 + 38)[0][0][0, 0] == 38
    with pytest.raises(WorkbenchError, match=r"39\.pt do not load"):
        made.sample(7 + 39)


def test_what_is_wrong_with_a_file_of_torch_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    torch.save({"x": torch.ones(4, 10)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:300])
    torch.save({"x": Path("nowhere")}, tmp_path / "objects.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as archive,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for info in archive.infolist():
            bomb.writestr(info.filename, archive.read(info))
    torch.save({"wrong": torch.ones(4, 10)}, tmp_path / "names.pt")
    assert "empty.pt do not load: it is cut off, or empty." in refused(tmp_path, "empty.pt").message
    assert "it is cut off, or empty" in refused(tmp_path, "cut.pt").message
    assert "objects of Python" in refused(tmp_path, "objects.pt").message
    assert "weights_only" not in refused(tmp_path, "objects.pt").message
    assert "compressed archive" in refused(tmp_path, "bomb.pt").message
    wrong = refused(tmp_path, "names.pt")
    assert "The inputs from names.pt do not fit: forward has no argument 'wrong'" in wrong.message
    assert wrong.where == "--inputs"
    assert refused(tmp_path, "whle.pt").remedy.startswith("Did you mean 'whole.pt'")


def test_an_archive_of_numpy_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / "bomb.npz", *[numpy.zeros(1 << 22) for _ in range(3)])
    tracemalloc.start()
    assert "a bomb, or too much at once" in refused(tmp_path, "bomb.npz").message
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    numpy.savez_compressed(tmp_path / "zeros.npz", x=numpy.zeros((4, 10), numpy.float32))
    assert float(example(tmp_path, "zeros.npz").sample(7)[0][0].sum()) == 0
    numpy.save(tmp_path / "many.npy", numpy.zeros(1))
    data = (tmp_path / "many.npy").read_bytes()
    sizes = (b"(" + b"1," * 100 + b")").ljust(len(b"(1,)") + 200)
    changed = data.replace(b"(1,)", sizes)
    (tmp_path / "many.npy").write_bytes(changed[:8] + struct.pack("<H", len(changed) - 18) + changed[10:])
    assert "header does not read" in refused(tmp_path, "many.npy").message


def test_a_fifo_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    assert "no regular file" in refused(tmp_path, "x.npy").message
    assert "holds no file" in refused(tmp_path, ".").message


def test_the_models_own_examples_may_be_many() -> None:
    def own() -> list[dict[str, torch.Tensor]]:
        return [{"x": torch.full((2, 10), float(number))} for number in range(3)]

    made = example_from(Recipe("x.py:Net"), bench_models.Net(), own)
    assert [float(made.sample(number)[0][0][0, 0]) for number in range(3)] == [0, 1, 2]
    assert made.words.startswith("3 samples from example_inputs()")


def test_example_inputs_of_another_class_of_the_file_are_left_aside_where_there_is_another_way() -> None:
    def of_another() -> dict[str, torch.Tensor]:
        return {"a": torch.ones(2)}

    recipe = Recipe("x.py:Net")
    made = example_from(recipe, bench_models.Net(), of_another)
    assert [info.spec for info in made.infos] == ["x=float32[4,10]"]
    assert made.left.startswith(
        "The model file's example_inputs() does not fit this model: forward has no argument 'a'"
    )
    with pytest.raises(WorkbenchError, match=r"does not fit this model: .*'a'.* No input was given, and what"):
        example_from(recipe, bench_models.Opaque(), of_another)
    given = dataclasses.replace(recipe, inputs=("left=float32[4]", "right=float32[4]"))
    assert not example_from(given, bench_models.Opaque(), of_another).left, "every argument is given: nobody asks it"


def test_example_inputs_that_fail_are_an_error_unless_other_inputs_were_given() -> None:
    def fails() -> None:
        raise ValueError("no data here")

    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            return x

    with pytest.raises(WorkbenchError, match=r"example_inputs\(\) failed: ValueError: no data here") as caught:
        example_from(Recipe("x.py:Net"), bench_models.Net(), fails)
    assert caught.value.failure.where.startswith(__file__)
    made = example_from(Recipe("x.py:Net", inputs=("x=float32[3]",)), Masked(), fails)
    assert ([info.spec for info in made.infos], "no data here" in made.left) == (["x=float32[3]"], True)


def test_a_spec_without_a_name_takes_the_first_argument_and_example_inputs_the_others() -> None:
    def own() -> dict[str, torch.Tensor]:
        return {"left": torch.ones(2), "right": torch.full((2,), 7.0)}

    made = example_from(Recipe("x.py:Net", inputs=("float32[2]{zeros}",)), bench_models.Opaque(), own)
    (left, right), _ = made.sample(0)
    assert (left.tolist(), right.tolist()) == ([0, 0], [7, 7])


def test_the_field_of_the_inputs_takes_specs_and_files() -> None:
    text = 'x=float32[4,10]{normal; [0,3]=nan} photos/a=b.png mask=None data.npy#rows:8 int64[3] how="a b" samples'
    specs, files = parse_inputs(text)
    assert specs == ("x=float32[4,10]{normal; [0,3]=nan}", "mask=None", "int64[3]", 'how="a b"')
    assert files == ("photos/a=b.png", "data.npy#rows:8", "samples")


def test_files_are_found_from_the_directory_of_the_recipe(tmp_path: Path) -> None:
    torch.save(torch.ones(1), tmp_path / "x.pt")
    assert find_files(("x.pt",), str(tmp_path))[0].path == str(tmp_path / "x.pt")


def test_a_spec_counts_more_than_what_a_file_says_of_the_same_argument(tmp_path: Path) -> None:
    torch.save([{"left": torch.ones(2, 2), "right": torch.full((2, 2), 5.0)}] * 3, tmp_path / "x.pt")
    made = example(tmp_path, "x.pt", model=bench_models.Opaque(), specs=("left=float32[2,2]{zeros}",))
    args, _ = made.sample(8)
    assert (float(args[0].sum()), float(args[1].sum()), made.count) == (0, 20, 3)
    torch.save([(torch.ones(2, 2), torch.ones(2, 2))] * 3, tmp_path / "y.pt")
    placed = example(tmp_path, "y.pt", model=bench_models.Opaque(), specs=("left=float32[2,2]{zeros}",))
    assert float(placed.sample(8)[0][0].sum()) == 0
    both = ("left=float32[2,2]{zeros}", "right=float32[2,2]")
    assert example(tmp_path, "x.pt", model=bench_models.Opaque(), specs=both).count == 1
