"""ChampSim's traces: one 64-byte record an instruction (ChampSim, inc/trace_instruction.h).

    byte   0   ip                    u64
           8   is_branch             u8
           9   branch_taken          u8
          10   destination registers u8 x 2
          12   source registers      u8 x 4
          16   destination memory    u64 x 2      stores
          32   source memory         u64 x 4      loads

Little-endian. An unused memory slot is zero. A record becomes the fetch of its ip, then
its loads, then its stores, in the order of the slots. The format has no sizes: every
access is one byte. A record whose ip is zero has no fetch: `write` makes such records
where an instruction has more loads or stores than a record has slots, and for traces
that have no fetches, so that what it writes is read back exactly. The ip of a load or store
is its record's; what made its address is followed through the registers (registers.py).

The file says nothing of its own format; it is detected by whether its first records are
plausible, and otherwise needs --format. The Cloudsuite variant is in cloudsuite.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads.formats import Options, records, registers
from mmulab.workloads.formats.records import END, FULL, NOT_CANONICAL, SPARE, VALUE, is_canonical
from mmulab.workloads.streams import ByteStream

NAME = "champsim"
SUMMARY = "ChampSim's 64-byte records; no magic number: detected by plausibility"
HOLDS = frozenset({"kind", "fetch"})

BYTES = 64
COLUMNS = frozenset({"ip", "depends"})
LAYOUT = records.Layout(BYTES, np.dtype("<i8"), "a 64-byte ChampSim record", {}, COLUMNS)

#: Loads that a record has room for, in either variant.
LOADS = 4

#: A record as 64-bit words: words of a record, first store, stores, first load, the word
#: that holds the ASID (0: none).
SHAPE = (8, 2, 2, 4, 0)

# State of the kernel beside VALUE: the ASID, the SHAPE of a record, and what registers hold.
_ASID, _SHAPE, _REGISTERS = 1, 2, 7

#: Longest x86 instruction (Intel SDM vol. 2, 2.3.11) and an ip that stays (rep): what the
#: next ip mostly is away.
_LONGEST = 15


@entry
def parse(
    words, position, end, va_bits, address, kind, size, count, events, happened, state, ip, depends
):
    """Takes records; see workloads.formats.records.Kernel."""
    width, store, stores, load, asid = state[2], state[3], state[4], state[5], state[6]
    limit = address.size - SPARE
    last_event = events.shape[0] - SPARE
    while position < end:
        if count >= limit or happened >= last_event:
            return FULL, position, count, happened
        base = position * width
        begin = count
        address[count] = words[base]
        kind[count] = FETCH
        size[count] = 1
        count += words[base] != 0
        good = is_canonical(words[base], va_bits)
        for slot in range(base + load, base + load + LOADS):
            address[count] = words[slot]
            kind[count] = LOAD
            size[count] = 1
            count += words[slot] != 0
            good &= is_canonical(words[slot], va_bits)
        for slot in range(base + store, base + store + stores):
            address[count] = words[slot]
            kind[count] = STORE
            size[count] = 1
            count += words[slot] != 0
            good &= is_canonical(words[slot], va_bits)
        if not good:
            for at in range(begin, count):
                if not is_canonical(address[at], va_bits):
                    state[VALUE] = address[at]
                    return NOT_CANONICAL, position, begin, happened
        if asid != 0 and state[_ASID] != words[base + asid] & 0xFFFF:
            state[_ASID] = words[base + asid] & 0xFFFF
            events[happened] = 0
            events[happened, 0] = begin
            events[happened, 1] = SWITCH
            events[happened, 2] = state[_ASID]
            happened += 1
            if depends is not None:
                registers.forget(state[_REGISTERS:])
        if ip is not None:
            ip[begin:count] = words[base]
        if depends is not None:
            known = state[_REGISTERS:]
            registers.follow(words, base, stores, known, kind, depends, begin, count)
        position += 1
    return END, position, count, happened


def state(shape: tuple[int, ...]) -> np.ndarray:
    """What `parse` needs to know of a variant; no record has been read, so no ASID is known."""
    return np.concatenate([np.array((0, -1, *shape), np.int64), registers.nothing_known()])


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a ChampSim trace. Raises InputError naming the byte offset."""
    return records.read(stream, options, LAYOUT, parse, state(SHAPE))


def matches(head: bytes) -> bool:
    return plausible(head, SHAPE)


def plausible(head: bytes, shape: tuple[int, ...]) -> bool:
    """Whether all whole records of a file's beginning could be instructions.

    Flags are 0 or 1, ips and memory slots are addresses, no ip is zero, and a quarter of
    the instructions follow the one before them within the length of an instruction.
    """
    width, store, stores, load, _ = shape
    count = len(head) // (8 * width)
    if count < 2:
        return False
    rows = np.frombuffer(head, "<u8", count * width).reshape(count, width)
    flags = rows[:, 1] & np.uint64(0xFEFE)
    memory = np.hstack([rows[:, store : store + stores], rows[:, load : load + LOADS]])
    addresses = np.unique(np.hstack([rows[:, :1], memory]))
    step = np.diff(rows[:, 0].view(np.int64))
    return bool(
        not flags.any()
        and rows[:, 0].all()
        and memory.any()
        and all(map(records.may_be_address, addresses.tolist()))
        and 4 * np.count_nonzero((step >= 0) & (step <= _LONGEST)) >= len(step)
    )


# --- Writing --------------------------------------------------------------------


@entry
def pack(address, kind, position, end, words, state):
    """Accesses [position, end) as records: (records, position of an access it cannot hold)."""
    width, store, stores, load, asid = state[2], state[3], state[4], state[5], state[6]
    record = -1
    loaded = stored = 0
    for at in range(position, end):
        if address[at] == 0:
            return record + 1, at
        what = kind[at]
        fresh = (
            record < 0
            or what == FETCH
            or (what == LOAD and (stored > 0 or loaded == LOADS))
            or (what == STORE and stored == stores)
        )
        if fresh:
            record += 1
            loaded = stored = 0
            for word in range(width):
                words[record * width + word] = 0
            if asid:
                words[record * width + asid] = state[_ASID]
        base = record * width
        if what == FETCH:
            words[base] = address[at]
        elif what == LOAD:
            words[base + load + loaded] = address[at]
            loaded += 1
        else:
            words[base + store + stored] = address[at]
            stored += 1
    return record + 1, -1


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Accesses as ChampSim records; no branches and no registers, sizes and events are lost.

    Raises InputError for an access of address 0, which means an unused slot.
    """
    write_shape(file, chunks, SHAPE)


def write_shape(file: BinaryIO, chunks: Iterable[Chunk], shape: tuple[int, ...]) -> None:
    """`write`, for either variant; a SWITCH changes the ASID where a record has one."""
    current = state(shape)
    current[_ASID] = 1
    for chunk in chunks:
        switches = chunk.events[chunk.events["kind"] == SWITCH]
        words = np.empty(chunk.accesses * shape[0], "<i8")
        bounds = [0, *switches["position"].tolist(), chunk.accesses]
        asids = [int(current[_ASID]), *switches["pid"].tolist()]
        # Copies, as kernels are compiled anew for the views of a file that is mapped.
        address, kind = chunk.address.copy(), chunk.kind.copy()
        for begin, end, asid in zip(bounds[:-1], bounds[1:], asids, strict=True):
            current[_ASID] = asid & 0xFFFF
            used, bad = pack(address, kind, begin, end, words, current)
            if bad >= 0:
                raise InputError(
                    "an access of address 0, which a ChampSim record has no way to hold"
                )
            file.write(words[: used * shape[0]].tobytes())
