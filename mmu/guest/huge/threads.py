"""Timers and threads of the guest kernel that make huge pages.

Each timer belongs to a thread that sleeps for a time, works, and sleeps again from the end of its
work on, as Linux's wait_event_freezable_timeout() has it. In a comparison a tick is an access, so
that all techniques have the same; a VM of a host is told the time when its turn begins, and has a
thread awake at most once a turn. A thread takes no time but what its work is charged for.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.huge import TIMERS
from mmulab.mmu.memory.status import OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam


@kernel
def rouse(machine):
    """Notes which timers have rung, unless threads are awake already. Returns a status."""
    status = frames_at_hand(machine, 0)
    huge = machine.vm.huge[0]
    if status != OK or huge.awake:
        return status
    passed = huge.slept - huge.alarm
    for timer in range(TIMERS):
        if huge.left[timer]:
            huge.left[timer] -= passed
            if huge.left[timer] <= 0:
                huge.awake |= 1 << timer
                machine.vcpu.stats[0].thp_wakes += 1
                huge.left[timer] = 1  # on; `rest` says for how long
    return OK


@inlined
def is_awake(machine, timer):
    """True where a timer has rung, and its thread has not done its work."""
    return machine.vm.huge[0].awake >> timer & 1


@inlined
def rest(machine, timer, ticks):
    """A thread has done its work, and sleeps for so many ticks."""
    machine.vm.huge[0].awake &= ~(1 << timer)
    machine.vm.huge[0].left[timer] = ticks


@kernel
def leave(machine, status):
    """The kernel is left; with all work done, sets the alarm for who wakes up first. status: what
    work came to. Returns a status."""
    left = seam.kernel_leave(machine)
    if status != OK or left != OK:
        return status if status != OK else left
    huge = machine.vm.huge[0]
    first = 0
    for timer in range(TIMERS):
        ticks = huge.left[timer]
        if ticks and (first == 0 or ticks < first):
            first = ticks
    huge.slept = first
    huge.alarm = first
    huge.due = 0
    return OK
