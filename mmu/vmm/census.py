"""Counting what became of a VM's pages."""

from __future__ import annotations

import numpy as np

from mmu.jit import entry
from mmu.state import MERGED_PAGE, Machine
from mmu.vmm.p2m import hfn_of

#: Pages of a VM by state.
CENSUS = np.dtype(
    [
        ("private", np.int64),  # backed by a host frame of its own
        ("merged", np.int64),  # backed by a shared one
        ("paged_out", np.int64),  # on the host's swap device, or dropped by it
        ("tables", np.int64),  # of the private ones, those that hold gPTs
    ]
)


@entry
def count(machine: Machine, out):
    """Counts every gfn into a CENSUS record."""
    vm = machine.vm
    out[0].private = 0
    out[0].merged = 0
    out[0].paged_out = 0
    for gfn in range(vm.p2m.size):
        entry = vm.p2m[gfn]
        if entry > 0:
            if machine.host.frames.frame[hfn_of(machine, gfn)].kind == MERGED_PAGE:
                out[0].merged += 1
            else:
                out[0].private += 1
        elif entry < 0:
            out[0].paged_out += 1
    out[0].tables = vm.record[0].tables
