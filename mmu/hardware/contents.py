"""What pages hold, as tags: equal pages have equal tags. Followed where VMs share a host.

    0            zeros
    < 0          written by the guest: a tag of its own for each time someone looks
    > 0          as a trace tells (CONTENT events); from 2**62 on, a page of a file

`VM.contents` is what the guest wrote to its frames, `Memory.contents` what the host's
frames hold, `Disk.contents` blocks: whatever the VMM does to a page moves the second
and third, and must never make them differ from the first (`mmu.check.host`).

A store that hits in the TLB costs no time here: `Memory.written` marks a frame at its
first store since `look` last did, which makes the core forget that it may store there
unseen (`tlb.forget_predictions`; nothing that hardware knows of).
"""

from __future__ import annotations

from mmulab.mmu.hardware import tlb
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.status import NIL

OWNER_SHIFT = 48  # of a VM's number in the tags of its writes


@kernel
def write(machine, gfn, tag):
    """The guest has filled a whole page."""
    machine.vm.contents[gfn] = tag
    if machine.vm.record[0].tracked:
        hfn = hfn_of(machine, gfn)
        if hfn != NIL:
            machine.host.memory.contents[hfn] = tag
            machine.host.memory.written[hfn] = 0


@kernel
def look(machine, gfn):
    """Looks at a page: if it has been stored to, it holds something new. Returns its tag."""
    vm = machine.vm
    if vm.record[0].tracked:
        hfn = hfn_of(machine, gfn)
        if hfn != NIL and machine.host.memory.written[hfn]:
            vm.record[0].unique += 1
            write(machine, gfn, -((vm.record[0].id << OWNER_SHIFT) | vm.record[0].unique))
            tlb.forget_predictions(machine.core)
    return vm.contents[gfn]
