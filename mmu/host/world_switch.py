"""A core and several vCPUs: what the core must be told when another runs."""

from __future__ import annotations

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.hardware import tlb
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.techniques import seam


@entry
def enter(machine: Machine):
    """Runs a vCPU where another ran. Without VPIDs every switch flushes. Returns a status."""
    hardware.adopt(machine.core, machine.vcpu)
    if not machine.vm.record[0].has_vpid:
        hardware.flush_vpid(machine.core, machine.vcpu)
    tlb.forget_predictions(machine.core)
    return seam.world_in(machine)


@entry
def leave(machine: Machine):
    """The vCPU stops running. On a core without VPIDs nothing of it may stay. Returns a status."""
    if not machine.vm.record[0].has_vpid:
        hardware.flush_vpid(machine.core, machine.vcpu)
    return seam.world_out(machine)


@entry
def flush(machine: Machine):
    """The vCPU has come from another core: what it left here before goes."""
    hardware.flush_vpid(machine.core, machine.vcpu)
