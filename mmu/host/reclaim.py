"""What the VMM does to many pages at once for the services that share host memory.

Services choose pages, with NumPy; these carry out what they chose. Each drops what the
technique has mapped first, through the one hook for it, and flushes once at the end.
"""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import pages_in
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.vmm import backing, exits


@kernel
def isolate(machine, gfn):
    """Makes gfn a host page of 4 KiB that nothing maps: a large one is cut first, and from
    now on mapped in small pieces."""
    seam.drop_mapping(machine, gfn)
    if host_size_of(machine, gfn):
        seam.split(machine, gfn)
        backing.split(machine, gfn)


@kernel
def take(machine, gfn):
    """Frees what stands behind a page whose contents the guest has given up, unless it is
    pinned."""
    if machine.vm.p2m[gfn]:
        if is_backed(machine, gfn):
            if frames.is_pinned(machine.host.frames, hfn_of(machine, gfn)):
                return
            isolate(machine, gfn)
        backing.release(machine, gfn)
    machine.vm.contents[gfn] = 0


@entry
def discard(machine: Machine, gfns):
    """Takes away the host frames of pages that the guest has given up."""
    for gfn in gfns:
        take(machine, gfn)
    exits.flush_vm(machine)


@entry
def page_out(machine: Machine, gfns, second_chance):
    """Pages out those of the pages that can be; returns how many are now out.

    second_chance: pages used since the last look stay, and are marked unused; those of a
    large host page are used together, and should stand together in `gfns`. Merged and pinned
    pages and guest page tables stay always, and so does what there is no place for. That tables
    stay is an assumption, which keeps the walks of a VMM's software simple: they are some 0.2 % of
    what they map, and hot.
    """
    done = 0
    asked = NIL
    used = False
    for gfn in gfns:
        hfn = hfn_of(machine, gfn)
        if hfn < 0 or is_table(machine, gfn):
            continue
        if machine.host.frames.frame[hfn].kind == MERGED_PAGE:
            continue
        if frames.is_pinned(machine.host.frames, hfn):
            continue
        if second_chance:
            first = gfn & ~(pages_in(host_size_of(machine, gfn)) - 1)
            if first != asked:
                asked = first
                used = seam.was_accessed(machine, gfn)
            if used:
                continue
        if not backing.has_place(machine, gfn):
            continue
        isolate(machine, gfn)
        if backing.page_out(machine, gfn) == OK:
            done += 1
    exits.flush_vm(machine)
    exits.tell_others(machine, done - 1)
    return done


@entry
def watch(machine: Machine, gfns):
    """Drops what maps the pages, so that `reached` can tell which are used again."""
    for gfn in gfns:
        if is_backed(machine, gfn):
            seam.drop_mapping(machine, gfn)
    exits.flush_vm(machine)


@entry
def reached(machine: Machine, gfns):
    """How many of the pages the guest has used since `watch`."""
    count = 0
    for gfn in gfns:
        if is_backed(machine, gfn) and seam.is_mapped(machine, gfn):
            count += 1
    return count


@entry
def settle(machine: Machine, gfns, tags):
    """Looks at pages: writes the tag of each to `tags`."""
    for position in range(gfns.size):
        tags[position] = contents.look(machine, gfns[position])


@entry
def report_free(machine: Machine, order):
    """Free-page reporting: the guest tells which blocks of 2**order frames or more it does
    not use, and the host takes their frames back. Returns frames freed."""
    guest = machine.vm.frames
    before = frames.available(machine.host.frames)
    gfn = 0
    while gfn < guest.frame.size:
        block = guest.frame[gfn]
        count = 1 << max(0, int(block.order) - 1)
        if block.kind == 0 and block.order > order:
            for other in range(gfn, gfn + count):
                if machine.vm.p2m[other]:
                    take(machine, other)
        gfn += count
    exits.flush_vm(machine)
    return frames.available(machine.host.frames) - before
