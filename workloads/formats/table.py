"""CSV with a header line that names the columns, in any order, other columns ignored.

    address (addr, vaddr, va)   hexadecimal with 0x, or decimal; this one must be there
    page (vpn)                  instead of address: number of a 4 KiB page
    type (kind, op, rw, access) load, read, store, write, fetch, ifetch, instruction, or
                                their first letter; loads where there is no such column
    size (bytes)                1 where there is no such column
    pid (process), tid (thread)

Columns are separated by commas, semicolons or tabs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmu.bits import PAGE_SHIFT
from mmu.errors import InputError
from mmu.trace import FETCH, LOAD, STORE, Chunk
from workloads.formats import Options, fields, text
from workloads.slices import owners
from workloads.streams import ByteStream

NAME = "table"
SUMMARY = "CSV whose header names address, type, size, pid, tid"
HOLDS = frozenset({"kind", "fetch", "size", "process"})

_NAMES = {
    "address": fields.ADDRESS, "addr": fields.ADDRESS, "vaddr": fields.ADDRESS,
    "va": fields.ADDRESS, "page": fields.ADDRESS, "vpn": fields.ADDRESS,
    "type": fields.KIND, "kind": fields.KIND, "op": fields.KIND, "rw": fields.KIND,
    "access": fields.KIND,
    "size": fields.SIZE, "bytes": fields.SIZE,
    "pid": fields.PID, "process": fields.PID, "tid": fields.TID, "thread": fields.TID,
}  # fmt: skip
_KINDS = {"l": LOAD, "r": LOAD, "s": STORE, "w": STORE, "f": FETCH, "i": FETCH}


def _header(head: bytes) -> tuple[str, list[str]]:
    """(delimiter, names of columns) of a file's first line."""
    line = head.split(b"\n", 1)[0].decode("ascii", "replace").strip().lower()
    delimiter = max(",;\t", key=line.count)
    return delimiter, [name.strip(' "') for name in line.split(delimiter)]


def matches(head: bytes) -> bool:
    if not text.looks_like_text(head):
        return False
    _, names = _header(head)
    return any(_NAMES.get(name) == fields.ADDRESS for name in names)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a table. Raises InputError naming file and line."""
    delimiter, names = _header(stream.head)
    columns = tuple(_NAMES.get(name, fields.SKIP) for name in names)
    addresses = [name for name in names if _NAMES.get(name) == fields.ADDRESS]
    if len(addresses) != 1:
        found = ", ".join(names)[:80]
        raise InputError(
            f"{stream.name}: line 1: expected a header with one column named address (or addr, "
            f"vaddr, va, page, vpn), got {found!r}"
        )
    header = stream.head.split(b"\n", 1)[0].rstrip(b"\r")
    layout = fields.Layout(
        columns=columns,
        delimiter=delimiter,
        kinds=_KINDS,
        shift=PAGE_SHIFT if addresses[0] in ("page", "vpn") else 0,
        other=lambda line: [] if line == header else text.only_blank(line),
        expected=f"columns {', '.join(names)}",
    )
    return fields.read(stream, options, layout)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as rows of address, type, size, pid, tid."""
    file.write(b"address,type,size,pid,tid\n")
    last = (1, 0)
    for chunk in chunks:
        pid, tid, last = owners(chunk, last)
        rows = zip(
            chunk.address.view(np.uint64).tolist(),
            np.array(["load", "store", "fetch"])[chunk.kind].tolist(),
            chunk.size.tolist(), pid.tolist(), tid.tolist(), strict=True,
        )  # fmt: skip
        file.write("".join(f"{a:#x},{k},{s},{p},{t}\n" for a, k, s, p, t in rows).encode())
