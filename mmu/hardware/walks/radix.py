"""The page walker: one loop for every format, depth and dimension.

    1-D   CR3 -> table -> ... -> leaf                              native, shadow
    2-D   the same, where each table's gfn is first translated     nested
          by a walk of the nested page table; then the page's own

`_make_walk` writes the loop once. It is instantiated three times: for an x86
table whose frames are hfns, for an EPT, and for an x86 table whose frames are gfns.
All are compiled into where they are called: a call costs as much as looking into a cache.
A cold walk of g guest and h nested levels makes (g + 1)(h + 1) - 1 references.
"""

from __future__ import annotations

from mmulab.mmu.hardware import lookahead
from mmulab.mmu.hardware.caches import make_room, reference
from mmulab.mmu.hardware.state import ROUTE_EPT_PSC, ROUTE_PSC
from mmulab.mmu.hardware.walk_caches import longest_prefix, nested_find, nested_remember, remember
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_X,
    FRAME,
    GUEST_SIZE_SHIFT,
    IGNORED,
    PF_FETCH,
    PF_PRESENT,
    PF_RESERVED,
    PF_USER,
    PF_WRITE,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    P,
    frame_of,
    index_of,
    level_shift,
)
from mmulab.mmu.memory.status import EPT_VIOLATION, OK, PAGE_FAULT
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import FETCH, STORE

# Of a walk's rights, what an entry takes away: RW and US by being clear, XD by being set.
_LIMITS = RW | US | XD

PAT_LARGE = 1 << 12  # memory type bit of a large x86 leaf, below its frame's bits


@inlined
def _host_frame(core, memory, frame, guest_level):
    """In one dimension a table's frame is where it is."""
    return OK, frame


@inlined
def _ept_needs(write, fetch):
    """The rights that an access needs of every entry of its path (SDM vol. 3C, 29.3.3.2)."""
    return EPT_R | (EPT_W if write else 0) | (EPT_X if fetch else 0)


@inlined
def _x86_denies(rights, kind, user):
    """True where the rights of the path forbid the access (SDM vol. 3A, 4.6.1; CR0.WP = 1)."""
    return (
        (kind == STORE and not rights & RW)
        or (user and not rights & US)
        or (kind == FETCH and rights & XD)
    )


@inlined
def _reserved(entry, level):
    """True where a present x86 entry has a reserved bit set (SDM vol. 3A, 4.5.3).

    Bit 7 in a PML4E or PML5E, and the frame bits that a large leaf does not use;
    its bit 12 is PAT.
    """
    if not entry & PS or level == 1:
        return False
    unused = (1 << level_shift(level)) - (PAT_LARGE << 1)
    return level > 3 or (entry & unused) != 0


@inlined
def nested_walk(core, memory, gpa, write, fetch, guest_level):
    """Translates a gpa through the EPT: (status, hfn of its 4 KiB frame, leaf level, leaf
    with the path's rights).

    `guest_level` is the level of the guest table that is being located, 0 for the
    page that the guest accesses; references are counted under it.
    """
    regs = core.regs[0]
    frame = regs.eptp
    level = regs.ept_levels
    rights = EPT_RWX
    needs = _ept_needs(write, fetch)
    cached, data = longest_prefix(core, ROUTE_EPT_PSC, gpa, level)
    if cached > 0:
        level = cached - 1
        rights = data & EPT_RWX
        frame = frame_of(data)
    while True:
        hpa = (frame << 12) | (index_of(gpa, level) << 3)
        slot = slot_of(memory, hpa)
        entry = memory.entry[slot]
        reference(core, hpa, entry, guest_level, level)
        leaf = level == 1 or entry & PS
        rights &= entry
        if not entry & EPT_RWX or (leaf and rights & needs != needs):
            regs.fault_gpa = gpa
            return EPT_VIOLATION, 0, level, entry
        if regs.ept_ad:
            used = entry | EPT_A | (EPT_D if leaf and write else 0)
            if used != entry:
                memory.entry[slot] = entry = used
        if leaf:
            break
        frame = frame_of(entry)
        remember(core, ROUTE_EPT_PSC, gpa, level, (frame << 12) | rights)
        level -= 1
        if level == 1:
            lookahead.remember_nested(core, memory, gpa, frame)
    offset = (gpa >> 12) & ((1 << (level_shift(level) - 12)) - 1)
    return OK, frame_of(entry) + offset, level, (entry & ~EPT_RWX) | rights


