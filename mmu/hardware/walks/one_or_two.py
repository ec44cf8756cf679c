"""A walk in one dimension where no nested table is in use, in two where there is one."""

from __future__ import annotations

from mmulab.mmu.hardware.walks import one_dimensional, two_dimensional
from mmulab.mmu.hardware.walks.sites import RADIX
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.status import NIL

_one, _two = one_dimensional.translate, two_dimensional.translate
fetch_ahead = two_dimensional.fetch_ahead


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    if vcpu.regs[0].root == NIL:
        return _one(core, vcpu, memory, gva, kind, user)
    return _two(core, vcpu, memory, gva, kind, user)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
