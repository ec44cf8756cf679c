"""Linux's buffer of hypercalls (arch/x86/xen/multicalls.c): 32 slots, 512 bytes of arguments.

An operation that is like the one before extends it, and takes no slot of its own. What would
fill the buffer to the last byte is refused, and the buffer flushed: 31 updates of 16 bytes fit.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.techniques.paravirt.state import state_of
from mmulab.mmu.vmm.exits import trap

SLOTS = 32  # MC_BATCH
ARGUMENTS = SLOTS * 16  # MC_ARGS, bytes

# Operations; and bytes of their arguments in the buffer: struct mmu_update, struct mmuext_op.
UPDATE, EXTENDED, VA_MAPPING = range(3)
UPDATE_BYTES, EXTENDED_BYTES = 16, 24


@kernel
def flush(machine):
    """Makes the hypercall for all that the buffer holds: xen_mc_flush()."""
    record = state_of(machine).record[0]
    if record.calls:
        trap(machine, record.reason)
    record.calls = 0
    record.bytes = 0


@kernel
def _new_slot(machine, operation, size):
    """__xen_mc_entry()."""
    record = state_of(machine).record[0]
    if record.calls == SLOTS or record.bytes + size >= ARGUMENTS:
        flush(machine)
    record.calls += 1
    record.bytes += size
    record.last = operation


@kernel
def _counted_as(machine, reason):
    """The hypercall that will carry an operation counts under the first reason of any in it."""
    record = state_of(machine).record[0]
    if record.calls == 1 or reason < record.reason:
        record.reason = reason


@kernel
def add(machine, operation, size, reason):
    """An operation in a slot of its own."""
    _new_slot(machine, operation, size)
    _counted_as(machine, reason)


@kernel
def extend(machine, operation, size, reason):
    """An operation that joins the last one where it is of its kind: xen_mc_extend_args()."""
    record = state_of(machine).record[0]
    if record.calls and record.last == operation and record.bytes + size < ARGUMENTS:
        record.bytes += size
    else:
        _new_slot(machine, operation, size)
    _counted_as(machine, reason)


@kernel
def issue(machine):
    """What was added is carried out now, but in lazy MMU mode: xen_mc_issue()."""
    if not state_of(machine).record[0].lazy:
        flush(machine)
