"""The balloon device: what a guest gives is taken from behind it."""

from __future__ import annotations

from mmulab.mmu.host import reclaim
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import OK
from mmulab.mmu.vmm import exits


@kernel
def give(machine, gfn):
    """A page is the balloon's now. The guest has given up what it held."""
    reclaim.take(machine, gfn)
    return OK


@kernel
def done(machine):
    """The guest has given what it will: its translations of those pages go."""
    exits.flush_vm(machine)
    return OK
