"""What a walk is to the run loop: kernels that are compiled into it, and its sites.

References are waited for in the order in which `caches.reference` is told of them. Those that the
hardware sends out at once are a step:

    begin_step(core)
    for way in range(ways):
        if way:
            next_lane(core)  # waits for nothing before
        reference(core, vcpu, ...)
    end_step(core)

A lane is what waits for each other: one probe of a hashed table, or the references of an ordinary
walk beside which others are fetched ahead. The program waits for the lane that reaches furthest
down the caches, the first of those where several do; the others count as `VCPU.hidden`, and cost
nothing. A walk that stops within a step ends it first. Steps are not nested. What is read in the
background (`begin_background`), such as a missing entry of a walk cache, nobody waits for.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.walks.coalescing import never
from mmulab.mmu.hardware.walks.sites import MOST_SITES, Site
from mmulab.mmu.kernels.namespaces import Kernels


class Walk(Kernels):
    """A walk. module, name: where this object is to be found, for the compiler.

    translate(core, vcpu, memory, gva, kind, user) -> (status, entry, page size): OK with the
    TLB entry that serves gva, in the layout of an x86 leaf, its frame that of the 4 KiB page
    of gva, bits 10:9 the page size of the guest's own leaf, D set only where a store needs no
    D bit set any more; and the page size that the TLB may hold it as. Else why it stopped.

    fetch_ahead(core, vcpu, memory, address, position, end): after a walk, asks the machine
    that simulates for what the walks of the accesses to come will read; changes no result.

    coalesces(core, vcpu, memory, gva) -> bool: see `coalescing`.

    sites: what each reference is; `caches.reference` is told its number. A walk notes at
    most `caches.MOST_OF_A_WALK` references.
    """

    def __init__(
        self,
        module: str,
        name: str,
        translate: Any,
        fetch_ahead: Any,
        sites: tuple[Site, ...],
        coalesces: Any = never,
    ) -> None:
        if len(sites) > MOST_SITES:
            raise ValueError(f"{len(sites)} sites; expected at most {MOST_SITES}")
        super().__init__(
            module, name, translate=translate, fetch_ahead=fetch_ahead, coalesces=coalesces
        )
        self.sites = sites
