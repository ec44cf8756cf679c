"""The run loop: accesses through the core, faults and events through the software."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.hardware.caches import FULL, price
from mmulab.mmu.hardware.clocks import begin_anew, is_late
from mmulab.mmu.hardware.lookups import end_of_straddling, unpack
from mmulab.mmu.hardware.marks import STRADDLES, mark_of, what_of
from mmulab.mmu.hardware.replay import hits
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.machine.first_touches import begin_mending, end_mending
from mmulab.mmu.memory.entries import PAGE_BYTES, is_canonical
from mmulab.mmu.memory.status import CLOCK_LATE, LIVELOCK, OK, PAGE_FAULT
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import FETCH, LOAD, STORE

#: Faults that one access may need before it goes through. A 2-D walk can fault for
#: each guest level, each time again in the VMM; more is a bug.
FAULT_LIMIT = 64

#: Accesses between two looks at the clocks. Each fault begins an access again, on two pages at
#: most, with a walk each that ticks no clock more than once for each entry of five by five levels
#: (the page walk cache's; others' a dozen times): fewer than `clocks.LATE`.
STRETCH = 1 << 11

BLOCK = 4096  # accesses marked at a time: an assumption, few enough to stay in an L1 cache


@kernel
def _mend(machine, fault, status, gva, kind, user):
    """Handles what stopped the core: the VMM first, then the guest OS. Nothing is begun
    while the host is short of frames, so that the access can begin again after reclaim.
    fault: which of its access, from 0."""
    short = frames_at_hand(machine, 0)
    if short != OK:
        return short
    begin_mending(machine, fault == 0)
    status = seam.fault(machine, status, gva, kind, user)
    if status == PAGE_FAULT:
        status = seam.guest_fault(machine, machine.vm.record[0].current, gva, kind)
    end_mending(machine)
    return status


@inlined
def access(machine, walk, gva, kind, straddles):
    """One access from TLB to memory, faults mended. Returns a status.

    Kernel addresses are accessed by the kernel, others by the user. An access that
    straddles two pages needs both; after a fault it begins again, as an instruction does.
    """
    core = machine.core
    user = gva >= 0
    clock = core.record[0].clock
    for fault in range(FAULT_LIMIT):
        at = gva
        status = hardware.translate(machine, walk, at, kind, user, clock, 0)
        if status == OK and straddles:
            at = (gva | (PAGE_BYTES - 1)) + 1
            status = hardware.translate(machine, walk, at, kind, user, clock + 1, 1)
            if status == OK:
                end_of_straddling(machine.vcpu, kind)
        if status == OK:
            core.record[0].clock = clock + 2
            return OK
        status = _mend(machine, fault, status, at, kind, user)
        if status != OK:
            return status
    return LIVELOCK


def run(
    machine: Machine,
    walk: Walk,
    address: np.ndarray,
    mark: np.ndarray,
    events: np.ndarray,
    event: int,
    position: int,
    end: int,
    at: np.ndarray,
    line: np.ndarray,
) -> tuple[int, int, int]:
    """Runs accesses [position, end) of a chunk, and the events from `event` on that happen
    before them or at end, and prices their walks. walk: of the VM's technique. at, line: the
    lines that the program touches in the chunk, as `machine.data` has them; none where the
    caches hold tables alone.

    Returns (status, position, next event): OK when done, else the access or event
    that it stopped at; the caller may mend what stopped it and run again from there.
    """
    while True:
        status, position, event = run_once(
            machine, walk, address, mark, events, event, position, end, at, line
        )
        if status != CLOCK_LATE:
            return status, position, event
        begin_anew(machine.core)


@entry
def run_once(machine: Machine, walk: Walk, address, mark, events, event, position, end, at, line):
    """`run` until the clocks are late."""
    outcome = _run_unpriced(machine, walk, address, mark, events, event, position, end, at, line)
    price(machine.core, machine.vcpu, at, line, outcome[1])
    if machine.core.record[0].mixed:
        unpack(machine.core)
    return outcome


@inlined
def _pass_time(machine, accesses):
    """Time goes on for the guest's timers: see `guest.huge.threads`."""
    huge = machine.vm.huge[0]
    if huge.ticking:
        huge.alarm -= accesses
        huge.due |= int(huge.alarm <= 0)


@kernel
def _run_unpriced(machine, walk, address, mark, events, event, position, end, at, line):
    while True:
        while event < events.size and events[event].position <= position:
            now = events[event]
            status = seam.guest_event(machine, now.kind, now.pid, now.start, now.length, now.value)
            if status != OK:
                return status, position, event
            event += 1
        if machine.vm.huge[0].due:
            status = seam.guest_timer(machine)
            if status != OK:
                return status, position, event
        if position >= end:
            return OK, position, event
        if machine.core.record[0].mixed:
            unpack(machine.core)
        if is_late(machine.core):
            return CLOCK_LATE, position, event
        stop = min(end, position + STRETCH)
        if machine.vm.huge[0].ticking:
            stop = min(stop, position + machine.vm.huge[0].alarm)
        if event < events.size and events[event].position < stop:
            stop = events[event].position
        begun = position
        while position < stop:
            position = hits(machine.core, address, mark, position, stop)
            if position < stop:
                what = what_of(mark[position])
                machine.core.record[0].position = position
                status = access(
                    machine,
                    walk,
                    address[position],
                    what & (STRADDLES - 1),
                    what & STRADDLES != 0,
                )
                if status != OK:
                    _pass_time(machine, position - begun)
                    return status, position, event
                if machine.core.record[0].walked:
                    if machine.core.record[0].noted > FULL:
                        price(machine.core, machine.vcpu, at, line, position)
                    walk.fetch_ahead(
                        machine.core, machine.vcpu, machine.host.memory, address, position, end
                    )
                position += 1
        _pass_time(machine, position - begun)
        status = seam.elapsed(machine, position - begun)
        if status != OK:
            return status, position, event


@entry
def prepare(address, kind, size, mark, counts, levels):
    """Marks accesses (`hardware.marks`) and counts them by kind. Returns the position of the first
    address that is not canonical, -1 if there is none.

    In blocks, which stay in a cache while loops that the compiler makes vectors of go over them.
    """
    for start in range(0, address.size, BLOCK):
        stop = min(address.size, start + BLOCK)
        if _mark_block(address, kind, size, mark, np.uint64(start), np.uint64(stop), levels):
            for position in range(start, stop):
                if not is_canonical(address[position], levels):
                    return position
        _count_block(kind, np.uint64(start), np.uint64(stop), counts)
    return -1


@kernel
def _mark_block(address, kind, size, mark, start, stop, levels):
    """Marks accesses [start, stop). Returns whether any address is not canonical."""
    wrong = False
    for position in range(start, stop):
        gva = address[position]
        wrong |= not is_canonical(gva, levels)
        straddles = (gva & (PAGE_BYTES - 1)) + np.int64(size[position]) > PAGE_BYTES
        what = np.int64(kind[position]) | (STRADDLES if straddles else 0)
        mark[position] = mark_of(what, gva)
    return wrong


@kernel
def _count_block(kind, start, stop, counts):
    """Adds the accesses [start, stop) to their kinds."""
    loads = stores = 0
    for position in range(start, stop):
        loads += kind[position] == LOAD
        stores += kind[position] == STORE
    counts[LOAD] += loads
    counts[STORE] += stores
    counts[FETCH] += np.int64(stop - start) - loads - stores
