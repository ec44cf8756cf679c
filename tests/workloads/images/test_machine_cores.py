"""Dumps of machines, as their tools lay them out: each page of memory once, in its place."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from drivers.image_files import DIRECT_MAP, MEMORY, PAGE, core, head, segments, windows, xen_core

from mmulab.mmu.errors import InputError
from mmulab.workloads import images
from mmulab.workloads.analysis.page_sharing import measure
from mmulab.workloads.images import elf


def eight_pages_half_reclaimed(path: Path) -> None:
    (one,) = measure([str(path)], ["4k"]).files
    assert (one.pages, one.shared, one.contents, one.reclaimed) == (8, 8, 4, 4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_segments_that_share_memory(tmp_path: Path, order: str) -> None:
    """QEMU with paging on: a segment of all memory, and one for each mapping of parts of it."""
    rows = [
        (PAGE, DIRECT_MAP, 0, 8 * PAGE),
        (3 * PAGE, 0x7F0000000000, 2 * PAGE, 2 * PAGE),
        (8 * PAGE, 0x7F0000400000, 7 * PAGE, PAGE),
    ]
    path = tmp_path / "core"
    path.write_bytes(core(rows, MEMORY, order))
    assert list(images.blocks(str(path))) == [(0, MEMORY)]
    eight_pages_half_reclaimed(path)


def test_memory_that_is_there_twice(tmp_path: Path) -> None:
    """The same physical pages at two places of the file."""
    rows = [(PAGE, DIRECT_MAP, 0x1000, 8 * PAGE), (9 * PAGE, 0, 0x3000, 8 * PAGE)]
    path = tmp_path / "core"
    path.write_bytes(core(rows, MEMORY + MEMORY[2 * PAGE :] + b"x" * 2 * PAGE))
    assert list(images.blocks(str(path))) == [(0x1000, MEMORY), (0x9000, b"x" * 2 * PAGE)]


def test_physical_zero_is_a_place(tmp_path: Path) -> None:
    """The second segment shows that the core has physical addresses."""
    rows = [(PAGE, DIRECT_MAP, 0, PAGE), (2 * PAGE, DIRECT_MAP + (1 << 32), 1 << 32, 7 * PAGE)]
    path = tmp_path / "core"
    path.write_bytes(core(rows, MEMORY))
    assert list(images.blocks(str(path))) == [(0, MEMORY[:PAGE]), (1 << 32, MEMORY[PAGE:])]


@pytest.mark.parametrize("order", ["<", ">"])
def test_more_segments_than_the_header_can_count(tmp_path: Path, order: str) -> None:
    """PN_XNUM, with the section header that has the number at the end, as Linux writes it."""
    count = 70_000
    start = (64 + 56 * count + PAGE - 1) & -PAGE
    rows = [
        (start + PAGE * min(i, 7), 0, PAGE * (256 + i), PAGE if i < 8 else 0) for i in range(count)
    ]
    data = head(order, 0xFFFF, (start + len(MEMORY), 1, 0)) + segments(order, rows)
    data = data.ljust(start, b"\0") + MEMORY
    data += struct.pack(order + "IIQQQQIIQQ", 0, 0, 0, 0, 0, 1, 0, count, 0, 0)
    path = tmp_path / "core"
    path.write_bytes(data)
    eight_pages_half_reclaimed(path)
    path.write_bytes(data[:-64])
    with pytest.raises(InputError, match="core: truncated: the number of its segments"):
        list(images.blocks(str(path)))
    path.write_bytes(gzip.compress(data, 1))
    with pytest.raises(InputError, match="decompress it into a file first"):
        list(images.blocks(str(path)))


def test_many_segments_are_put_in_order_at_once() -> None:
    """Half a million that overlap would take minutes, were each compared with all."""
    rows = [(i * PAGE, -i, 2 * PAGE) for i in range(500_000, 0, -1)]
    kept = elf._once(rows)
    assert len(kept) == 500_000 and kept[1] == (3 * PAGE, PAGE - 2, PAGE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("words", [1, 2])
def test_xen_keeps_memory_in_a_section(tmp_path: Path, order: str, words: int) -> None:
    path = tmp_path / "core"
    path.write_bytes(xen_core(order, words, [0, 1, 2, 256, 257, 258, 259, 5]))
    assert list(images.blocks(str(path))) == [
        (0, MEMORY[: 3 * PAGE]),
        (256 * PAGE, MEMORY[3 * PAGE : 7 * PAGE]),
        (5 * PAGE, MEMORY[7 * PAGE :]),
    ]
    eight_pages_half_reclaimed(path)
    path.write_bytes(xen_core(order, words, [0, (1 << 64) - 1, 2, 3, 4, 5, 6, 7]))
    assert measure([str(path)], ["4k"]).files[0].pages == 7


def test_complete_memory_dump_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(windows(1, [(1, 3), (256, 5)], MEMORY))
    assert list(images.blocks(str(path))) == [
        (PAGE, MEMORY[: 3 * PAGE]),
        (256 * PAGE, MEMORY[3 * PAGE :]),
    ]
    eight_pages_half_reclaimed(path)


REFUSED = {
    "windows part": (windows(5, [(1, 8)], MEMORY), "of type 5, which leaves pages out"),
    "windows short": (windows(1, [(1, 8)], MEMORY)[:-1], "ends in the middle"),
    "windows runs": (windows(1, [(1, 8)] * 300, MEMORY), "300 runs of memory"),
    "windows run": (windows(1, [(1, 1 << 60)], MEMORY), "run 0 is broken"),
    "windows head": (windows(1, [(1, 8)], b"")[:5000], "ends in its header"),
    "xen places": (xen_core("<", 1, [1, 2, 3]), "has 8 pages, and in .xen_pfn fewer"),
    "xen far": (xen_core("<", 1, [1 << 50] * 8), "beyond what can be addressed"),
    "xen pages": (xen_core("<", 1, [0] * 8, 65536), "pages of 65,536 bytes"),
    "sections": (head("<", 0, (64, 1, 0)) + bytes(64), "without .xen_pages"),
    "savevm": (b"QEVM\0\0\0\3" + bytes(9000), "a QEMU snapshot.*dump-guest-memory"),
    "libvirt": (b"LibvirtQemudSave\2\0\0\0" + bytes(9000), "a libvirt save; .*virsh dump"),
    "flat kdump": (b"makedumpfile\0\0\0\0" + bytes(9000), "makedumpfile -R.*makedumpfile -E"),
    "kdump": (b"KDUMP   " + bytes(9000), "makedumpfile -E"),
    "avml": (struct.pack("<IIQQQ", 0x4C4D5641, 2, 0, 4095, 0) + bytes(9000), "avml-convert"),
    "vmss": (struct.pack("<II", 0xBED2BED0, 8) + bytes(9000), "a VMware snapshot.*vmem"),
    "virtualbox": (b"\x7fVirtualBox SavedState V2.0\n" + bytes(9000), "dumpvmcore"),
    "hibernation": (b"HIBR" + bytes(9000), "hibernation file"),
    "crash dump": (b"PAGEDUMP" + bytes(9000), "32 bits"),
    "qcow2": (b"QFI\xfb\0\0\0\3" + bytes(9000), "a disk image, not memory; virsh dump"),
    "trace": (b"MMULABTR\2\0\0\0" + bytes(9000), "a memory trace, not a memory image"),
    "tar": (b"vm.raw".ljust(257, b"\0") + b"ustar\0" + bytes(9000), "a tar archive"),
    "snappy": (b"\xff\x06\x00\x00sNaPpY" + bytes(9000), "snappy"),
}  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_what_it_is(tmp_path: Path, case: str, compressed: bool) -> None:
    data, message = REFUSED[case]
    if compressed and case.startswith(("xen", "sections")):
        message = "decompress it into a file first"
    path = tmp_path / "image"
    path.write_bytes(gzip.compress(data) if compressed else data)
    with pytest.raises(InputError, match=f"image: .*{message}") as caught:
        measure([str(path)])
    assert "\n" not in str(caught.value)
