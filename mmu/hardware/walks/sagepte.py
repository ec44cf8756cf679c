"""The guest's walk whose leaf holds the host's leaf, too: no walk of the page itself.

A guest's leaf is one entry of 128 bits: the gPTE, and beside it the EPT entry of the page that it
maps, the *host half*. Where that is filled the walk ends at the guest's leaf: N(g, h) - h
references. Where it is not, the page is walked for as ever, and the walker fills it.

Here the host half is the nested table's own leaf, and looking into it is no reference; bit BESIDE
of the gPTE says that the half is filled. It can stand for one leaf only, so for
none where a large page of the guest's lies in smaller ones of the host's. With entries of 16 bytes
(`REGS.leaf_shift` 1) a line holds four of those of the levels that can have leaves.
"""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear, fetch_nested
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.looks import frame_behind, look_nested, make_look
from mmulab.mmu.hardware.walks.radix import make_end, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import combined, locate, nested_walk
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import BESIDE, PAGE_BYTES, PAGE_SHIFT, frame_at
from mmulab.mmu.memory.status import OK

_LEVELS = 3  # that can have leaves


@inlined
def _line(vcpu, level, number):
    return number >> (3 - vcpu.regs[0].leaf_shift if level <= _LEVELS else 3)


_guest_walk = make_walk(X86, locate, STEP, GUEST, line_of=_line)
_look_guest = make_look(X86, frame_behind)
_end = make_end(EPT)
_fault = EPT.fault


@inlined
def _host_half(vcpu, memory, gpa, level, kind):
    """What the host half of a leaf of a level says: (status, EPT entry, its level); level 0 where
    it can say nothing."""
    slot, host_level, rights = look_nested(vcpu, memory, gpa)
    if host_level == 0:
        return _fault(vcpu, gpa, 0, 1, kind, False), 0, 1
    if host_level < level:
        return OK, 0, 0
    return _end(vcpu, memory, gpa, slot, memory.entry[slot], rights, host_level, kind, False)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level = _guest_walk(core, vcpu, memory, gva, kind, user, 0)
    if status != OK:
        return status, leaf, level - 1
    gpa = (frame_at(leaf, gva, level) << PAGE_SHIFT) | (gva & (PAGE_BYTES - 1))
    below, host_level = 0, 0
    if leaf & BESIDE:
        status, below, host_level = _host_half(vcpu, memory, gpa, level, kind)
    if host_level == 0:
        status, below, host_level = nested_walk(core, vcpu, memory, gpa, kind, False, 0)
        if status == OK and host_level >= level:
            slot, _, _ = _look_guest(vcpu, memory, gva)
            memory.entry[slot] |= BESIDE
    if status != OK:
        return status, leaf, level - 1
    return combined(vcpu, leaf & ~BESIDE, level, below, host_level, gpa)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
