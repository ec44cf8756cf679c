"""A walk in two stages as RISC-V and Arm have it: what differs from EPT.

The walker reads the guest's tables by implicit loads: reading one marks its page accessed, not
dirty. Where it sets A or D in a guest's leaf it stores, and needs a second stage that lets it
(RISC-V Privileged Architecture, two-stage address translation; Arm ARM, D8.5, hardware updates of
the translation tables). EPT with A and D bits has it that each read is a store.

A table that the walker may not store to yet is not kept by walk caches, so that what they give
can always be written: an assumption, no processor says. It costs a walk of the second stage more
where a table's page has just come back from the host, whose D bit is clear.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED
from mmulab.mmu.hardware.walk_caches import nested_find, nested_remember
from mmulab.mmu.hardware.walks.forms import Form
from mmulab.mmu.hardware.walks.radix import Stores, in_place, make_walk
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_translate
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import EPT_D, EPT_W, PAGE_SHIFT, frame_at
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.trace import LOAD, STORE


@inlined
def _is_storable(vcpu, leaf):
    """Whether a leaf of the second stage lets the walker store without a change to it."""
    return leaf & EPT_W != 0 and (vcpu.regs[0].root_ad == 0 or leaf & EPT_D != 0)


def make_locate(second_walk: Any, blame_table: Any) -> Any:
    """The `locate` of `radix.make_walk`: where a table lies, by an implicit load."""

    @inlined
    def locate(core, vcpu, memory, gfn, level):
        vcpu.regs[0].storable = 1
        hfn = nested_find(core, vcpu, gfn)
        if hfn >= 0:
            vcpu.stats[0].ntlb_hits += 1
            return OK, hfn
        gpa = gfn << PAGE_SHIFT
        status, leaf, of = second_walk(core, vcpu, memory, gpa, LOAD, True, level * STEP)
        hfn = frame_at(leaf, gpa, of)
        if status != OK:
            blame_table(vcpu)
        elif _is_storable(vcpu, leaf):
            nested_remember(core, vcpu, gfn, hfn)
        else:
            vcpu.regs[0].storable = 0
        return status, hfn

    return locate


def make_stores(second_walk: Any, blame_table: Any) -> Stores:
    """An implicit store walks the second stage again, where the load found it not ready."""

    @inlined
    def keeps(vcpu):
        return vcpu.regs[0].storable != 0

    @inlined
    def admit(core, vcpu, memory, table, level):
        if vcpu.regs[0].storable:
            return OK
        gpa = table << PAGE_SHIFT
        status, _, _ = second_walk(core, vcpu, memory, gpa, STORE, True, level * STEP)
        if status != OK:
            blame_table(vcpu)
        return status

    return Stores(keeps, admit)


def make_two_stages(first: Form, second: Form, blame: Any, blame_table: Any) -> Any:
    """The `translate` of `walk.Walk`, and what a fault of the second stage is called:
    blame(vcpu, gva, kind) puts that into the registers once one has stopped an access of a kind,
    blame_table(vcpu) before, where a table was to be located for it."""
    second_walk = make_walk(second, in_place, 1, NESTED)
    locate, stores = (make(second_walk, blame_table) for make in (make_locate, make_stores))
    first_walk = make_walk(first, locate, STEP, GUEST, stores=stores)
    both = make_translate(first_walk, second_walk)

    @inlined
    def translate(core, vcpu, memory, gva, kind, user):
        """See `walk.Walk`."""
        vcpu.regs[0].storable = 1
        status, entry, size = both(core, vcpu, memory, gva, kind, user)
        if status == EPT_VIOLATION:
            blame(vcpu, gva, kind)
        return status, entry, size

    return translate
