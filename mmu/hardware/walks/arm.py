"""Arm, VMSAv8-64 with a granule of 4 KiB: stage 1 of three to five levels, and below a guest
stage 2, whose tables may be concatenated.

Rules (Arm Architecture Reference Manual for A-profile, D8), as far as a walk can tell them from
x86's:

    - up to 16 tables lie side by side at the first level of stage 2: an intermediate physical
      address (IPA) of 40 bits takes three levels, the first of two tables, not four. A wider
      address is a translation fault of level 0;
    - the access flag and the dirty state (hardware updates, FEAT_HAFDBS) are a leaf's alone;
    - descriptors of stage 1 are read by loads, and written by stores (`second_stage`).

Entries lie in memory in the layout of `memory.entries`; `memory.formats` gives them in Arm's.
"""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.riscv import fetch_ahead, fetch_ahead_of_both
from mmulab.mmu.hardware.walks.second_stage import make_two_stages
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import EPT_RWX, INDEX_BITS, PAGE_SHIFT, PS, P, offset_in
from mmulab.mmu.memory.status import EPT_VIOLATION, PAGE_FAULT
from mmulab.mmu.trace import STORE

#: Of the syndrome (ESR_ELx): fault status codes, to which the level is added, and flags.
TRANSLATION, PERMISSION, TRANSLATION_AT_MINUS_1 = 0b000100, 0b001100, 0b101011
WRITE, OF_TABLE = 1 << 6, 1 << 7  # WnR, S1PTW

CONCATENATED = 4  # bits of the first level of stage 2 beyond a table's


@inlined
def _status(is_present, level, kind):
    """The level counts from 0 at four levels of table down to 3; a fifth is level -1."""
    write = WRITE if kind == STORE else 0
    if is_present:
        return PERMISSION + (4 - level) + write
    return (TRANSLATION_AT_MINUS_1 if level == 5 else TRANSLATION + (4 - level)) + write


@inlined
def _reserved(entry, level):
    """Blocks are of 1 GiB and 2 MiB: above, bit 1 clear makes a descriptor invalid."""
    return level > 3 and entry & PS != 0


@inlined
def _fault(vcpu, gva, entry, level, kind, user):
    vcpu.regs[0].fault_gva = gva
    is_present = entry & P != 0 and not _reserved(entry, level)
    vcpu.regs[0].fault_code = _status(is_present, level, kind)
    return PAGE_FAULT


@inlined
def _beyond(vcpu, ipa):
    return ipa >> vcpu.regs[0].physical_bits != 0


@inlined
def _stage_2_fault(vcpu, ipa, entry, level, kind, user):
    vcpu.regs[0].fault_gpa = ipa
    is_present = entry & EPT_RWX != 0 and not _reserved(entry, level)
    of = 4 if _beyond(vcpu, ipa) else level  # level 0, by the manual
    vcpu.regs[0].fault_code = _status(is_present, of, kind)
    return EPT_VIOLATION


@inlined
def _blame(vcpu, gva, kind):
    vcpu.regs[0].fault_gva = gva


@inlined
def _blame_table(vcpu):
    vcpu.regs[0].fault_code |= OF_TABLE


STAGE_1 = X86._replace(name="arm-1", above=0, reserved=_reserved, fault=_fault)
STAGE_2 = EPT._replace(
    name="arm-2",
    root_bits=INDEX_BITS + CONCATENATED,
    above=0,
    beyond=_beyond,
    reserved=_reserved,
    fault=_stage_2_fault,
)

_linear_walk = make_walk(STAGE_1, in_place, STEP, GUEST)


@inlined
def one_stage(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level = _linear_walk(core, vcpu, memory, gva, kind, user, 0)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


two_stages = make_two_stages(STAGE_1, STAGE_2, _blame, _blame_table)

ONE_STAGE = Walk(__name__, "ONE_STAGE", one_stage, fetch_ahead, RADIX)
TWO_STAGES = Walk(__name__, "TWO_STAGES", two_stages, fetch_ahead_of_both, RADIX)
