"""Guest memory in hugetlbfs: pages of one large size, taken from the host before it runs VMs.

The pool holds what the VMs need, and nobody else has any use of it: "Pages that are used as huge
pages are reserved inside the kernel and cannot be used for other purposes. Huge pages cannot be
swapped out under memory pressure" (Linux, Documentation/admin-guide/mm/hugetlbpage.rst). Each page
is pinned here, so that it is not paged out, cut or merged (mm/ksm.c passes hugetlb areas over), and
is not given back where the guest gives up a part of it, or all of it: a device drops whole pages
alone (QEMU hw/virtio/virtio-balloon.c), and those return to the pool.
"""

from __future__ import annotations

from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS, SIZE_NAMES, pages_in
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.vmm import backing


@entry
def _reserve(machine: Machine):
    """Backs all of a VM's memory. Returns the pages that it got."""
    vm = machine.vm
    size = vm.record[0].host_size
    count = pages_in(size)
    got = 0
    for first in range(0, vm.p2m.size, count):
        if not backing.place(machine, first, size):
            break
        frames.pin(machine.host.frames, hfn_of(machine, first))
        got += 1
    vm.record[0].hugetlb = 1
    return got


def reserve(guest: Guest) -> None:
    """Raises InputError where the host has not enough pages of the size."""
    size = int(guest.vm.record[0]["host_size"])
    wanted = guest.frames >> (INDEX_BITS * size)
    got = int(_reserve(guest.machine))
    if got < wanted:
        raise InputError(
            f"vm {guest.name}: its memory in hugetlbfs is {wanted:,} pages of {SIZE_NAMES[size]}, "
            f"and the host had {got:,} left; give [host] more memory"
        )
