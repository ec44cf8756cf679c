"""Where accesses stop hitting in L1, looked up without a change to anything."""

from __future__ import annotations

from mmulab.mmu.hardware.replay import _differs, _predicted
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.kernels.compiling import entry


@entry
def first_slow(core: Core, address, mark, position, stop):
    """The first of accesses [position, stop) that a way prediction does not show to hit; `stop`
    where all do. address, mark: of a chunk, as the run loop takes them."""
    while position < stop and not _differs(
        core, address[position], _predicted(core, mark[position])
    ):
        position += 1
    return position
