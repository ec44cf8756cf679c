"""What the first touches of memory cost, apart from what goes on for as long as a program runs.

A first touch is an access for which the guest takes, or the VMM backs, more memory than ever
before: a longer run has no more of them. What is mended while one is under way (the guest's fault
with its zeroing, EPT violations, hidden faults for the new sPTE) is counted here once more.
A page that is freed and touched again is no first touch.
"""

from __future__ import annotations

from mmulab.mmu.hardware.state import MAX_COUNTERS, MAX_REASONS
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.frames import OF_KIND
from mmulab.mmu.memory.state import GUEST_PAGE


@kernel
def begin_mending(machine, is_first):
    """Before a fault is mended. is_first: of its access."""
    vcpu = machine.vcpu
    stats, before = vcpu.stats[0], vcpu.before[0]
    before.guest_faults = stats.guest_faults
    before.pages_zeroed = stats.pages_zeroed
    before.pages_copied = stats.pages_copied
    before.invlpgs = stats.invlpgs
    before.cr3_loads = stats.cr3_loads
    before.host_copies = stats.host_copies
    for reason in range(MAX_REASONS):
        vcpu.before_exits[reason] = vcpu.exits[reason]
    for counter in range(MAX_COUNTERS):
        vcpu.before_own[counter] = vcpu.own[counter]
    if is_first:
        vcpu.first[0].is_touch = 0


@kernel
def end_mending(machine):
    """After a fault was mended."""
    vcpu, first = machine.vcpu, machine.vcpu.first[0]
    guest = machine.vm.frames.counts[OF_KIND + GUEST_PAGE]
    host = machine.host.frames.counts[OF_KIND + GUEST_PAGE]
    if guest > first.most_of_guest or host > first.most_of_host:
        first.is_touch = 1
        first.most_of_guest = max(guest, first.most_of_guest)
        first.most_of_host = max(host, first.most_of_host)
    if not first.is_touch:
        return
    stats, before = vcpu.stats[0], vcpu.before[0]
    first.guest_faults += stats.guest_faults - before.guest_faults
    first.pages_zeroed += stats.pages_zeroed - before.pages_zeroed
    first.pages_copied += stats.pages_copied - before.pages_copied
    first.invlpgs += stats.invlpgs - before.invlpgs
    first.cr3_loads += stats.cr3_loads - before.cr3_loads
    first.host_copies += stats.host_copies - before.host_copies
    for reason in range(MAX_REASONS):
        vcpu.first_exits[reason] += vcpu.exits[reason] - vcpu.before_exits[reason]
    for counter in range(MAX_COUNTERS):
        vcpu.first_own[counter] += vcpu.own[counter] - vcpu.before_own[counter]
