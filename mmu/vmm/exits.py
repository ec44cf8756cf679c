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
def flush_here(machine):
    """Drops all translations of the VM's vCPU that runs here."""
    instructions.flush_vpid(machine)


@kernel
def flush_vm(machine):
    """Drops all of a VM's translations, on all of its vCPUs, after a p2m change (INVEPT or, under
    shadow, INVVPID)."""
    instructions.flush_vpid(machine)
    if machine.vm.cpu.size > 1:
        flush_others(machine)


@kernel
def flush_others(machine):
    """The VM's other vCPUs flush before they go on. Changes that the VMM makes within one exit
    are told once."""
    if not machine.vm.record[0].flushed:
        tell_others(machine, 1)
    for number in range(machine.vm.cpu.size):
        if number != machine.vcpu.regs[0].number:
            machine.vm.cpu[number].owes = 1


@kernel
def tell_others(machine, changes):
    """The VM's other vCPUs are told of so many changes one by one: those that run are kicked out of
    the guest (Linux KVM, kvm_flush_remote_tlbs()), others flush at their next entry."""
    vm = machine.vm
    vm.record[0].flushed = 1
    mine = vm.cpu[machine.vcpu.regs[0].number]
    kicked = 0
    for number in range(vm.cpu.size):
        other = vm.cpu[number]
        if changes <= 0 or number == machine.vcpu.regs[0].number:
            continue
        other.owes = 1
        if other.process == NIL:
            continue
        if other.idle or other.off:
            mine.flushes_left += changes
        else:
            other.kicks_received += changes
            kicked += changes
    mine.kicks_sent += kicked
    mine.remote_flushes += changes if kicked else 0
