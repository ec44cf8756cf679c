"""What the core does on an access, and the instructions that change its translations."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import contexts, range_tlb, tlb, walk_caches
from mmulab.mmu.hardware.lookups import (
    DENIED_BY_L1,
    IN_L2,
    NOWHERE,
    count_l1_hit,
    denied,
    faulted,
    recount,
)
from mmulab.mmu.hardware.rights import allows
from mmulab.mmu.hardware.state import COALESCED
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import frame_of
from mmulab.mmu.memory.status import NIL, OK, PAGE_FAULT
from mmulab.mmu.trace import LOAD, STORE


@inlined
def _mark_store(core, memory, kind, entry, gva, size):
    """A store reaches the 4 KiB frame of gva, in the page of a TLB entry; see `contents`."""
    if kind == STORE and core.record[0].tracking:
        memory.written[frame_of(tlb.exact_frame(core, entry, gva, size))] = 1


@inlined
def _predict(core, kind, gva, slot, size, entry):
    """Predicts where the next access of this kind to this 4 KiB page hits: a slot.

    A store is not predicted where it must be marked and its page is large: marks tell 4 KiB
    pages apart, and the store may be the first to its frame. A load predicts the store that
    may follow it where that needs no walk and no mark.
    """
    tracking = core.record[0].tracking
    if size == 0 or kind != STORE or not tracking:
        tlb.predict(core, kind, gva, slot)
    if kind == LOAD and entry & tlb.STORABLE == tlb.STORABLE and not tracking:
        tlb.predict(core, STORE, gva, slot)


@inlined
def _coalesced(core, vcpu, memory, walk, gva, entry, size, held):
    """The size that a TLB entry is filled in after a walk. Where the walk's own page leaves its
    group, as after a first store, the group's entry goes."""
    if size == 0 and tlb.is_of_small_page(entry) and walk.coalesces(core, vcpu, memory, gva):
        return COALESCED
    if held:
        tlb.drop_group(core, vcpu, gva)
    return size


@kernel
def translate(machine, walk, gva, kind, user, clock, page):
    """One access to one page, its first or second (0 or 1): TLBs, then a walk. Returns OK or
    why the core stopped.

    A hit that lacks the rights, or a store that finds D clear, walks again
    (SDM vol. 3A, 4.10.2.3); the walk replaces the entry or faults. It is counted here as if the
    page were looked up for the first time, and no entry denied: see `lookups`.
    """
    core = machine.core
    vcpu = machine.vcpu
    memory = machine.host.memory
    stats = vcpu.stats[0]
    found = NOWHERE
    slot, size = tlb.probe_l1(core, vcpu, kind, gva)
    if slot != NIL:
        if core.record[0].mixed:
            count_l1_hit(core, vcpu, slot, page)
        if allows(core.data[slot], kind, user):
            tlb.touch_l1(core, slot, clock)
            _predict(core, kind, gva, slot, size, core.data[slot])
            _mark_store(core, memory, kind, core.data[slot], gva, size)
            return OK
        found = DENIED_BY_L1
    else:
        stats.l1_misses[np.uint64(kind)] += 1
        slot, size = tlb.probe_l2(core, vcpu, kind, gva)
    # An L1 slot that has come so far is denied again here.
    if slot != NIL and allows(core.data[slot], kind, user):
        stats.l2_hits[np.uint64(kind)] += 1
        tlb.touch_l2(core, kind, size, slot)
        entry = tlb.exact_frame(core, core.data[slot], gva, size)
        held = False
        found = IN_L2
    else:
        held = slot != NIL
        if held:
            found = denied(core, vcpu, kind, size, slot, page, found)
        stats.walks[np.uint64(kind)] += 1
        core.record[0].walked = 1
        status, entry, size = walk.translate(core, vcpu, memory, gva, kind, user)
        if status != OK:
            faulted(vcpu, kind, page, found)
            if status == PAGE_FAULT:
                # A page fault drops the page's entries (SDM vol. 3A, 4.10.4.1).
                tlb.drop_page(core, vcpu, gva)
            return status
        if core.record[0].coalescing:
            size = _coalesced(core, vcpu, memory, walk, gva, entry, size, held)
        tlb.fill_l2(core, vcpu, kind, gva, entry, size, held)
    slot = tlb.fill_l1(core, vcpu, kind, gva, entry, size, clock, held)
    if held or vcpu.regs[0].looked_up:
        recount(core, vcpu, kind, size, slot, page, found)
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
    range_tlb.drop_page(core, vcpu, gva)


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
    range_tlb.drop_context(core, vcpu)
    contexts.renew(core, vcpu.regs[0].context)


@kernel
def flush_vpid(core, vcpu):
    """Drops all translations of a VPID, of every PCID and of guest-physical addresses: INVEPT
    and INVVPID, single context (SDM vol. 3C, 29.4.3.1)."""
    tlb.flush_vpid(core, vcpu.regs[0].vpid)
    walk_caches.drop_vpid(core, vcpu.regs[0].vpid)
    range_tlb.drop_all(core)
    contexts.renew_all(core, vcpu)


@kernel
def flush_all(core):
    """Drops all translations of every kind: INVEPT and INVVPID, all contexts."""
    tlb.flush_all(core)
    walk_caches.drop_everything(core)
    range_tlb.drop_all(core)
