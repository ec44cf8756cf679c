"""Contexts: small numbers for what translations belong to, which TLB entries are tagged with.

    context     (VPID, PCID, root of the nested table)     a process of a VM
                (VPID, GLOBAL, root)                       pages that all processes of a VM share
                (VPID, PHYSICAL, root)                     guest-physical addresses

A core has a table of the contexts that it has met; a context's number is its place there, so
that any number of VMs and processes fits into a tag. A full table is emptied, and with it all
that is tagged (`hardware.core.adopt`); a vCPU that does not run then knows its contexts by old
numbers until it does, by which too much may be dropped, never too little. What holds translations
elsewhere, in memory, tags them with their context's *generation*: a flush gives it a new one.
Software names a VPID by its number, 0 on bare metal, PCIDs as the processor does.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.state import CONTEXT
from mmulab.mmu.kernels.compiling import inlined, kernel

CONTEXT_BITS = 16
CONTEXTS = 1 << CONTEXT_BITS
ROOM = CONTEXTS // 2  # that many at most: a table that is half empty is searched quickly

# In the place of a PCID, which has 12 bits.
GLOBAL, PHYSICAL = 1 << 12, 1 << 13

# 2**64 divided by the golden ratio, odd: Knuth, TAOCP vol. 3, 6.4, as a signed number.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)


def make_contexts() -> np.ndarray:
    """An empty table: untouched memory until it is used."""
    return np.zeros(CONTEXTS, CONTEXT)


@inlined
def renew(core, number):
    """What is tagged with the generation of a context is void from now on."""
    core.record[0].generations += 1
    core.context[number].generation = core.record[0].generations


@inlined
def generation_of(core, vcpu, number):
    """The generation of a context: a new one where all of the vCPU's were flushed."""
    if core.context[number].generation <= vcpu.regs[0].void:
        renew(core, number)
    return core.context[number].generation


@inlined
def renew_all(core, vcpu):
    """The same of all contexts of a vCPU."""
    vcpu.regs[0].void = core.record[0].generations


@kernel
def number_of(core, vpid, pcid, root):
    """Number of a context, a new one where the core has not met it. There is room for it."""
    key = (vpid << 14 | pcid) ^ (root << 32)
    at = ((key * _GOLDEN) >> 40) & (CONTEXTS - 1)
    while True:
        context = core.context[at]
        if not context.used:
            context.used = 1
            context.vpid = vpid
            context.pcid = pcid
            context.root = root
            core.record[0].contexts += 1
            renew(core, at)
            return at
        if context.vpid == vpid and context.pcid == pcid and context.root == root:
            return at
        at = (at + 1) & (CONTEXTS - 1)


@kernel
def forget_all(core):
    """Empties the table. The caller has dropped all that is tagged."""
    for at in range(CONTEXTS):
        core.context[at].used = 0
    core.record[0].contexts = 0
