"""The guest's walk, each of whose tables is located by a walk of the nested table; then the
page's own: hardware nested paging (EPT, NPT)."""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED, fetch_linear, fetch_nested
from mmulab.mmu.hardware.walk_caches import nested_find, nested_remember
from mmulab.mmu.hardware.walks.coalescing import in_two_dimensions
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    EPT_D,
    EPT_W,
    EPT_X,
    FRAME,
    PAGE_SHIFT,
    RW,
    XD,
    D,
    frame_at,
)
from mmulab.mmu.memory.status import OK
from mmulab.mmu.trace import LOAD, STORE

nested_walk = make_walk(EPT, in_place, 1, NESTED)


def make_locate(nested_walk: Any) -> Any:
    """A kernel that says where a gPT page lies, by the nested TLB or a walk of the nested table:
    the `locate` of `radix.make_walk`. nested_walk: as `make_walk` makes them."""

    @inlined
    def locate(core, vcpu, memory, gfn, level):
        """hfn of a gPT page. With EPT A/D bits on, the reference is a write (SDM 29.3.5)."""
        hfn = nested_find(core, vcpu, gfn)
        if hfn >= 0:
            vcpu.stats[0].ntlb_hits += 1
            return OK, hfn
        kind = STORE if vcpu.regs[0].root_ad else LOAD
        gpa = gfn << PAGE_SHIFT
        status, leaf, host_level = nested_walk(core, vcpu, memory, gpa, kind, False, level * STEP)
        hfn = frame_at(leaf, gpa, host_level)
        if status == OK:
            nested_remember(core, vcpu, gfn, hfn)
        return status, hfn

    return locate


@inlined
def combined(vcpu, leaf, level, below, host_level, gpa):
    """What `walk.Walk.translate` returns of a guest's leaf and the EPT entry below it. The page
    size is the smaller of both."""
    flags = leaf & ~FRAME
    if not below & EPT_W:
        flags &= ~RW
    if not below & EPT_X:
        flags |= XD
    if vcpu.regs[0].root_ad and not below & EPT_D:
        flags &= ~D
    if host_level < level:
        vcpu.stats[0].splintered += 1
    hfn = frame_at(below, gpa, host_level)
    return OK, (hfn << PAGE_SHIFT) | flags, min(level, host_level) - 1


def make_below(nested_walk: Any) -> Any:
    """A kernel that ends a walk in two dimensions by the host's, of the page itself."""

    @inlined
    def below_leaf(core, vcpu, memory, gva, kind, leaf, level):
        """What `walk.Walk` says of a translation whose guest's leaf is known. The page size is the
        smaller of the guest's leaf and the host's."""
        gfn = frame_at(leaf, gva, level)
        gpa = (gfn << PAGE_SHIFT) | (gva & ((1 << PAGE_SHIFT) - 1))
        status, below, host_level = nested_walk(core, vcpu, memory, gpa, kind, False, 0)
        if status != OK:
            return status, leaf, level - 1
        return combined(vcpu, leaf, level, below, host_level, gpa)

    return below_leaf


def make_translate(guest_walk: Any, nested_walk: Any) -> Any:
    """The `translate` of a walk in two dimensions: the guest's, then one for the page itself."""
    below_leaf = make_below(nested_walk)

    @inlined
    def translate(core, vcpu, memory, gva, kind, user):
        """See `walk.Walk`."""
        status, leaf, level = guest_walk(core, vcpu, memory, gva, kind, user, 0)
        if status != OK:
            return status, leaf, level - 1
        return below_leaf(core, vcpu, memory, gva, kind, leaf, level)

    return translate


locate = make_locate(nested_walk)
guest_walk = make_walk(X86, locate, STEP, GUEST)
translate = make_translate(guest_walk, nested_walk)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX, in_two_dimensions)
