"""Walks in two dimensions beside which the entries of the lower levels are fetched.

Tables of a level lie in the order of what they map, so that where the entries of levels 2 and 1 are
follows from the address: they are fetched when the walk begins, and the walk uses what it finds
fetched. Of a walk of four levels s1 to s4, root first, the time is t = s1 + s2; t = max(t, s3);
t = max(t, s4) (VirtASAP4K in xlab-uiuc/dmt, processor/Formula.cs). All references are made.

Here that is a step (`walks.walk`) of each walk of the host's table, and of each run of references
to the guest's tables between two such. The formula has the maximum once more over the levels of
the guest, each with its host walk: steps are not nested, and those are added up.
"""

from __future__ import annotations

from mmulab.mmu.hardware.caches import begin_step, end_step, next_lane, reference
from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED, fetch_linear, fetch_nested
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_locate, make_translate
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined

_PREFETCHED = 2  # levels, from the leaves' on


@inlined
def _beside(core, vcpu, hpa, entry, site, line, level):
    """Notes a reference; one of a prefetched level waits for none before."""
    if core.record[0].step == 0:
        begin_step(core)
    elif level <= _PREFETCHED:
        next_lane(core)
    reference(core, vcpu, hpa, entry, site, line)


_walk_host = make_walk(EPT, in_place, 1, NESTED, refer=_beside)


@inlined
def _host_walk(core, vcpu, memory, gpa, kind, user, site):
    """The nested walk: a step of its own."""
    end_step(core)
    status, leaf, level = _walk_host(core, vcpu, memory, gpa, kind, user, site)
    end_step(core)
    return status, leaf, level


_walk_guest = make_walk(X86, make_locate(_host_walk), STEP, GUEST, refer=_beside)


@inlined
def _guest_walk(core, vcpu, memory, gva, kind, user, site):
    status, leaf, level = _walk_guest(core, vcpu, memory, gva, kind, user, site)
    end_step(core)
    return status, leaf, level


translate = make_translate(_guest_walk, _host_walk)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
