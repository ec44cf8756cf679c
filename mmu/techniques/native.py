"""Bare metal: the guest's page tables are the hardware's, a gfn is an hfn.

The yardstick. No VMM, no exits: each hook's default does what the processor does.
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks import arm, riscv
from mmulab.mmu.hardware.walks.one_dimensional import WALK
from mmulab.mmu.presets.architectures import AARCH64, RISCV64
from mmulab.mmu.techniques.reference import Reference
from mmulab.mmu.techniques.technique import Technique

TECHNIQUE = Technique(
    name="native",
    summary="bare metal: the guest OS's own page tables, walked in one dimension",
    source="Intel SDM vol. 3A, chapter 4",
    module=__name__,
    walk=WALK,
    walks={AARCH64: arm.ONE_STAGE, RISCV64: riscv.ONE_STAGE},
    reference=Reference,
    virtual=False,
    dumps=True,
    smp=True,
)
