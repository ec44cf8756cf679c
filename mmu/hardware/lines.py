"""Cache lines by name: what a line is called, whichever frame it lies in.

    | 57 bits: a hash of the page's name | 6 bits: which of its 64 lines |

A page of the program is named by its process and virtual page number, a page of page tables by
its process (a nested table by its VM), level, and the addresses that it maps. So all techniques
have the same lines where they read the same, and a table is neither lucky nor unlucky by the
frames that its VMM or kernel found for it: as if each frame were anywhere. What processes share
(frames after a fork, tables of the kernel half below the top) counts apart, once for each; what
kernel addresses name belongs to the VM.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.structs import JIT_OFF
from mmulab.mmu.memory.entries import PAGE_SHIFT, pages_in

LINE_SHIFT = 6  # 64-byte lines
LINES_SHIFT = PAGE_SHIFT - LINE_SHIFT
LINES = 1 << LINES_SHIFT  # of a page

#: From here on a page's name says what it is: 0 of the program, else a table's level.
_LEVEL = 58
NESTED = 8  # added to the level of a nested table

# A permutation of 64-bit numbers that mixes all bits: fmix64 of MurmurHash3 (A. Appleby, 2011).
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53

if JIT_OFF:

    def mixed(number: int) -> int:
        """57 well-mixed bits of a number."""
        x = int(number) & ((1 << 64) - 1)
        for factor in (_FIRST, _SECOND):
            x = (x ^ x >> 33) * factor & ((1 << 64) - 1)
        return (x ^ x >> 33) >> 7

else:
    _A, _B = np.uint64(_FIRST), np.uint64(_SECOND)
    _HALF, _TOP = np.uint64(33), np.uint64(7)

    @inlined
    def mixed(number):
        x = np.uint64(number)
        x = (x ^ (x >> _HALF)) * _A
        x = (x ^ (x >> _HALF)) * _B
        return np.int64((x ^ (x >> _HALF)) >> _TOP)


@inlined
def named(space, kind, number):
    """A line. space: whose, see `space_of`. kind: 0 of the program, else a table's level, + NESTED
    for a nested one. number: which, counted from address 0."""
    page = (number >> LINES_SHIFT) ^ space ^ (kind << _LEVEL)
    return (mixed(page) << LINES_SHIFT) | (number & (LINES - 1))


@inlined
def space_of(vm, pid):
    """A name for the addresses of a process of a VM, by both their numbers; pid -1: for those of
    the VM, and of its kernel."""
    return mixed((vm << 40) ^ (pid + 1))


@kernel
def enter_space(vcpu, vm, pid):
    """The vCPU runs a process of a VM."""
    vcpu.regs[0].space = space_of(vm, pid)
    vcpu.regs[0].vm_space = space_of(vm, -1)


@inlined
def of_program(space, vm_space, number):
    """A line of the program, or of its kernel, by its virtual line number."""
    return named(space if number >= 0 else vm_space, 0, number)


@inlined
def of_table(vcpu, nested, level, number):
    """A line of a table. nested: of a nested table. number: of the line among all of that level, as
    if tables lay in the order of what they map, counted from address 0."""
    regs = vcpu.regs[0]
    if nested or number < 0:
        return named(regs.vm_space, level + (NESTED if nested else 0), number)
    return named(regs.space, level, number)


# What is noted beside a line: | position in the chunk | what it is: 16 bits |
AS = 16
PAGE = (1 << AS) - 1  # a page's first line, for all of them; else where it is counted

#: Pages of a larger page that go through the caches when the kernel zeroes or copies it: 2 MiB.
MOST_PAGES = 512


@kernel
def note_pages(core, vcpu, gva, size):
    """The guest kernel has zeroed or copied to the page of a size at gva: notes its lines, for
    `caches.price`. Of a page of 1 GiB, those of the 2 MiB around gva. A copy's source has the
    same name before, and is not read apart."""
    if core.record[0].data == 0:
        return
    count = min(pages_in(size), MOST_PAGES)
    page = (gva >> PAGE_SHIFT) & ~(count - 1)
    regs = vcpu.regs[0]
    number = core.record[0].noted
    for each in range(page, page + count):
        core.noted[number] = of_program(regs.space, regs.vm_space, each << LINES_SHIFT)
        core.noted_as[number] = core.record[0].position << AS | PAGE
        number += 1
    core.record[0].noted = number
