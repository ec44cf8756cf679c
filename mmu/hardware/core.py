"""What the core does on an access, and the instructions that change its translations."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import contexts, tlb, walk_caches
from mmulab.mmu.hardware.assoc import stamped
from mmulab.mmu.hardware.caches import make_room
from mmulab.mmu.hardware.rights import allows
from mmulab.mmu.hardware.state import PREDICTOR_BITS
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT, D, frame_of
from mmulab.mmu.memory.status import NIL, OK, PAGE_FAULT
from mmulab.mmu.trace import LOAD, STORE

# Values of CORE_RECORD.touch: what an L1 hit changes.
TOUCH_AGE = 0  # all L1 arrays replace by LRU: the slot's age
TOUCH_NOTHING = 1  # all by FIFO or at random: nothing
TOUCH_BY_POLICY = 2  # a mixture, or tree-PLRU

_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
_LOW_PAGE = (1 << PREDICTOR_BITS) - 1


@inlined
def _mark_store(core, memory, kind, entry, gva, size):
    """A store reaches the 4 KiB frame of gva, in the page of a TLB entry; see `contents`."""
    if kind == STORE and core.record[0].tracking:
        memory.written[frame_of(tlb.exact_frame(core, entry, gva, size))] = 1


@inlined
def _predict(core, kind, gva, slot, size, entry):
    """Predicts where the next access of this kind to this 4 KiB page hits: a slot.

    A store is not predicted where it must be marked and its page is large: low bits tell 4 KiB
    pages apart, and the store may be the first to its frame. A load predicts the store that
    may follow it where that needs no walk and no mark.
    """
    tracking = core.record[0].tracking
    if size == 0 or kind != STORE or not tracking:
        tlb.predict(core, kind, gva, slot)
    if kind == LOAD and entry & tlb.STORABLE == tlb.STORABLE and not tracking:
        tlb.predict(core, STORE, gva, slot)


@inlined
def _predicted(core, gva, kind):
    """L1 slot that this access hits if `core.first` agrees; see `hits`.

    Unsigned, so that no code is made for negative indices.
    """
    index = (np.int64(kind) << PREDICTOR_BITS) | ((gva >> PAGE_SHIFT) & _LOW_PAGE)
    return np.uint64(core.predictor[np.uint64(index)])


@inlined
def _differs(core, gva, slot):
    """Zero where the slot's page holds gva."""
    return ((gva >> PAGE_SHIFT) & core.span[slot]) ^ core.first[slot]


@inlined
def _replay_singly(core, address, kind, position, stop, clock):
    """Where accesses one at a time stop hitting. clock: that of access 0."""
    while position < stop:
        slot = _predicted(core, address[position], kind[position])
        if _differs(core, address[position], slot):
            break
        core.age[slot] = stamped(np.int64(slot), clock + 2 * np.int64(position))
        position += _ONE
    return position


@inlined
def _replay_ages(core, address, kind, start, end):
    """`hits` for TOUCH_AGE: after a miss two accesses one at a time, since misses come close
    together where they come often; then the rest."""
    clock = core.record[0].clock - 2 * start
    stop = np.uint64(end)
    near = min(np.uint64(start) + _TWO, stop)
    position = _replay_singly(core, address, kind, np.uint64(start), near, clock)
    if position == near:
        position = _replay_on(core, address, kind, position, stop, clock)
    return np.int64(position)


@kernel
def _replay_on(core, address, kind, position, stop, clock):
    """Four at a time, and the last ones. A function of its own: within the run loop, too little
    of it would be in registers."""
    ages = core.age
    while position + _FOUR <= stop:
        g0, g1 = address[position], address[position + _ONE]
        g2, g3 = address[position + _TWO], address[position + _THREE]
        s0 = _predicted(core, g0, kind[position])
        s1 = _predicted(core, g1, kind[position + _ONE])
        s2 = _predicted(core, g2, kind[position + _TWO])
        s3 = _predicted(core, g3, kind[position + _THREE])
        if (
            _differs(core, g0, s0)
            | _differs(core, g1, s1)
            | _differs(core, g2, s2)
            | _differs(core, g3, s3)
        ):
            break
        now = clock + 2 * np.int64(position)
        ages[s0] = stamped(np.int64(s0), now)
        ages[s1] = stamped(np.int64(s1), now + 2)
        ages[s2] = stamped(np.int64(s2), now + 4)
        ages[s3] = stamped(np.int64(s3), now + 6)
        position += _FOUR
    return _replay_singly(core, address, kind, position, stop, clock)


@kernel
def _replay_by_policy(core, address, kind, position, end):
    clock = core.record[0].clock - 2 * position
    touches = core.record[0].touch == TOUCH_BY_POLICY
    while position < end:
        slot = _predicted(core, address[position], kind[position])
        if _differs(core, address[position], slot):
            break
        if touches:
            tlb.touch_l1(core, np.int64(slot), clock + 2 * position)
        position += 1
    return position


