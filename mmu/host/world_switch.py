"""One core, several VMs: what the core must be told when another VM runs."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.hardware import tlb
from mmulab.mmu.hardware.state import STATS, Core, Machine
from mmulab.mmu.kernels.compiling import entry, kernel


def view_of(core: Core) -> Core:
    """The same TLBs and caches with registers and counters of their own: a VM's own core."""
    shared = {name: getattr(core, name) for name in Core.FIELDS}
    own = {
        "regs": core.regs.copy(),
        "stats": np.zeros(1, STATS),
        "references": np.zeros_like(core.references),
    }
    return Core(**(shared | own))


@kernel
def _take_over(core, before):
    """What belongs to the core and not to the VM: the clock, and what its TLBs may hold."""
    mine = core.regs[0]
    mine.clock = before.regs[0].clock
    mine.globals |= before.regs[0].globals
    mine.fragments |= before.regs[0].fragments
    mine.walked |= before.regs[0].walked


@entry
def enter(machine: Machine, before: Core, flush):
    """Runs a VM where another, with the view `before`, ran. flush: the entries of its VPID are
    another's. Without VPIDs every switch flushes."""
    _take_over(machine.core, before)
    if flush or not machine.vm.record[0].has_vpid:
        hardware.flush_vpid(machine.core)
    tlb.forget_predictions(machine.core)


@entry
def leave(machine: Machine):
    """The VM stops running on a core without VPIDs: nothing of it may stay."""
    if not machine.vm.record[0].has_vpid:
        hardware.flush_vpid(machine.core)
