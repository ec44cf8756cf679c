"""Shadow paging, as Linux KVM does it, or with a trap on every write.

hooks         what the VMM does, and when
pages         shadow pages: their life and their links
reverse_map   from a gfn to the leaf sPTEs that map it
state         what all of that is kept in
reference     the same, slowly, to check against
"""

from __future__ import annotations

from mmulab.mmu.config import SHADOW_POLICIES
from mmulab.mmu.hardware.walks import arm, riscv
from mmulab.mmu.hardware.walks.one_dimensional import WALK
from mmulab.mmu.presets.architectures import AARCH64, RISCV64
from mmulab.mmu.presets.cited import DALL_2017, Cited
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.shadow import hooks
from mmulab.mmu.techniques.shadow.reference import ShadowReference
from mmulab.mmu.techniques.shadow.state import make_state
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

TECHNIQUE = Technique(
    name="shadow",
    summary="shadow page tables kept by the VMM, walked in one dimension",
    source="Linux KVM, Documentation/virt/kvm/x86/mmu.rst",
    module=__name__,
    walk=WALK,
    walks={AARCH64: arm.ONE_STAGE, RISCV64: riscv.ONE_STAGE},
    table="sPT",
    reference=ShadowReference,
    hooks={
        name: getattr(hooks, name)
        for name in (
            "stop",
            "touch",
            "read",
            "new_root",
            "store",
            "table_freed",
            "invlpg",
            "load_cr3",
            "fault",
            "drop_mapping",
            "is_mapped",
            "was_accessed",
            "protect",
        )
    },
    parameters=(
        Parameter(
            "policy",
            "on guest PTE writes: unsync leaves, as KVM, or a trap on every write",
            SHADOW_POLICIES,
            option="shadow_policy",
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        Exit("backing", "frames backed", HOST_ALLOCATION),  # the same allocation, by another exit
        Exit(
            "shadow_fill",
            "shadow fills",
            Cited(
                1500,
                "assumption: between the 1,128 cycles of an exit that the host kernel handles "
                f"({DALL_2017}) and an EPT violation: the guest table is walked by software, "
                "the reverse map updated, but no frame allocated. Low: those 1,128. High: twice "
                "the likely value, where the guest table's lines miss the caches",
                1128,
                3000,
            ),
        ),
        Exit(
            "reflected_fault",
            "reflected faults",
            Cited(
                1000,
                "assumption: the software walk of the guest table that tells true from hidden "
                "faults, and the event injection, two thirds of a shadow fill. From half to twice",
                500,
                2000,
            ),
        ),
        Exit(
            "pte_write",
            "PTE writes",
            Cited(
                2000,
                "assumption: instruction fetch, decode and emulation, then the shadow entry is "
                "updated or zapped; as costly as an EPT violation. Low: half, where the decoded "
                "instruction is reused. High: twice, where its fetch misses the caches",
                1000,
                4000,
            ),
            category="exit_pte",
        ),
        Exit(
            "invlpg",
            "INVLPG",
            Cited(
                500,
                "assumption: decode of the operand, drop of one translation. Half, with nothing "
                "to drop, to thrice, with a translation to reinstantiate",
                250,
                1500,
            ),
            category="exit_flush",
            instead_of="invlpgs",
        ),
        Exit(
            "cr3_load",
            "CR3 loads",
            Cited(
                1000,
                "assumption: lookup of the root's shadow, load of the new root; sync is extra. "
                "Half, with the root at hand, to twice",
                500,
                2000,
            ),
            category="exit_flush",
            instead_of="cr3_loads",
        ),
    ),
    counters=(
        Counter("shadow_fills", "sPTEs built"),
        Counter(
            "synced_entries",
            "sPTEs compared with their gPTE",
            Cited(
                20,
                "assumption: guest entry read, compared with its copy, shadow entry written. From "
                "equal entries in L1, at 5 cycles, to lines that come from L3, an eighth of 480",
                5,
                60,
            ),
        ),
        Counter("unsynced_pages", "leaf tables left writable"),
        Counter(
            "unshadowed_pages",
            "shadow pages zapped",
            Cited(
                5000,
                "assumption: 512 entries visited at about 10 cycles each, reverse maps dropped. "
                "From 512 empty entries at 2 cycles to 512 full ones at 40",
                1000,
                20000,
            ),
        ),
    ),
    state=make_state,
    assumptions=(
        "a shadow page has one role; a top-level page is never unshadowed by writes",
        "a freed gPT page is unshadowed at once, charged with the exits after which KVM would "
        "notice",
        "PCIDs are hidden from the guest, so that each CR3 load flushes the TLB; sPTEs are never "
        "global",
    ),
    guest_pcid=False,
    movable=True,
    dumps=True,
    smp=True,
)