@inlined
def hits(core, address, kind, position, end):
    """Replays accesses that hit in L1; returns the first position that might not.

    A prediction is exact, not a guess: it is a slot that once served this kind of
    access to this page, or a load of a page that a store needs no walk for; so rights and D
    bit are known to be enough, and the slot is compared against the page. Whatever could
    make that untrue forgets all predictions. An access that straddles two pages has a kind
    of its own that is never predicted.
    """
    if core.record[0].touch == TOUCH_AGE:
        end = _replay_ages(core, address, kind, position, end)
    else:
        end = _replay_by_policy(core, address, kind, position, end)
    core.record[0].clock += 2 * (end - position)
    return end


@kernel
def translate(machine, walk, gva, kind, user, clock):
    """One access to one page: TLBs, then a walk. Returns OK or why the core stopped.

    A hit that lacks the rights, or a store that finds D clear, walks again
    (SDM vol. 3A, 4.10.2.3); the walk replaces the entry or faults.
    """
    core = machine.core
    vcpu = machine.vcpu
    memory = machine.host.memory
    stats = vcpu.stats[0]
    slot, size = tlb.probe_l1(core, vcpu, kind, gva)
    if slot != NIL:
        if allows(core.data[slot], kind, user):
            tlb.touch_l1(core, slot, clock)
            _predict(core, kind, gva, slot, size, core.data[slot])
            _mark_store(core, memory, kind, core.data[slot], gva, size)
            return OK
    else:
        stats.l1_misses[np.uint64(kind)] += 1
        slot, size = tlb.probe_l2(core, vcpu, kind, gva)
    # An L1 slot that has come so far is denied again here.
    if slot != NIL and allows(core.data[slot], kind, user):
        stats.l2_hits[np.uint64(kind)] += 1
        tlb.touch_l2(core, kind, size, slot)
        entry = tlb.exact_frame(core, core.data[slot], gva, size)
        held = False
    else:
        held = slot != NIL
        if held and kind == STORE and not core.data[slot] & D:
            stats.dirty_walks += 1
        stats.walks[np.uint64(kind)] += 1
        core.record[0].walked = 1
        make_room(core, vcpu)
        status, entry, size = walk.translate(core, vcpu, memory, gva, kind, user)
        if status != OK:
            if status == PAGE_FAULT:
                # A page fault drops the page's entries (SDM vol. 3A, 4.10.4.1).
                tlb.drop_page(core, vcpu, gva)
            return status
        tlb.fill_l2(core, vcpu, kind, gva, entry, size, held)
    slot = tlb.fill_l1(core, vcpu, kind, gva, entry, size, clock, held)
    _predict(core, kind, gva, slot, size, entry)
    _mark_store(core, memory, kind, entry, gva, 0)
    return OK


@kernel
def adopt(core, vcpu):
    """The core knows the vCPU's translations by the numbers of its contexts. Before a vCPU
    runs, and where its PCID changes."""
    regs = vcpu.regs[0]
    if core.record[0].contexts > contexts.ROOM:
        flush_all(core)
        contexts.forget_all(core)
    root = regs.root
    regs.context = contexts.number_of(core, regs.vpid, regs.pcid, root)
    regs.global_context = contexts.number_of(core, regs.vpid, contexts.GLOBAL, root)
    regs.physical_context = contexts.number_of(core, regs.vpid, contexts.PHYSICAL, root)


@kernel
def invlpg(core, vcpu, gva):
    """INVLPG: the page's TLB entries, and all paging-structure caches of the PCID."""
    tlb.drop_page(core, vcpu, gva)
    walk_caches.drop_linear(core, vcpu)


@kernel
def load_cr3(core, vcpu, frame, pcid, keep):
    """MOV to CR3. Unless bit 63 says to keep them (`keep`), non-global entries of the
    new PCID are dropped (SDM vol. 3A, 4.10.4.1)."""
    vcpu.regs[0].cr3 = frame
    vcpu.regs[0].pcid = pcid
    adopt(core, vcpu)
    if keep:
        tlb.forget_predictions(core)
    else:
        flush_context(core, vcpu)


@kernel
def flush_context(core, vcpu):
    """Drops all non-global translations of the current PCID."""
    tlb.flush_context(core, vcpu)
    walk_caches.drop_linear(core, vcpu)


@kernel
def flush_vpid(core, vcpu):
    """Drops all translations of a VPID, of every PCID and of guest-physical addresses: INVEPT
    and INVVPID, single context (SDM vol. 3C, 29.4.3.1)."""
    tlb.flush_vpid(core, vcpu.regs[0].vpid)
    walk_caches.drop_vpid(core, vcpu.regs[0].vpid)


@kernel
def flush_all(core):
    """Drops all translations of every kind: INVEPT and INVVPID, all contexts."""
    tlb.flush_all(core)
    walk_caches.drop_everything(core)
