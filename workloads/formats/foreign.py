"""What a file is that no format reads: known by its content, with what to do about it.

Magic numbers are those of each program's own source or specification.
"""

from __future__ import annotations

import difflib
import re
from types import ModuleType

from mmulab.workloads.formats import text
from mmulab.workloads.packed import PACKED, Magic, by_magic

_MAGIC: tuple[Magic, ...] = (
    *PACKED,
    (0, b"PERFILE2", "perf.data; give the output of perf script -F +addr, or perf mem report -D"),
    (0, b"\x7fELF", "a program or core, not a trace; mmulab trace record runs a program, "
                    "mmulab dedup reads a core"),
    (0, b"EMiL", "a LiME memory dump, not a trace; mmulab dedup reads it"),
    (0, b"QEVM", "a QEMU memory snapshot, not a trace"),
    (0, b"SIFT", "a Sniper SIFT trace; convert it first (sift-dump of Sniper), or record the "
                 "program with mmulab trace record"),
    (0, b"\xd4\xc3\xb2\xa1", "a capture of network packets, not of memory accesses"),
    (0, b"\x0a\x0d\x0d\x0a", "a capture of network packets, not of memory accesses"),
    (0, b"PAR1", "a Parquet table; write it as CSV with a column address"),
    (0, b"\x89HDF", "an HDF5 file; write its addresses as .npy"),
    (0, b"SQLite format 3", "an SQLite database; write its addresses as CSV"),
    (0, b"# callgrind format", "callgrind's output, which has costs and no accesses; run "
                               "valgrind --tool=lackey --trace-mem=yes"),
    (0, b"%PDF", "a PDF, not a trace"),
)  # fmt: skip

#: Too short to be certain: asked once no format has taken the file.
_SHORT: tuple[Magic, ...] = (
    (0, b"\x1f\x9d", "compressed with compress; decompress it first (gzip -d)"),
    (0, b"\x1f\x8b", "compressed more than once; decompress it first (gzip -d)"),
    (0, b"\x5d\x00\x00", "compressed with LZMA; decompress it first (xz -d)"),
    (0, b"PK\x03\x04", "a .zip archive of no trace format; unpack it and name a file in it"),
    (0, b"\xff\xfe", "text in UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)"),
    (0, b"\xfe\xff", "text in UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)"),
)

_RAMULATOR = re.compile(rb"\s*(\d+)\s+\d{4,20}(?:\s+-?\d{4,20})?\s*$")
_MOST_LABEL = 4  # din's; where no number is more, the lines are taken for din's

#: (what every line is like, what it is and the cure)
_TEXTS = (
    (rb"\s*0[xX][0-9a-fA-F]+\s+(?:P_(?:FETCH|MEM_RD|MEM_WR|LOCK_RD|LOCK_WR)|IFETCH|INVAL)\s+\d+",
     "a DRAMSim2 trace"),
    (rb"\s*\d+\s+(?:R\s+0x[0-9a-fA-F]+\s+0x[0-9a-fA-F]+|W\s+0x[0-9a-fA-F]+)\s*$",
     "a USIMM trace"),
    (rb"\s*\d+\s+[RW]\s+0x[0-9a-fA-F]+\s+[0-9a-fA-F]{16,}", "an NVMain trace"),
    (rb"\s*\d+,\w+,\d+,(?:Read|Write),\d+,\d+,\d+\s*$", "an MSR Cambridge trace of disk blocks"),
    (rb"(?:\d+\s+)?(?:[\d:.]+\s+)?\w+\(.*\)\s+= ", "strace's output, which has no accesses"),
    (rb"\s*\d+,\d+\s+\d+\s+\d+\s+\d+\.\d+\s+\d+\s+[A-Z]\s", "blktrace's output, of disk blocks"),
)  # fmt: skip
_AS_TABLE = "write its addresses as lines of 'address R' or 'address W'"


def known(head: bytes) -> str:
    """What a file that surely is no trace is, and the cure; else empty. Ask it first: the
    lines of some would be misread."""
    seen = _lines(head)
    if seen and _is_ramulator(seen):
        return f"a Ramulator trace of instructions between accesses; {_AS_TABLE}"
    for pattern, what in _TEXTS:
        if text.most_lines(head, re.compile(pattern)):
            return f"{what}; {_AS_TABLE}"
    return by_magic(head, _MAGIC)


def unread(head: bytes) -> str:
    """The same for a file that no format takes."""
    if text.looks_like_text(head) and not _lines(head):
        return "nothing but empty lines and comments; expected a memory trace"
    return by_magic(head, _SHORT)


def _lines(head: bytes) -> list[bytes]:
    if not text.looks_like_text(head):
        return []
    return [line for line in text.lines(head) if not text.comment(line)]


def _is_ramulator(lines: list[bytes]) -> bool:
    """Lines of instructions, address read, and an address written back (Ramulator's README)."""
    found = [_RAMULATOR.match(line) for line in lines]
    counts = [int(each[1][:20]) for each in found if each]
    return len(counts) == len(lines) and _MOST_LABEL < max(counts) and min(counts) < 1000


def nearest(head: bytes, formats: list[ModuleType]) -> str:
    """The first line of a text, and the format whose lines look most like it; empty for what
    is no text."""
    line = next(iter(_lines(head)), None)
    if line is None:
        return ""
    examples = []
    for module in formats:
        layout = getattr(module, "LAYOUT", None)
        expected = getattr(layout, "expected", getattr(module, "EXPECTED", ""))
        example = re.search(r"'(.+?)'", expected)
        if example:
            examples.append((_likeness(line, example[1].encode()), module.NAME, expected))
    _, name, expected = max(examples)
    return f"line {text.lines(head).index(line) + 1}: {text.shown(line)}; nearest is {name}: " + (
        f"expected {expected}"
    )


def _likeness(line: bytes, example: bytes) -> float:
    """How alike the shapes of two lines are: 1 where they are the same."""
    shape, other = _shape(line.rstrip()[:120]), _shape(example)
    return difflib.SequenceMatcher(None, shape, other, autojunk=False).ratio()


def _shape(line: bytes) -> str:
    """Numbers as 0 or x, words as w, and what stands between them."""
    decoded = line.decode("latin-1")
    decoded = re.sub(r"0[xX][0-9a-fA-F]+|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{5,}\b", "\1", decoded)
    decoded = re.sub(r"\d+", "0", decoded)
    return re.sub(r"[A-Za-z_]+", "w", decoded)
