"""Forms: what the entries of a page table are made of, and what they mean to a walker.

A form is data and small kernels, from which `radix.make_walk` makes a loop. x86 is the form of
gPT and sPT, EPT of nPT; another architecture is another form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mmulab.mmu.hardware import rights as x86
from mmulab.mmu.hardware.pml import log_store
from mmulab.mmu.hardware.state import ROUTE_EPT_PSC, ROUTE_PSC
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_X,
    GUEST_SIZE_SHIFT,
    IGNORED,
    INDEX_BITS,
    PAGE_SHIFT,
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
    level_shift,
)
from mmulab.mmu.memory.status import EPT_VIOLATION, PAGE_FAULT
from mmulab.mmu.trace import FETCH, STORE


class Form(NamedTuple):
    """The form of a page table.

    entry_shift: log2 of an entry's bytes. page_shift, index_bits: an address's bits below the
    first index, and a level's. root_bits: the root's, which may be wider. large: bit of a
    leaf above level 1. accessed, dirty: bits that the walker sets in a leaf; above: in entries
    above one. rights: those that a walk begins with; path: those that walk caches keep. cache:
    row of its paging-structure caches.

    Kernels: root(vcpu) -> (frame, levels). beyond(vcpu, address): True where an address has bits
    that no level translates. present(entry). reserved(entry, level), of a present one.
    narrow(rights, entry): rights of the path with one more entry. denies(rights, kind, user).
    marks(vcpu): whether A and D bits are set. logs(vcpu, address): notes that D is about to be
    set; False where the walk stops for want of room. leaf(entry, rights, level): a leaf with the
    rights of its path. fault(vcpu, address, entry, kind, user) -> status, which notes why the walk
    stopped.
    """

    name: str
    entry_shift: int
    page_shift: int
    index_bits: int
    root_bits: int
    large: int
    accessed: int
    dirty: int
    above: int
    rights: int
    path: int
    cache: int
    root: Any
    beyond: Any
    present: Any
    reserved: Any
    narrow: Any
    denies: Any
    marks: Any
    logs: Any
    leaf: Any
    fault: Any


# --- x86-64 (Intel SDM vol. 3A, 4.5) -----------------------------------------------

# Of a walk's rights, what an entry takes away: RW and US by being clear, XD by being set.
_LIMITS = RW | US | XD

PAT_LARGE = 1 << 12  # memory type bit of a large x86 leaf, below its frame's bits


@inlined
def _x86_root(vcpu):
    return vcpu.regs[0].cr3, vcpu.regs[0].levels


@inlined
def never(vcpu, address):
    """No address is beyond the tables: who makes it sees to that."""
    return False


@inlined
def _x86_present(entry):
    return entry & P != 0


@inlined
def _x86_reserved(entry, level):
    """True where a present entry has a reserved bit set (SDM vol. 3A, 4.5.3).

    Bit 7 in a PML4E or PML5E, and the frame bits that a large leaf does not use;
    its bit 12 is PAT.
    """
    if not entry & PS or level == 1:
        return False
    unused = (1 << level_shift(level)) - (PAT_LARGE << 1)
    return level > 3 or (entry & unused) != 0


@inlined
def _x86_marks(vcpu):
    return True


@inlined
def _x86_logs(vcpu, address):
    return True


@inlined
def _x86_leaf(entry, rights, level):
    if level > 1:
        entry &= ~PAT_LARGE
    return (entry & ~(_LIMITS | IGNORED)) | rights | (level - 1) << GUEST_SIZE_SHIFT


@inlined
def _x86_fault(vcpu, gva, entry, level, kind, user):
    """#PF: CR2 and the error code (SDM vol. 3A, 4.7)."""
    regs = vcpu.regs[0]
    code = (PF_WRITE if kind == STORE else 0) | (PF_USER if user else 0)
    code |= PF_FETCH if kind == FETCH else 0
    if entry & P:
        code |= PF_PRESENT
        if _x86_reserved(entry, level):
            code |= PF_RESERVED
    regs.fault_gva = gva
    regs.fault_code = code
    return PAGE_FAULT


X86 = Form(
    name="x86",
    entry_shift=3,
    page_shift=PAGE_SHIFT,
    index_bits=INDEX_BITS,
    root_bits=INDEX_BITS,
    large=PS,
    accessed=A,
    dirty=D,
    above=A,
    rights=RW | US,
    path=_LIMITS,
    cache=ROUTE_PSC,
    root=_x86_root,
    beyond=never,
    present=_x86_present,
    reserved=_x86_reserved,
    narrow=x86.narrow,
    denies=x86.denies,
    marks=_x86_marks,
    logs=_x86_logs,
    leaf=_x86_leaf,
    fault=_x86_fault,
)


# --- EPT (Intel SDM vol. 3C, 29.3) ---------------------------------------------------


@inlined
def _ept_root(vcpu):
    return vcpu.regs[0].root, vcpu.regs[0].root_levels


@inlined
def _ept_present(entry):
    return entry & EPT_RWX != 0


@inlined
def _ept_reserved(entry, level):
    return False


@inlined
def _ept_narrow(rights, entry):
    return rights & entry & EPT_RWX


@inlined
def _ept_denies(rights, kind, user):
    """An access needs its rights of every entry of its path (SDM vol. 3C, 29.3.3.2)."""
    needs = EPT_R | (EPT_W if kind == STORE else 0) | (EPT_X if kind == FETCH else 0)
    return rights & needs != needs


@inlined
def _ept_marks(vcpu):
    return vcpu.regs[0].root_ad != 0


@inlined
def _ept_leaf(entry, rights, level):
    return (entry & ~EPT_RWX) | rights


@inlined
def _ept_fault(vcpu, gpa, entry, level, kind, user):
    """EPT violation: the guest-physical address (SDM vol. 3C, 28.2.1)."""
    vcpu.regs[0].fault_gpa = gpa
    return EPT_VIOLATION


EPT = Form(
    name="ept",
    entry_shift=3,
    page_shift=PAGE_SHIFT,
    index_bits=INDEX_BITS,
    root_bits=INDEX_BITS,
    large=PS,
    accessed=EPT_A,
    dirty=EPT_D,
    above=EPT_A,
    rights=EPT_RWX,
    path=EPT_RWX,
    cache=ROUTE_EPT_PSC,
    root=_ept_root,
    beyond=never,
    present=_ept_present,
    reserved=_ept_reserved,
    narrow=_ept_narrow,
    denies=_ept_denies,
    marks=_ept_marks,
    logs=log_store,
    leaf=_ept_leaf,
    fault=_ept_fault,
)
