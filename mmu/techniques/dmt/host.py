"""The host's side of DMT: its own area, and the guest's areas in one piece (pvDMT)."""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.instructions import flush_vpid
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import ENTRIES, INDEX_BITS
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed, is_merged, is_paged_out
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import GUEST_PAGE, NPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.bare_metal import or_bare_metal
from mmulab.mmu.techniques.dmt.state import ALLOC_TEA, state
from mmulab.mmu.techniques.second_dimension import hooks_for
from mmulab.mmu.vmm.exits import vm_exit

# --- The host's own area -----------------------------------------------------------------


@kernel
def tables_of(machine, level):
    """nPT pages of level 1 or 2 that map all of the guest's memory."""
    bits = INDEX_BITS * level
    return (machine.vm.p2m.size + (1 << bits) - 1) >> bits


@kernel
def _start(machine):
    """Sets frames aside for the host's area; without them the nPT lies anywhere."""
    vm, regs = machine.vm, machine.vcpu.regs[0]
    for level in range(1, 3):
        count = tables_of(machine, level)
        first = take_small_run(machine.host.frames, count, NPT_PAGE, vm.record[0].id)
        regs.host_tea[level - 1] = first
        if first != NIL:
            vm.record[0].host_tables += count
    return nested.start(machine)


@kernel
def _table_in_area(machine, above, index, level):
    """hfn of the nPT page of a level below entry `index` of the one in frame `above`."""
    area = machine.vcpu.regs[0].host_tea
    if level > 2 or area[level - 1] == NIL:
        return NIL
    number = index
    if level == 1:
        number += (above - area[1]) * ENTRIES
        if area[1] == NIL or above < area[1]:
            return NIL
    return area[level - 1] + number if number < tables_of(machine, level) else NIL


@kernel
def _new_table(machine, above, index, level):
    """An empty nPT page: (status, hfn)."""
    hfn = _table_in_area(machine, above, index, level)
    if hfn == NIL:
        hfn = frames.allocate(machine.host.frames, 0, NPT_PAGE, machine.vm.record[0].id, NIL)
        if hfn == NIL:
            return OUT_OF_HOST_FRAMES, hfn
        machine.vm.record[0].host_tables += 1
    return (OK if memory.open_table(machine.host.memory, hfn) else OUT_OF_TABLES), hfn


map_page = nested.make_map_page(_new_table)
_HOOKS = hooks_for(nested.leaf_address, map_page)
_drop_mapping = _HOOKS["drop_mapping"]

# --- The guest's areas ---------------------------------------------------------------------


@kernel
def _lies_in_one_piece(machine, first, count):
    """Whether frames of the guest are backed by as many frames of the host's, in order."""
    for gfn in range(first, first + count):
        if not is_backed(machine, gfn) or is_merged(machine, gfn):
            return False
        if hfn_of(machine, gfn) != hfn_of(machine, first) + gfn - first:
            return False
    return True


@kernel
def _can_move(machine, first, count):
    """Whether the VMM can put other frames behind those of the guest."""
    for gfn in range(first, first + count):
        if is_paged_out(machine, gfn):
            return False
        if is_backed(machine, gfn):
            fixed = frames.is_pinned(machine.host.frames, hfn_of(machine, gfn))
            holds_table = machine.host.memory.table[hfn_of(machine, gfn)] != 0
            if fixed or holds_table or host_size_of(machine, gfn) or is_merged(machine, gfn):
                return False
    return True


@kernel
def _move(machine, first, count, hfn):
    """Frames of the guest lie from hfn on from now on; what they held is lost."""
    vm, host = machine.vm, machine.host.frames
    for gfn in range(first, first + count):
        if is_backed(machine, gfn):
            _drop_mapping(machine, gfn)
            host.frame[hfn_of(machine, gfn)].reverse = 0
            frames.release(host, hfn_of(machine, gfn))
            vm.record[0].held -= 1
        vm.p2m[gfn] = (hfn + gfn - first + 1) << 2
        host.frame[hfn + gfn - first].reverse = gfn + 1
        vm.record[0].held += 1
        contents.write(machine, gfn, 0)
    flush_vpid(machine)


@kernel
def back_in_one_piece(machine, first, count):
    """Hypercall: the host backs frames that the guest has taken for an area by one piece, pinned.
    Returns its first hfn; NIL where it has none."""
    vm_exit(machine, ALLOC_TEA)
    host = machine.host.frames
    if not _lies_in_one_piece(machine, first, count):
        if not _can_move(machine, first, count):
            return NIL
        if frames.available(host) < host.counts[frames.MIN] + 2 * count:
            return NIL
        hfn = take_small_run(host, count, GUEST_PAGE, machine.vm.record[0].id)
        if hfn == NIL:
            return NIL
        _move(machine, first, count, hfn)
    for gfn in range(first, first + count):
        frames.pin(host, hfn_of(machine, gfn))
    return hfn_of(machine, first)


@kernel
def unpin(machine, first, count):
    """Hypercall: the guest does not need it in one piece any more."""
    vm_exit(machine, ALLOC_TEA)
    for gfn in range(first, first + count):
        frames.unpin(machine.host.frames, hfn_of(machine, gfn))


@kernel
def _stop(machine):
    areas = state(machine.vm.private).tea
    for number in range(areas.size):
        tea = areas[number]
        if tea.level and tea.host != NIL:
            for gfn in range(tea.base, tea.base + tea.count):
                frames.unpin(machine.host.frames, hfn_of(machine, gfn))
            tea.host = NIL
    return nested.stop(machine)


@kernel
def _is_native(machine):
    return state(machine.vm.private).native[0] != 0


HOOKS = or_bare_metal({**_HOOKS, "start": _start, "stop": _stop}, _is_native)
