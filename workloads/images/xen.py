"""Xen's dump-core: an ELF core without segments, whose memory is in a section.

    .xen_pages    pages, one after another
    .xen_pfn      the gfn of each, 8 bytes             of VMs that translate themselves
    .xen_p2m      its gfn and frame, 8 bytes each      of paravirtual VMs

(Xen, docs/misc/dump-core-format.txt.) A page whose gfn is all ones is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.workloads.images import elf
from mmulab.workloads.streams import ByteStream

_PAGE = 4096
_MOST_NAMES = 1 << 16  # bytes of section names
_MOST_PAGES = 1 << 24  # 64 GiB: bounds the memory that their numbers take
_NOWHERE = np.uint64((1 << 64) - 1)
_FIRST_TOO_HIGH = np.uint64(1 << 40)


def recognises(head: bytes) -> bool:
    """True for a core of 64 bits that has sections and no segments."""
    if not elf.recognises(head) or len(head) < 64 or head[4] != 2:
        return False
    segments, _, sections = struct.unpack_from("<HHH" if head[5] == 1 else ">HHH", head, 56)
    return segments == 0 and sections != 0


def regions(stream: ByteStream) -> Iterator[tuple[int, int]]:
    """(address, length) of each run of pages, when the stream stands at it."""
    what = elf.header(stream)
    found = _sections(stream, what)
    if ".xen_pages" not in found:
        raise InputError(f"{stream.name}: a core without segments and without .xen_pages")
    offset, length, page = found[".xen_pages"]
    if page not in (0, _PAGE):
        raise InputError(f"{stream.name}: pages of {page:,} bytes; expected {_PAGE:,}")
    if offset < what.at:
        raise InputError(f"{stream.name}: .xen_pages inside the ELF header")
    frames = _frames(stream, what, found, length // _PAGE)
    elf.skip(stream, offset - what.at)
    ends = np.flatnonzero(np.diff(frames) != 1) + 1
    for run in np.split(frames, ends) if len(frames) else ():
        if run[0] == _NOWHERE:
            elf.skip(stream, len(run) * _PAGE)
        else:
            yield int(run[0]) * _PAGE, len(run) * _PAGE


def _sections(stream: ByteStream, what: elf.Header) -> dict[str, tuple[int, int, int]]:
    """(offset, bytes, bytes of an entry) of each section by its name."""
    table, size, count = what.sections
    if size < 64:
        raise InputError(f"{stream.name}: section headers of {size} bytes; cannot be read")
    headers = elf.read_at(stream, table, size * count)
    rows = [
        struct.unpack_from(what.order + "IIQQQQIIQQ", headers, at)
        for at in range(0, len(headers) - 63, size)
    ]
    _, _, _, _, start, length, *_ = rows[what.names] if what.names < len(rows) else (0,) * 10
    names = elf.read_at(stream, start, min(length, _MOST_NAMES))
    return {
        names[name:].partition(b"\0")[0].decode("ascii", "replace"): (offset, bytes_, entry)
        for name, _, _, _, offset, bytes_, _, _, _, entry in rows
    }


def _frames(
    stream: ByteStream, what: elf.Header, found: dict[str, tuple[int, int, int]], pages: int
) -> np.ndarray:
    """The gfn of each page."""
    name, words = (".xen_p2m", 2) if ".xen_p2m" in found else (".xen_pfn", 1)
    offset, length, _ = found.get(name, (0, 0, 0))
    if not pages <= _MOST_PAGES:
        raise InputError(f"{stream.name}: {pages:,} pages; expected at most {_MOST_PAGES:,}")
    data = elf.read_at(stream, offset, min(length, pages * words * 8))
    if len(data) < pages * words * 8:
        raise InputError(f"{stream.name}: has {pages:,} pages, and in {name} fewer places of them")
    frames = np.frombuffer(data, what.order + "u8").astype(np.uint64)[::words]
    if np.any((frames >= _FIRST_TOO_HIGH) & (frames != _NOWHERE)):
        raise InputError(f"{stream.name}: {name} has a page beyond what can be addressed")
    return frames
