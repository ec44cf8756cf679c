"""`perf script`: samples that have a data address, as text.

    sh 27494/27494 17147.278293: page-faults:     562c4e832240 ffffffff8175336a

Addresses are recorded by `perf mem record` or `perf record -d` and printed by
`perf script -F comm,pid,tid,time,event,addr` or `-F +addr`. Columns come in one order
whatever the order of -F (tools/perf/builtin-script.c): comm, process/thread, [cpu], time:,
period, event:, address, and more that is passed over, such as ip and symbols; call chains
on lines of their own are passed over too. comm, cpu, time, period and event may be
missing. A file is taken to have the columns of its first sample. To be detected it needs
time and event; other layouts want --format perf.

Samples are a part of the accesses, as many as perf was told to take. What a sample is,
load or store, is known from data_src where that is printed ("OP STORE"), else from an
event whose name has "store" in it; anything else is a load. Sizes are not printed: every
access is one byte. Where the process is printed as process/thread both are kept; a single
number, perf's default, is a thread's: it is taken for its process, so that threads count
as processes of their own. Samples with address 0, which perf could not find out, are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import LOAD, STORE, SWITCH, Chunk
from mmulab.workloads.formats import Options, text
from mmulab.workloads.streams import ByteStream

NAME = "perf"
SUMMARY = "`perf script` samples with data addresses"
EXPECTED = "a sample of perf script with an address, such as 'sh 7/7 1.5: page-faults: 7ff0f00'"
NO_ADDRESS = (
    "a sample without a data address; expected perf record -d or perf mem, and perf script -F +addr"
)

_WHO = rb"\s*(?:\S.{0,63}?\s+)??(?P<pid>-?\d+)(?:/(?P<tid>-?\d+))?\s+(?:\[\d+\]\s+)?"
_TIME = rb"\d+\.\d+:\s+"
_EVENT = rb"(?:\d+\s+)?(?P<event>[^\s\d]\S*):\s+"
_NOBODY = rb"(?P<pid>(?!))?(?P<tid>(?!))?"  # groups that never match
_NO_EVENT = rb"(?P<event>(?!))?"
_ADDRESS = rb"(?P<address>[0-9a-f]{1,16})(?P<rest>\s.*)?$"

#: The layouts, those that say most first.
_SAMPLES = tuple(
    re.compile(pattern + _ADDRESS)
    for pattern in (
        _WHO + _TIME + _EVENT,
        _WHO + _EVENT,
        _WHO + _TIME + _NO_EVENT,
        rb"\s*(?:\[\d+\]\s+)?" + _NOBODY + _TIME + _EVENT,
        rb"\s*" + _NOBODY + _EVENT,
        rb"\s*" + _NOBODY + _TIME + _NO_EVENT,
        _WHO + _NO_EVENT,
    )
)
_SAMPLES += (
    re.compile(
        rb"\s*" + _NOBODY + _NO_EVENT
        + rb"(?P<address>[0-9a-f]{1,16})(?P<rest>(\s+[0-9a-f]{1,16})*\s*)$"
    ),
)  # fmt: skip
_CHAIN = re.compile(rb"\s+[0-9a-f]{1,16} \S.*$|\s*$")
_SECOND_NUMBER = re.compile(rb".*\s[0-9a-f]+(\s|$)")
_STORE = re.compile(rb"store", re.IGNORECASE)
_OPERATION = re.compile(rb"OP (?:LOAD\|)?STORE")


def matches(head: bytes) -> bool:
    if not text.looks_like_text(head):
        return False
    seen = [line for line in text.lines(head) if line.strip() and not line.startswith(b"#")]
    known = [bool(_SAMPLES[0].match(line)) for line in seen]
    rest = all(is_sample or _CHAIN.match(line) for line, is_sample in zip(seen, known, strict=True))
    return any(known) and known[0] and rest


class _Samples:
    """Takes lines; the first sample fixes the columns."""

    def __init__(self, chains: bool) -> None:
        self._pattern: re.Pattern[bytes] | None = None
        self._chains = chains
        self._at: tuple[bytes | None, bytes | None] | None = None

    def __call__(self, line: bytes) -> text.Events:
        if not line.strip() or line.startswith(b"#"):
            return []
        pattern, first = self._pattern, self._pattern is None
        found = pattern.match(line) if pattern else self._first(line)
        if not found:
            return [] if self._chains and not first and _CHAIN.match(line) else None
        pid, tid, event, address, rest = found.group("pid", "tid", "event", "address", "rest")
        if first and not self._chains and rest and rest.strip() and not _SECOND_NUMBER.match(rest):
            return NO_ADDRESS  # the one number is the ip, its symbol follows
        value = int(address, 16)
        if not value:
            return []
        stores = _STORE.search(event or b"") or (rest and _OPERATION.search(rest))
        access = text.Access(value, STORE if stores else LOAD, 1)
        if pid is None or self._at == (pid, tid):
            return [access]
        self._at = (pid, tid)
        process, thread = (max(0, int((each or b"0")[:18])) for each in (pid, tid))
        return [(SWITCH, process, 0, 0, thread), access]

    def _first(self, line: bytes) -> re.Match[bytes] | None:
        for pattern in _SAMPLES:
            found = pattern.match(line)
            if found:
                self._pattern = pattern
                return found
        return None


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of samples. Raises InputError naming file and line."""
    samples = [x for x in text.lines(stream.head) if x.strip() and not x.startswith(b"#")]
    # perf indents the lines of a call chain by a tab, and nothing else.
    chains = any(line.startswith(b"\t") for line in samples[1:])
    return text.read(stream, options, text.NoParser(), _Samples(chains), EXPECTED)
