"""RISC-V: Sv39, Sv48, Sv57 of three to five levels, and below a guest Sv39x4, Sv48x4, Sv57x4.

Rules of the Privileged Architecture (Supervisor-Level ISA, "Sv39"; "H" Extension, "Guest Physical
Address Translation"), as far as a walk can tell them from x86's:

    - an entry is a leaf by R, W or X; rights and the A and D bits are a leaf's alone;
    - a guest-physical address has 41, 50 or 59 bits: the root has four times the entries, in
      16 KiB that begin at a multiple of 16 KiB. Above, there is a guest-page fault;
    - every access of the guest-physical stage counts as the user's; tables of the other are read
      by implicit loads, and written by implicit stores (`second_stage`);
    - a fault is named by the access that the program made, whichever stage stops it;
    - a supervisor never fetches from a user's page.

Entries lie in memory in the layout of `memory.entries`; `memory.formats` gives them in RISC-V's.
Hardware sets A and D (Svadu). sstatus.SUM is set while the kernel runs.
"""

from __future__ import annotations

from mmulab.mmu.hardware import rights as x86
from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear, fetch_nested
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.second_stage import make_two_stages
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, PS, US, level_shift, offset_in
from mmulab.mmu.memory.status import EPT_VIOLATION, PAGE_FAULT
from mmulab.mmu.trace import FETCH, STORE

#: Exception codes (scause): of the first stage, and what a guest-page fault adds.
FETCH_FAULT, LOAD_FAULT, STORE_FAULT, OF_GUEST_PAGE = 12, 13, 15, 8

WIDER = 2  # bits of the root of the guest-physical stage beyond a table's


@inlined
def _cause(kind):
    return FETCH_FAULT if kind == FETCH else STORE_FAULT if kind == STORE else LOAD_FAULT


@inlined
def _reserved(entry, level):
    """A misaligned superpage: low bits of its frame are set. Pages of 512 GiB and more, which the
    architecture has, are not modelled."""
    if not entry & PS or level == 1:
        return False
    return level > 3 or (entry & ((1 << level_shift(level)) - (1 << PAGE_SHIFT))) != 0


@inlined
def _denies(rights, kind, user):
    return x86.denies(rights, kind, user) or (kind == FETCH and not user and rights & US)


@inlined
def _fault(vcpu, gva, entry, level, kind, user):
    vcpu.regs[0].fault_gva = gva
    vcpu.regs[0].fault_code = _cause(kind)
    return PAGE_FAULT


@inlined
def _beyond(vcpu, gpa):
    return gpa >> vcpu.regs[0].physical_bits != 0


@inlined
def _guest_page_fault(vcpu, gpa, entry, level, kind, user):
    vcpu.regs[0].fault_gpa = gpa
    return EPT_VIOLATION


@inlined
def _blame(vcpu, gva, kind):
    vcpu.regs[0].fault_gva = gva
    vcpu.regs[0].fault_code = _cause(kind) + OF_GUEST_PAGE


@inlined
def _no_more(vcpu):
    """The code does not tell which of the two stages' accesses was stopped: mtinst does."""


SV = X86._replace(name="sv", above=0, reserved=_reserved, denies=_denies, fault=_fault)
SV_X4 = EPT._replace(
    name="sv-x4",
    root_bits=INDEX_BITS + WIDER,
    above=0,
    beyond=_beyond,
    reserved=_reserved,
    fault=_guest_page_fault,
)

_linear_walk = make_walk(SV, in_place, STEP, GUEST)


@inlined
def one_stage(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level = _linear_walk(core, vcpu, memory, gva, kind, user, 0)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


two_stages = make_two_stages(SV, SV_X4, _blame, _no_more)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


@inlined
def fetch_ahead_of_both(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


ONE_STAGE = Walk(__name__, "ONE_STAGE", one_stage, fetch_ahead, RADIX)
TWO_STAGES = Walk(__name__, "TWO_STAGES", two_stages, fetch_ahead_of_both, RADIX)