@inlined
def _table_frame(core, memory, gfn, guest_level):
    """hfn of a gPT page. With EPT A/D bits on, the reference is a write (SDM 29.3.5)."""
    hfn = nested_find(core, gfn)
    if hfn >= 0:
        core.stats[0].ntlb_hits += 1
        return OK, hfn
    write = core.regs[0].ept_ad != 0
    status, hfn, level, entry = nested_walk(core, memory, gfn << 12, write, False, guest_level)
    if status == OK:
        nested_remember(core, gfn, hfn)
    return status, hfn


def _make_walk(locate):
    @inlined
    def walk(core, memory, gva, kind, user):
        """Walks from CR3 to the leaf of gva: (status, leaf with the path's rights, leaf level).

        Sets A on each entry used and D on the leaf of a store; nothing where the walk
        faults, but for the A bits of the entries above (SDM vol. 3A, 4.8).
        """
        regs = core.regs[0]
        level = regs.levels
        rights = RW | US
        code = (PF_WRITE if kind == STORE else 0) | (PF_USER if user else 0)
        code |= PF_FETCH if kind == FETCH else 0
        regs.fault_gva = gva
        cached, data = longest_prefix(core, ROUTE_PSC, gva, level)
        if cached > 0:
            level = cached - 1
            rights = data & _LIMITS
            frame = frame_of(data)
        else:
            status, frame = locate(core, memory, regs.cr3, level)
            if status != OK:
                return status, 0, level
        while True:
            hpa = (frame << 12) | (index_of(gva, level) << 3)
            slot = slot_of(memory, hpa)
            entry = memory.entry[slot]
            reference(core, hpa, entry, level, 0)
            if not entry & P or _reserved(entry, level):
                regs.fault_code = code | ((PF_PRESENT | PF_RESERVED) if entry & P else 0)
                return PAGE_FAULT, entry, level
            rights = (rights & entry & (RW | US)) | ((rights | entry) & XD)
            if level == 1 or entry & PS:
                break
            if not entry & A:
                memory.entry[slot] = entry | A
            status, frame = locate(core, memory, frame_of(entry), level - 1)
            if status != OK:
                return status, 0, level
            remember(core, ROUTE_PSC, gva, level, (frame << 12) | rights)
            level -= 1
            if level == 1:
                lookahead.remember_guest(core, memory, gva, frame)
        if _x86_denies(rights, kind, user):
            regs.fault_code = code | PF_PRESENT
            return PAGE_FAULT, entry, level
        used = entry | A | (D if kind == STORE else 0)
        if used != entry:
            memory.entry[slot] = used
        if level > 1:
            used &= ~PAT_LARGE
        return OK, (used & ~(_LIMITS | IGNORED)) | rights | (level - 1) << GUEST_SIZE_SHIFT, level

    return walk


linear_walk = _make_walk(_host_frame)
guest_walk = _make_walk(_table_frame)


@inlined
def translate(core, memory, gva, kind, user):
    """A whole walk: (status, TLB entry, page size that the TLB may hold).

    The TLB entry has the x86 leaf layout; its frame is the hfn of the 4 KiB page of
    gva. Its page size is the smaller of the guest's leaf and the host's. Its D bit
    is set only where a store needs no D bit set any more, in either table.
    """
    make_room(core)
    if core.regs[0].eptp < 0:
        status, leaf, level = linear_walk(core, memory, gva, kind, user)
        offset = (gva >> 12) & ((1 << (level_shift(level) - 12)) - 1)
        return status, leaf + (offset << 12), level - 1
    status, leaf, level = guest_walk(core, memory, gva, kind, user)
    if status != OK:
        return status, leaf, level - 1
    offset = (gva >> 12) & ((1 << (level_shift(level) - 12)) - 1)
    gfn = frame_of(leaf) + offset
    status, hfn, host_level, entry = nested_walk(
        core, memory, (gfn << 12) | (gva & 0xFFF), kind == STORE, kind == FETCH, 0
    )
    if status != OK:
        return status, leaf, level - 1
    flags = leaf & ~FRAME
    if not entry & EPT_W:
        flags &= ~RW
    if not entry & EPT_X:
        flags |= XD
    if core.regs[0].ept_ad and not entry & EPT_D:
        flags &= ~D
    if host_level < level:
        core.stats[0].splintered += 1
    return OK, (hfn << 12) | flags, min(level, host_level) - 1


@inlined
def allows(entry, kind, user):
    """True where a TLB entry serves the access without a walk: rights, and D for a store."""
    if kind == STORE and not entry & D:
        return False
    return not _x86_denies(entry, kind, user)
