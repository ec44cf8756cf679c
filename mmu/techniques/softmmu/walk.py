"""What an access is under an emulator: a load of the software TLB's entry, and a comparison.

The first frame says of each mode where its table lies and how long it is:

    regs.root --> | kernel's table, HPA | entries - 1 | user's table, HPA | entries - 1 |

    table, 32 bytes an entry:   | page read | page written | page fetched | leaf |

A page stands where the entry serves that kind of access, else -1. The leaf is a TLB entry, in the
place of QEMU's addend, the distance from guest-virtual to the emulator's own address.
"""

from __future__ import annotations

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.walks.sites import RADIX, Site
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_BYTES, PAGE_SHIFT
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.memory.tables import load

ENTRY_SHIFT = 5  # CPU_TLB_ENTRY_BITS of a 64-bit host
LEAF = 24  # offset of an entry's leaf

EMPTY = -1


class _TlbSite(Site):
    """The load of an entry of the software TLB."""

    @property
    def label(self) -> str:
        return "software TLB"


TLB_SITE = len(RADIX)
SITES = (*RADIX, _TlbSite("software TLB", 0, 0))


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`. EPT_VIOLATION: the entry is another page's, or forbids the access."""
    mode = (vcpu.regs[0].root << PAGE_SHIFT) + (16 if user else 0)
    mask = load(memory, mode + 8)
    hpa = load(memory, mode) + (((gva >> PAGE_SHIFT) & mask) << ENTRY_SHIFT)
    page = load(memory, hpa + (kind << 3))
    reference(core, vcpu, hpa, page, TLB_SITE, of_table(vcpu, True, 0, hpa >> LINE_SHIFT))
    if page != gva & ~(PAGE_BYTES - 1):
        return EPT_VIOLATION, 0, 0
    return OK, load(memory, hpa + LEAF), 0


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""


WALK = Walk(__name__, "WALK", translate, fetch_ahead, SITES)
