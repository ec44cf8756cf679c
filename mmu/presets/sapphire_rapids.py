"""Intel Sapphire Rapids, the fourth Xeon Scalable (2023): Golden Cove cores on a mesh."""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.common import KVM_2024, X86_VM_EXIT
from mmulab.mmu.presets.golden_cove import PRESET as GOLDEN_COVE

PRESET = replace(
    GOLDEN_COVE,
    name="sapphire-rapids",
    title="Intel Sapphire Rapids (Xeon Platinum 8480+)",
    costs={
        **GOLDEN_COVE.costs,
        "vm_exit": Cited(
            X86_VM_EXIT.value,
            "assumption: as older Xeons; between what a processor takes that needs few mitigations "
            f"of speculative-execution attacks in software ({KVM_2024}) and, high, half as much "
            "again",
            X86_VM_EXIT.low,
            1950,
        ),
    },
    notes=(
        "The core is that of golden-cove, which has the same caches and memory; here the VMM runs "
        "on a processor that mends most speculative-execution attacks itself.",
        *GOLDEN_COVE.notes[:-1],
    ),
)
