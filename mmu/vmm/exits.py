"""VM exits, and the flushes that a VMM owes."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel


@kernel
def vm_exit(machine, reason):
    """Counts a VM exit, by the number of its reason."""
    machine.vcpu.exits[reason] += 1
    if not machine.vm.record[0].has_vpid:
        instructions.enter_without_vpid(machine)


@kernel
def trap(machine, reason):
    """Counts an entry to a VMM that no virtualization hardware makes: a system call or fault of
    a guest kernel that has no privileges, by the number of its reason."""
    machine.vcpu.exits[reason] += 1


@kernel
def flush_vm(machine):
    """Drops all of a VM's translations after a p2m change (INVEPT or, under shadow, INVVPID)."""
    instructions.flush_vpid(machine)
