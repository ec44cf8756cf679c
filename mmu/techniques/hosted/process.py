"""The host OS's side: the guest's memory is memory of one of its processes.

Each page that the VMM needs is asked of the host, in its own world: the processor's whole state is
switched there and back, and the host's kernel handles a page fault of the process. It keeps the
process's page table beside what the hardware walks; a table of the lowest level is set aside for
each 2 MiB in use, as Linux deposits one for a large page that may be cut (mm/pgtable-generic.c,
pgtable_trans_huge_deposit()). What it pages out it takes from the process, and tells the VMM (an
MMU notifier): that is `drop_mapping`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS
from mmulab.mmu.memory.p2m import is_backed
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, REFUSED_BY_HOST
from mmulab.mmu.techniques import shadow
from mmulab.mmu.techniques.shadow.state import ShadowState
from mmulab.mmu.techniques.shadow.state import make_state as make_shadow
from mmulab.mmu.techniques.technique import Sizes
from mmulab.mmu.vmm import backing
from mmulab.mmu.vmm.exits import trap

MODES = ("nested", "shadow")
NESTED, SHADOW = range(2)

HOST_CALL = len(shadow.TECHNIQUE.exits)  # index of the exit reason
WORLD_SWITCHES = len(shadow.TECHNIQUE.counters)  # index of the counter


class HostedState(ShadowState):
    mode: np.ndarray  # [1]
    leaf: np.ndarray  # [2 MiB of guest memory]: frame + 1 of the process's table; 0: none

    # Shadow's fields first: its kernels find them where they look.
    FIELDS = {
        **ShadowState.FIELDS,
        "mode": ArrayField(np.int64),
        "leaf": ArrayField(np.int64),
    }


_as_state = as_struct(HostedState)


@inlined
def state_of(machine):
    """The state of a machine's VM."""
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> HostedState:
    """Of a VM that has not been started."""
    whole = make_shadow(sizes, values)
    return HostedState(
        **{name: getattr(whole, name) for name in ShadowState.FIELDS},
        mode=np.full(1, MODES.index(values["mmu"]), np.int64),
        leaf=np.zeros((sizes.guest_frames >> INDEX_BITS) + 1, np.int64),
    )


@kernel
def admit(machine):
    """Linux refuses a mapping that is larger than all memory and swap together
    (Documentation/mm/overcommit-accounting.rst, mode 0; mm/util.c, __vm_enough_memory())."""
    total = machine.host.frames.counts[frames.TOTAL] + machine.host.swap.references.size
    return REFUSED_BY_HOST if machine.vm.p2m.size > total else OK


@kernel
def end(machine):
    """The process ends: its tables go back."""
    state = state_of(machine)
    for region in range(state.leaf.size):
        if state.leaf[region]:
            frames.release(machine.host.frames, state.leaf[region] - 1)
            machine.vm.record[0].host_tables -= 1
            state.leaf[region] = 0


@kernel
def _call(machine, gfn):
    """A world switch to the host and, later, back; there is a table for the page: a status."""
    trap(machine, HOST_CALL)
    state = state_of(machine)
    region = gfn >> INDEX_BITS
    if state.leaf[region]:
        return OK
    host = machine.host.frames
    hfn = frames.allocate(host, 0, NPT_PAGE, machine.vm.record[0].id, NIL)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES
    state.leaf[region] = hfn + 1
    machine.vm.record[0].host_tables += 1
    return OK


@kernel
def back(machine, gfn):
    if is_backed(machine, gfn):
        return OK
    status = _call(machine, gfn)
    return status if status != OK else backing.back(machine, gfn)


@kernel
def overwrite(machine, gfn, by_device):
    status = _call(machine, gfn)
    return status if status != OK else backing.overwrite(machine, gfn, by_device)


@kernel
def own(machine, gfn):
    status = _call(machine, gfn)
    return status if status != OK else backing.own(machine, gfn)


BACKING = {"back": back, "overwrite": overwrite, "own": own}
