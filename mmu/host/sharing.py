"""Merging pages that hold the same into one frame that all map read-only.

Those that share a frame stand in its chain (`mmu.memory.sharers`); a service that holds a
reference of its own does not.
"""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.reclaim import isolate
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory import frames, sharers
from mmulab.mmu.memory.guest_tables import is_table
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed, is_merged
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.vmm import backing, exits

MERGED, CUT = 1, 2  # flags of what `join` did


@kernel
def join(machine, gfn, hfn, tag):
    """Puts a shared frame behind a page, if the page still holds what the tag stands for.

    A page whose own frame is named is shared from now on. Every other page's frame is
    freed, and the named one, shared already, has one reference more. The caller flushes; other
    vCPUs are told of each page (Linux, mm/ksm.c: write_protect_page(), and replace_page() where
    that had to change nothing, flush by an MMU notifier).
    Returns flags: MERGED, and CUT where a large host page was cut for it; 0 where the page
    stays as it is: it may be pinned, or there may be no room for one more sharer.
    """
    if not is_backed(machine, gfn) or is_merged(machine, gfn) or is_table(machine, gfn):
        return 0
    if contents.look(machine, gfn) != tag:
        return 0
    if frames.is_pinned(machine.host.frames, hfn_of(machine, gfn)):
        return 0
    if not sharers.has_room(machine.host):
        return 0
    done = MERGED | (CUT if host_size_of(machine, gfn) else 0)
    isolate(machine, gfn)
    shared = machine.host.frames.frame[hfn]
    if hfn_of(machine, gfn) == hfn:
        frames.change_kind(machine.host.frames, hfn, MERGED_PAGE)
        shared.owner = 0
        shared.reverse = 0  # no sharer yet
    else:
        backing.release(machine, gfn)
        shared.references += 1
        machine.vm.p2m[gfn] = (hfn + 1) << 2
        machine.vm.record[0].held += 1
    machine.vm.record[0].merged += 1
    sharers.add(machine.host, hfn, machine.vm, gfn)
    exits.tell_others(machine, 1)
    return done


@entry
def join_held(machine: Machine, gfns, hfns, tags):
    """`join` for each of some pages that a reference to the shared frame has been held for:
    (pages merged, large host pages cut)."""
    merged = 0
    cut = 0
    for position in range(gfns.size):
        done = join(machine, gfns[position], hfns[position], tags[position])
        frames.release(machine.host.frames, hfns[position])
        merged += int(done & MERGED != 0)
        cut += int(done & CUT != 0)
    exits.flush_here(machine)
    return merged, cut
