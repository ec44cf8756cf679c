"""Free frames that hold zeros already: HawkEye's thread writes them with nobody waiting."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames


@kernel
def take(machine, pages):
    """So many pages for a first touch need not be zeroed. False where so many are not ready."""
    huge = machine.vm.huge[0]
    if huge.zeroed < pages:
        return False
    huge.zeroed -= pages
    machine.vcpu.stats[0].thp_prezeroed += pages
    return True


@kernel
def make(machine):
    """A period's work. The processor's cycles are another's, and no cache is filled: the thread's
    stores are non-temporal (hawkeye_modules/async-zero/asynczero.c)."""
    huge = machine.vm.huge[0]
    huge.zeroed = min(huge.zeroed + huge.zero_pages, frames.available(machine.vm.frames))
