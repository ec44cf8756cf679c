"""DynamoRIO's human-readable view of a trace: `drrun -t drmemtrace -tool view`.

       9           2: W0.T3256418 ifetch       5 byte(s) @ 0x00007fc205a61943 e8 b8 0c 00 00 ...
      10           2: W0.T3256418 write        8 byte(s) @ 0x00007fff9a9e3528 by PC 0x00007f...

Record number, instruction number, workload and thread, what it is, size and address
(clients/drcachesim/tools/view.cpp and view.h). Older releases print the thread as T<tid>
or <tid>, and the oldest no instruction number; all are read.

Kept are ifetch, read and write, and a SWITCH wherever workload or thread changes: workload
n is process n + 1. Passed over are markers, flushes, prefetches, and instructions that the
trace says are not fetched ("non-fetched", iterations of a rep string instruction). What
stands after `by PC` is the ip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import SKIPPED, Column
from mmulab.workloads.formats.words import DECIMAL, HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "drview"
SUMMARY = "DynamoRIO's `drmemtrace view` text"
EXPECTED = (
    "a record of DynamoRIO's view, such as "
    "'2 1: W0.T7 read 8 byte(s) @ 0x00007fff9a9e3528 by PC 0x0000000000401136'"
)

_RECORD = (
    Column(fields.WORKLOAD_THREAD),
    Column(fields.KIND),
    Column(fields.SIZE, DECIMAL),
    Column(fields.LITERAL, word="byte(s)"),
    Column(fields.LITERAL, word="@"),
    Column(fields.ADDRESS, HEXADECIMAL),
    Column(fields.BY_PC, HEXADECIMAL),
)
_KINDS = {
    "ifetch": FETCH, "read": LOAD, "write": STORE,
    "iflush": SKIPPED, "dflush": SKIPPED, "non-fetched": SKIPPED, "pref": SKIPPED,
}  # fmt: skip

_PREFIX = rb"\s*(\d+\s+)?\d+:\s+(W\d+\.)?T?\d+ "

#: The head and the end of the view, dividers, and how the application ended.
_FRAME = (
    rb"(Output format:|<--record#->.*|<record#>.*|-+|----? <.*|=+|View tool results:"
    rb"|\s*\d+ : total .*|\s*)$"
)

#: Records that are no access: markers and the end of a thread; prefetches; and what is left
#: of an encoding that is too long for its line.
_NO_ACCESS = _PREFIX + rb"\s*(<.*>|pref-\S+\s+\d+ byte\(s\) @ .*|([0-9a-f]{2} )*[0-9a-f]{2}\s*)$"
_PASSED_OVER = re.compile(_FRAME + b"|" + _NO_ACCESS)

_ACCESS = _PREFIX + rb"[a-z][a-zA-Z0-9-]*\s+\d+ byte\(s\) @ 0x[0-9a-f]+"
_LINE = re.compile(_ACCESS + b"|" + _NO_ACCESS + b"|" + _FRAME)


def matches(head: bytes) -> bool:
    return bool(re.search(rb"(?m)^" + _PREFIX, head)) and text.most_lines(head, _LINE)


def _other(line: bytes) -> text.Events:
    return [] if _PASSED_OVER.match(line) else None


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of drmemtrace view's text. Raises InputError naming file and line."""
    first = next(filter(None, (re.match(_PREFIX, line) for line in text.lines(stream.head))), None)
    ordinals = [Column(fields.NUMBER_COLON, DECIMAL)]
    if first is None or first[1]:
        ordinals.insert(0, Column(fields.NUMBER, DECIMAL))
    layout = fields.Layout((*ordinals, *_RECORD), EXPECTED, _KINDS, None, 1, True, _other)
    return fields.read(stream, options, layout)
