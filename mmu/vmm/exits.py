"""VM exits, and the flushes that a VMM owes."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import NIL


@kernel
def vm_exit(machine, reason):
    """Counts a VM exit, by the number of its reason."""
    machine.vcpu.exits[reason] += 1
    machine.vm.record[0].flushed = 0
    if not machine.vm.record[0].has_vpid:
        instructions.enter_without_vpid(machine)


@kernel
def trap(machine, reason):
    """Counts an entry to a VMM that no virtualization hardware makes: a system call or fault of
    a guest kernel that has no privileges, by the number of its reason."""
    machine.vcpu.exits[reason] += 1


@kernel
def flush_vm(machine):
    """Drops all of a VM's translations, on all of its vCPUs, after a p2m change (INVEPT or, under
    shadow, INVVPID)."""
    instructions.flush_vpid(machine)
    if machine.vm.cpu.size > 1:
        flush_others(machine, 1)


@kernel
def flush_others(machine, changes):
    """The VM's other vCPUs flush before they go on: those that run are kicked out of the guest
    (Linux KVM, kvm_flush_remote_tlbs()), others do it at their next entry. Changes that the VMM
    makes within one exit flush once. changes: that are counted."""
    vm = machine.vm
    for number in range(vm.cpu.size):
        if number != machine.vcpu.regs[0].number:
            vm.cpu[number].owes = 1
    if not vm.record[0].flushed:
        vm.record[0].flushed = 1
        count_changes(machine, changes)


@kernel
def count_changes(machine, counted):
    """So many changes are told to the VM's other vCPUs one by one, though one flush is enough."""
    vm = machine.vm
    mine = vm.cpu[machine.vcpu.regs[0].number]
    kicked = 0
    for number in range(vm.cpu.size):
        other = vm.cpu[number]
        if counted <= 0 or number == machine.vcpu.regs[0].number or other.process == NIL:
            continue
        if other.idle or other.off:
            mine.flushes_left += counted
        else:
            other.kicks_received += counted
            kicked += counted
    mine.kicks_sent += kicked
    mine.remote_flushes += counted if kicked else 0
