"""Equal pages of memory images against a dictionary of their bytes."""

from __future__ import annotations

import gzip
import json
import os
import random
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from drivers.image_files import elf_core
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.commands.dedup import dedup
from mmulab.mmu.errors import InputError
from mmulab.workloads import images
from mmulab.workloads.analysis.page_sharing import Sharing, measure

PAGE = 4096


def page(content: int) -> bytes:
    """Contents 0 are zeros; 1 and 2 differ in the last byte only."""
    if content == 0:
        return bytes(PAGE)
    if content in (1, 2):
        return bytes(PAGE - 1) + bytes([content])
    return random.Random(content).randbytes(PAGE)


def brute(name: str, size: int, parts: list[bytes]) -> Sharing:
    counts = Counter(parts)
    several = [n for n in counts.values() if n > 1]
    return Sharing(name, size, len(parts), counts[bytes(size)], sum(several), len(several))


def cut_into(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data) - size + 1, size)]


contents = st.lists(st.integers(0, 12), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(files=st.lists(contents, min_size=1, max_size=3), tail=st.integers(0, PAGE - 1))
def test_equals_brute_force(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[int]], tail: int
) -> None:
    directory = tmp_path_factory.mktemp("images")
    paths, data = [], []
    for number, each in enumerate(files):
        data.append(b"".join(map(page, each)))
        paths.append(str(directory / f"vm{number}"))
        Path(paths[-1]).write_bytes(data[-1] + b"x" * tail)  # less than a page: left out
    report = measure(paths, ["4k"])
    for one, held, path in zip(report.files, data, paths, strict=True):
        assert one == brute(os.path.basename(path), PAGE, cut_into(held, PAGE))
    together = brute("all", PAGE, [part for held in data for part in cut_into(held, PAGE)])
    assert report.together == (together,)
    assert sum(report.copies) == len({part for held in data for part in cut_into(held, PAGE)})


def test_large_pages(tmp_path: Path) -> None:
    large = 512 * PAGE
    one = random.Random(1).randbytes(large)
    other = random.Random(2).randbytes(large - PAGE) + one[:PAGE]
    data = one + bytes(large) + one + other + random.Random(3).randbytes(large) + one[: large // 2]
    path = tmp_path / "image"
    path.write_bytes(data)
    report = measure([str(path)])
    small, big = report.files
    assert small == brute("image", PAGE, cut_into(data, PAGE))
    assert big == brute("image", large, cut_into(data, large))
    assert big.reclaimed == 1 and small.reclaimed == 512 + 511 + 1 + 256
    # The page of zeros and the one with a borrowed part; the two equal ones need no cut.
    assert report.cut == 2


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_elf_core(tmp_path: Path, wide: bool, order: str) -> None:
    path = tmp_path / "core"
    first, second = page(3) + page(4), page(3) + page(0)
    path.write_bytes(elf_core([(0x10000, first), (0x400000, second)], wide, order))
    assert list(images.blocks(str(path))) == [(0x10000, first), (0x400000, second)]
    report = measure([str(path)], ["4k"])
    assert report.files == (brute("core", PAGE, cut_into(first + second, PAGE)),)


def test_core_of_a_running_process(tmp_path: Path) -> None:
    """The memory of a child that holds 300 equal pages, as a debugger would dump it."""
    code = (
        "import mmap,sys; m=mmap.mmap(-1, 300*4096); m[:]=(b'mmulab!!'*512)*300; "
        "print(flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin and child.stdout
    try:
        child.stdout.readline()
        segments = []
        with open(f"/proc/{child.pid}/mem", "rb") as memory:
            for line in Path(f"/proc/{child.pid}/maps").read_text().splitlines():
                where, rights, *_ = line.split()
                start, end = (int(text, 16) for text in where.split("-"))
                if rights.startswith("rw") and end - start < 64 << 20:
                    memory.seek(start)
                    segments.append((start, memory.read(end - start)))
    except (OSError, PermissionError) as error:
        pytest.skip(f"another process's memory cannot be read here: {error}")
    finally:
        child.communicate(b"\n")
    path = tmp_path / "core"
    path.write_bytes(elf_core(segments))
    (one,) = measure([str(path)], ["4k"]).files
    pages = [part for _, data in segments for part in cut_into(data, PAGE)]
    assert one == brute("core", PAGE, pages)
    assert one.reclaimed >= 299


def test_lime_and_compression(tmp_path: Path) -> None:
    ranges = [(0x1000, page(5) + page(6)), (0x100000, page(5))]
    data = b"".join(
        struct.pack("<IIQQQ", 0x4C694D45, 1, start, start + len(held) - 1, 0) + held
        for start, held in ranges
    )
    path = tmp_path / "dump.gz"
    path.write_bytes(gzip.compress(data))
    assert list(images.blocks(str(path))) == ranges
    assert measure([str(path)], ["4k"]).files[0].reclaimed == 1


BROKEN = {
    "empty": (b"", "is empty"),
    "less than a page": (b"abc", "no whole page"),
    "kdump": (b"KDUMP   " + bytes(8192), "makedumpfile"),
    "truncated core": (elf_core([(0, page(3) * 4)])[: PAGE * 3], "ends in the middle"),
    "no segments left": (elf_core([(0, page(3))])[:PAGE], "bytes are missing"),
    "truncated headers": (elf_core([(0, page(3))])[:100], "ends in its program headers"),
    "broken range": (struct.pack("<IIQQQ", 0x4C694D45, 1, 9, 3, 0), "is broken"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_images(tmp_path: Path, name: str) -> None:
    data, message = BROKEN[name]
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        measure([str(path)])


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "vm1.raw"
    path.write_bytes(page(3) * 3 + page(0) * 2)
    runner = CliRunner()
    shown = runner.invoke(dedup, [str(path), str(path), "--plot", str(tmp_path / "out.svg")])
    assert shown.exit_code == 0, shown.output
    assert "reclaimed" in shown.output and (tmp_path / "out.svg").stat().st_size > 1000
    result = json.loads(runner.invoke(dedup, [str(path), "--json", "-"]).output)
    assert result["schema"] == "mmulab.dedup" and result["files"][0]["reclaimed"] == 3
