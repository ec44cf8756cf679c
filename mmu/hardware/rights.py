"""What a translation allows. A TLB entry has the layout of an x86 leaf."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import RW, US, XD, D
from mmulab.mmu.trace import FETCH, STORE


@inlined
def narrow(rights, entry):
    """Rights of a path with one more entry: RW and US where all have them, XD where one has it
    (SDM vol. 3A, 4.6)."""
    return (rights & entry & (RW | US)) | ((rights | entry) & XD)


@inlined
def denies(rights, kind, user):
    """True where x86 rights forbid an access (SDM vol. 3A, 4.6.1; CR0.WP = 1)."""
    return (
        (kind == STORE and not rights & RW)
        or (user and not rights & US)
        or (kind == FETCH and rights & XD)
    )


@inlined
def allows(entry, kind, user):
    """True where a TLB entry serves the access without a walk: rights, and D for a store."""
    if kind == STORE and not entry & D:
        return False
    return not denies(entry, kind, user)
