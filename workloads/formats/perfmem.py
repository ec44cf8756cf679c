"""`perf mem report -D`: samples as a table, with what each did.

    # PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL
    100,100,0x401136,0x00007f1234567890,6,0x5080142,/x:a

(Linux, tools/perf/builtin-mem.c, dump_raw_samples.) Columns stand between spaces, or what
-x says; PHYS ADDR and DATA PAGE SIZE, where perf was asked for them, are passed over. DSRC is
perf_event.h's union perf_mem_data_src, of which the lowest five bits say what an access was:

    0 not known   1 load   2 store   3 prefetch   4 fetch

A load and store, of an atomic instruction, is both here; what is not known is a load;
prefetches are passed over, and samples with address 0, which perf could not find out.
Samples are a part of the accesses; every one is of one byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL, HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "perfmem"
SUMMARY = "`perf mem report -D` samples, with pid, tid and operation"

_ROLES = {
    "PID": Column(fields.PROCESS, DECIMAL),
    "TID": Column(fields.THREAD, DECIMAL),
    "IP": Column(fields.IP, HEXADECIMAL),
    "ADDR": Column(fields.ADDRESS, HEXADECIMAL),
    "DSRC": Column(fields.DATA_SOURCE, HEXADECIMAL),
}
_HEADER = b"# PID, TID, IP, ADDR,"


def matches(head: bytes) -> bool:
    return any(line.startswith(_HEADER) for line in text.lines(head))


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of samples. Raises InputError naming file and line."""
    lines = text.lines(stream.head)
    header = next((line for line in lines if line.startswith(_HEADER)), None)
    names = (header or b"").decode("ascii", "replace").lstrip("# ").split(", ")
    if "DSRC" not in names:
        raise InputError(
            f"{stream.name}: expected a header '# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL'"
        )
    columns = [_ROLES.get(name, Column(fields.IGNORED)) for name in names]
    columns = columns[: names.index("DSRC") + 1]
    samples = [line for line in lines if not text.comment(line)]
    delimiter = next((each for each in ",;|\t" if samples and each.encode() in samples[0]), None)
    layout = fields.Layout(columns, f"columns {', '.join(names)}", {}, delimiter, rest=True)
    return fields.read(stream, options, layout)
