"""CSV: columns are found by the names in its header.

    address,rw,size,pid,tid
    0x7ffe1000,W,8,412,412

Without a header, rows of address,kind or kind,address, either with ,size behind, are known by
their kinds in words.

The delimiter is the one of comma, semicolon and tab that the header has. Names, whatever
their case:

    address  address addr vaddr va gva virtual_address, or
             page vpn page_number vpage: a page number, the address is number * 4096
    kind     rw r/w kind type op operation access access_type is_write write
    size     size bytes length len, in bytes
    process  pid process process_id asid
    thread   tid thread thread_id
    ip       ip pc rip instruction_pointer, where it is a number

Other columns are passed over. Only address (or page) must be there: without kind all are
loads, without size all of one byte. Kinds are r read l ld load 0 false; w write s st store
1 true; i x f fetch ifetch inst(ruction) exec(ute) 2; m modify rmw, a load and a store.
Numbers are decimal, or hexadecimal with 0x; where an address at the file's beginning has
letters and no 0x, all of that column are hexadecimal. A field may stand in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import MODIFY, Column
from mmulab.workloads.formats.words import AUTO, DECIMAL, HEXADECIMAL
from mmulab.workloads.slices import owners
from mmulab.workloads.streams import ByteStream

NAME = "table"
SUMMARY = "CSV whose header names address, type, size, pid, tid; address,type without"
HOLDS = frozenset({"kind", "fetch", "size", "process", "thread"})

_NAMES = {
    fields.ADDRESS: "address addr vaddr va gva virtual_address",
    fields.PAGE: "page vpn page_number vpage",
    fields.KIND: "rw r/w kind type op operation access access_type is_write write",
    fields.SIZE: "size bytes length len",
    fields.PROCESS: "pid process process_id asid",
    fields.THREAD: "tid thread thread_id",
    fields.IP_OR_TEXT: "ip pc rip instruction_pointer",
}
_ROLES = {name.encode(): role for role, names in _NAMES.items() for name in names.split()}
_WHAT = {
    fields.ADDRESS: "address", fields.PAGE: "address", fields.KIND: "kind", fields.SIZE: "size",
    fields.PROCESS: "process", fields.THREAD: "thread", fields.IP_OR_TEXT: "ip",
}  # fmt: skip
_KINDS = {
    LOAD: "r read l ld load 0 false",
    STORE: "w write s st store 1 true",
    FETCH: "i x f fetch ifetch inst instr instruction exec execute 2",
    MODIFY: "m modify rmw",
}
_WORDS = {word: kind for kind, words in _KINDS.items() for word in words.split()}

#: Rows without a header: the names that their columns would have.
_ROW_NUMBER = rb"\s*(?:0[xX])?[0-9a-fA-F]{1,16}\s*"
_ROW_KIND = rb"\s*(?:" + "|".join(w for w in _WORDS if w.isalpha()).encode() + rb")\s*"
_ROW_SIZE = rb"(?:,\s*\d{1,5}\s*)?$"
_HEADLESS = (
    ([b"address", b"rw", b"size"],
     re.compile(_ROW_NUMBER + b"," + _ROW_KIND + _ROW_SIZE, re.IGNORECASE)),
    ([b"rw", b"address", b"size"],
     re.compile(_ROW_KIND + b"," + _ROW_NUMBER + _ROW_SIZE, re.IGNORECASE)),
)  # fmt: skip

_LETTERS = re.compile(rb"[0-9a-f]*[a-f][0-9a-f]*$", re.IGNORECASE)


def _header(head: bytes) -> tuple[bytes, list[bytes], bytes] | None:
    """The delimiter, the names of the columns, and the line that has them, empty for none.

    That is the first line that is not empty; where it has # before it, it must have a column
    of addresses, else it is a comment. Rows without such a line are address,type[,size] or
    type,address[,size].
    """
    if not text.looks_like_text(head):
        return None
    seen = [line for line in text.lines(head) if line.strip()]
    for line in seen:
        delimiter, names = _split(line.lstrip(b"# \t") if line.startswith(b"#") else line)
        if not line.startswith(b"#") or _has_address(names):
            break
    else:
        return None
    if not _has_address(names):
        for known, pattern in _HEADLESS:
            if text.most_lines(head, pattern):
                return b",", known[: len(names)], b""
    return delimiter, names, line


def _split(line: bytes) -> tuple[bytes, list[bytes]]:
    """The delimiter of a line, and its fields."""
    counts = {each: line.count(each) for each in (b",", b";", b"\t")}
    delimiter = max(counts, key=lambda each: counts[each])
    return delimiter, [_field(name).lower() for name in line.split(delimiter)]


def _has_address(names: list[bytes]) -> bool:
    return any(_ROLES.get(name) in (fields.ADDRESS, fields.PAGE) for name in names)


def _field(text_of: bytes) -> bytes:
    return text_of.strip().strip(b'"').strip()


def matches(head: bytes) -> bool:
    _, names, _ = _header(head) or (b"", [], b"")
    return _has_address(names)


def _layout(stream: ByteStream) -> fields.Layout:
    """The layout that the header describes."""
    header = _header(stream.head)
    if not header:
        raise InputError(f"{stream.name}: line 1: expected a CSV header with a column 'address'")
    delimiter, names, headline = header
    where: dict[str, int] = {}
    for at, name in enumerate(names):
        if name not in _ROLES:
            continue
        what = _WHAT[_ROLES[name]]
        if what in where:
            raise InputError(
                f"{stream.name}: line 1: two columns of {what}, {names[where[what]].decode()!r} "
                f"and {name.decode()!r}; expected one"
            )
        where[what] = at
    if "address" not in where:
        known = ", ".join(f"{_NAMES[fields.ADDRESS]} {_NAMES[fields.PAGE]}".split())
        raise InputError(f"{stream.name}: line 1: expected a column of addresses, one of {known}")
    last = max(where.values())
    needed = max(at for what, at in where.items() if what != "ip")
    columns = []
    for at, name in enumerate(names[: last + 1]):
        role = _ROLES.get(name, fields.IGNORED)
        base = DECIMAL if role == fields.SIZE else AUTO
        numbers = (fields.ADDRESS, fields.PAGE, fields.IP_OR_TEXT)
        if role in numbers and _is_hexadecimal(stream, header, at):
            base = HEXADECIMAL
        columns.append(Column(role, base))
    shown = ", ".join(name.decode("ascii", "backslashreplace") for name in names)[:80]

    def other(line: bytes) -> text.Events:
        return [] if line == headline else text.only_blank(line)

    return fields.Layout(
        columns, f"columns {shown}", _WORDS, delimiter.decode(), last - needed, True, other
    )


def _is_hexadecimal(stream: ByteStream, header: tuple[bytes, list[bytes], bytes], at: int) -> bool:
    delimiter, _, headline = header
    rows = (line.split(delimiter) for line in text.lines(stream.head) if line != headline)
    return any(len(row) > at and _LETTERS.match(_field(row[at])) for row in rows)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a table. Raises InputError naming file and line."""
    return fields.read(stream, options, _layout(stream))


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
