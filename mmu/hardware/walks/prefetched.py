"""Walks in one and in two dimensions with TLB prefetch: pages are fetched ahead beside them.

A miss of the L2 TLB is looked for in the prefetch buffer; what that lacks is walked for as ever.
Then the pages that are predicted (`hardware.tlb_prefetch`) are walked for in the background: nobody
waits for those walks, whose references go through the caches and are counted at sites of their own.
Where a walker is busy with them, fewer are left (`report.overlap`).

Such a walk changes nothing but caches. A translation may be cached only where A is set in each
entry that it is made of (Intel SDM vol. 3A, 4.10.2.3; EPT's too, where it has A bits, vol. 3C,
29.3.5), and a prefetch sets none: it ends at the first entry without it, as at one that is not
present, and fills nothing. Nor does it set D: a gPT page that EPT has not marked as stored to yet,
as a walk would mark it, ends it, too. It does not ask what the page may be used for: the access
will.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware import tlb_prefetch
from mmulab.mmu.hardware.caches import begin_background, end_background, reference
from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED
from mmulab.mmu.hardware.walk_caches import nested_find, nested_remember
from mmulab.mmu.hardware.walks import one_dimensional, one_or_two, two_dimensional
from mmulab.mmu.hardware.walks.forms import EPT, X86, Form
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import PREFETCH, RADIX, STEP, Site
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_W,
    PAGE_SHIFT,
    A,
    frame_at,
    offset_in,
)
from mmulab.mmu.memory.status import NIL, OK, PAGE_FAULT
from mmulab.mmu.trace import FETCH, LOAD

#: A walk's own, and behind them the same of prefetches.
SITES = RADIX + tuple(
    Site(PREFETCH, site.level, site.located, "gPT" if site.dimension == "guest" else "nPT")
    for site in RADIX
)


@inlined
def _marks_nothing(vcpu):
    return False


@inlined
def _ends(vcpu, address, entry, level, kind, user):
    """The `fault` of a form: it is nobody's."""
    return PAGE_FAULT


@inlined
def _apart(core, vcpu, hpa, entry, site, line, level):
    reference(core, vcpu, hpa, entry, site + len(RADIX), line)


@inlined
def _used(vcpu, entry):
    return entry & A != 0


@inlined
def _used_in_ept(vcpu, entry):
    return entry & EPT_A != 0 or not vcpu.regs[0].root_ad


def _quiet_walk(form: Form, locate: Any, step: int, hints: int, usable: Any) -> Any:
    quiet = form._replace(marks=_marks_nothing, fault=_ends)
    return make_walk(quiet, locate, step, hints, refer=_apart, usable=usable)


_host_walk = _quiet_walk(EPT, in_place, 1, NESTED, _used_in_ept)


@inlined
def _locate(core, vcpu, memory, gfn, level):
    """`two_dimensional.make_locate`'s, which sets nothing and counts nothing."""
    hfn = nested_find(core, vcpu, gfn)
    if hfn >= 0:
        return OK, hfn
    gpa = gfn << PAGE_SHIFT
    status, leaf, host_level = _host_walk(core, vcpu, memory, gpa, LOAD, False, level * STEP)
    if status != OK:
        return status, hfn
    if vcpu.regs[0].root_ad and leaf & (EPT_D | EPT_W) != EPT_D | EPT_W:
        return PAGE_FAULT, hfn
    hfn = frame_at(leaf, gpa, host_level)
    nested_remember(core, vcpu, gfn, hfn)
    return OK, hfn


_guest_walk = _quiet_walk(X86, _locate, STEP, GUEST, _used)
_linear_walk = _quiet_walk(X86, in_place, STEP, GUEST, _used)
_both = two_dimensional.make_translate(_guest_walk, _host_walk)


@inlined
def _one(core, vcpu, memory, gva):
    status, leaf, level = _linear_walk(core, vcpu, memory, gva, LOAD, False, 0)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


@inlined
def _two(core, vcpu, memory, gva):
    return _both(core, vcpu, memory, gva, LOAD, False)


@inlined
def _either(core, vcpu, memory, gva):
    if vcpu.regs[0].root == NIL:
        return _one(core, vcpu, memory, gva)
    return _two(core, vcpu, memory, gva)


def _make_translate(walk: Any, quietly: Any) -> Any:
    """The `translate` of a walk with prefetch. walk: the `translate` without. quietly(core, vcpu,
    memory, gva) -> (status, entry, page size): of a prefetch."""

    @kernel
    def ahead(core, vcpu, memory, gva, size):
        """Fetches what is predicted after a miss of a page of a size."""
        stats = vcpu.stats[0]
        splintered, guest, nested = stats.splintered, stats.guest_pwc_hits, stats.nested_pwc_hits
        for place in range(tlb_prefetch.predict(core, gva, size)):
            target = core.record[0].predicted[place] << PAGE_SHIFT
            if not tlb_prefetch.is_wanted(core, vcpu, gva, target):
                continue
            step = begin_background(core)
            status, entry, size = quietly(core, vcpu, memory, target)
            end_background(core, step)
            stats.tlb_prefetches += 1
            if status == OK:
                stats.tlb_prefetch_fills += 1
                tlb_prefetch.put(core, vcpu, target, entry, size)
        # These counts are of walks that are waited for.
        stats.splintered, stats.guest_pwc_hits, stats.nested_pwc_hits = splintered, guest, nested

    @inlined
    def translate(core, vcpu, memory, gva, kind, user):
        """See `walk.Walk`. A walk again, for rights or D, is no miss."""
        missed = kind != FETCH and not tlb_prefetch.is_in_tlbs(core, vcpu, gva)
        found, entry, size = False, 0, 0
        if missed:
            found, entry, size = tlb_prefetch.take(core, vcpu, gva, kind, user)
        status = OK
        if found:
            vcpu.stats[0].walks[kind] -= 1  # which has been counted
        else:
            status, entry, size = walk(core, vcpu, memory, gva, kind, user)
        if missed and status == OK:
            ahead(core, vcpu, memory, gva, size)
        return status, entry, size

    return translate


ONE = Walk(
    __name__,
    "ONE",
    _make_translate(one_dimensional.translate, _one),
    one_dimensional.fetch_ahead,
    SITES,
)
TWO = Walk(
    __name__,
    "TWO",
    _make_translate(two_dimensional.translate, _two),
    two_dimensional.fetch_ahead,
    SITES,
)

ONE_OR_TWO = Walk(
    __name__,
    "ONE_OR_TWO",
    _make_translate(one_or_two.translate, _either),
    one_or_two.fetch_ahead,
    SITES,
)

#: Walks with prefetch by those without.
WITH_PREFETCH = {
    one_dimensional.WALK: ONE,
    two_dimensional.WALK: TWO,
    one_or_two.WALK: ONE_OR_TWO,
}
