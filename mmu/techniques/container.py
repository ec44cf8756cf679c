"""A container: the program runs on the host's own kernel, and a walk is bare metal's.

There is no guest kernel, no VMM and no exit; what Linux adds is accounts and names. Of those only
the accounts meet memory: each page that the kernel instantiates for the container, page tables
too, is charged to its control group (Documentation/admin-guide/cgroup-v2.rst, "Memory
Ownership").
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks import arm, riscv
from mmulab.mmu.hardware.walks.one_dimensional import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import OK
from mmulab.mmu.presets.architectures import AARCH64, RISCV64
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.reference import Reference
from mmulab.mmu.techniques.technique import Counter, Technique

CHARGED = 0  # index of the counter


@kernel
def touch(machine, gfn):
    """The kernel instantiates a page."""
    machine.vcpu.own[CHARGED] += 1
    return OK


TECHNIQUE = Technique(
    name="container",
    summary="a container: one kernel, one dimension; pages are charged to a control group",
    source="Linux, Documentation/admin-guide/cgroup-v2.rst; mm/memcontrol.c",
    module=__name__,
    walk=WALK,
    walks={AARCH64: arm.ONE_STAGE, RISCV64: riscv.ONE_STAGE},
    reference=Reference,
    hooks={"touch": touch},
    counters=(
        Counter(
            "charged",
            "pages of 4 KiB charged to the control group, page tables included",
            Cited(
                20,
                "assumption: a decrement of the core's stock of charged pages, and a pointer "
                "written to the page's record (Linux, mm/memcontrol.c, try_charge_memcg()). Low: "
                "both in L1, at 5 cycles. High: five times the likely value, for the share of a "
                "refill of the stock, which goes through the counters of all parent groups",
                5,
                100,
            ),
            category="guest_kernel",
        ),
    ),
    assumptions=(
        "one container, without a limit: nothing is reclaimed for it, and it shares no page "
        "cache with others",
        "system calls cost what they do without a filter (seccomp)",
        "a large page is charged 4 KiB by 4 KiB, where Linux charges it at once",
    ),
    virtual=False,
)
