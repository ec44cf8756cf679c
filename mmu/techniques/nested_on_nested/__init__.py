"""A hypervisor, L1, inside another, L0: its guest L2 pays for both.

hooks      what L1 and L0 do, and when, by mode
ept        EPT-on-EPT: L0 composes EPT02 of L1's EPT12 and its own EPT01
state      what all of that is kept in, and how exits to L0 are counted
reference  the same, slowly, to check against

Hardware walks two dimensions in every mode: the guest's table over EPT02 (Turtles, Ben-Yehuda et
al., OSDI 2010), or L1's shadow table over EPT01.
"""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.hardware.walks.two_dimensional import WALK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import pvm, shadow
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.nested_on_nested import hooks
from mmulab.mmu.techniques.nested_on_nested.reference import NestedOnNestedReference
from mmulab.mmu.techniques.nested_on_nested.state import MODES, make_state
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

_REFLECTED = (
    "assumption: a switch between L2 and L1 takes 1.3 us, as a report on the PVM paper has it, at "
    "3 GHz, less the exit to L0 that it begins with. Low: a third, with a VMCS that is shadowed. "
    "High: twice"
)


def _by_l1(one: Exit) -> Exit:
    """An exit of shadow paging as L1's handling of it; the way to L1 and back is counted apart."""
    return replace(one, by_hardware=False)


TECHNIQUE = Technique(
    name="nested-on-nested",
    summary="a guest's guest: EPT-on-EPT, shadow-on-EPT or PVM-on-EPT, walked in two dimensions",
    source="Ben-Yehuda et al., OSDI 2010; Linux KVM, arch/x86/kvm/mmu; Huang et al., SOSP 2023",
    module=__name__,
    walk=WALK,
    reference=NestedOnNestedReference,
    hooks={
        name: getattr(hooks, name)
        for name in (
            "start",
            "stop",
            "touch",
            "read",
            "new_root",
            "store",
            "table_freed",
            "invlpg",
            "load_cr3",
            "fault",
            "kernel_enter",
            "kernel_leave",
            "drop_mapping",
            "is_mapped",
            "was_accessed",
        )
    },
    parameters=(
        Parameter("mode", "how L1 virtualizes L2's memory, on L0's EPT", MODES),
        Parameter(
            "sync",
            "how EPT02 follows EPT12: L1's writes exit, or L0 looks at INVEPT",
            ("protect", "invept"),
        ),
        Parameter(
            "l1", "L1's memory: backed by L0 before, or at its first use", ("backed", "fresh")
        ),
        *pvm.TECHNIQUE.parameters,
    ),
    exits=(
        *(_by_l1(one) for one in shadow.TECHNIQUE.exits),
        Exit(
            "return",
            "returns from page faults",
            Cited(
                100,
                "assumption: a hypercall's dispatch; its two switches are counted apart",
                50,
                300,
            ),
            by_hardware=False,
        ),
        Exit("l2_exit", "exits of L2, reflected", Cited(2500, _REFLECTED, 800, 5000)),
        Exit("vmresume", "VMRESUMEs of L1", Cited(2500, _REFLECTED, 800, 5000)),
        Exit("ept12_write", "writes to EPT12", shadow.TECHNIQUE.costs["pte_write"], "exit_pte"),
        Exit(
            "compose",
            "EPT02 violations, composed",
            Cited(
                1500,
                "assumption: as a shadow fill: two tables walked by software in place of one, no "
                "frame allocated, no reverse map. From two thirds to twice",
                1000,
                3000,
            ),
        ),
        Exit("ept01_violation", "EPT01 violations", HOST_ALLOCATION),
        Exit(
            "invept",
            "INVEPTs of L1",
            Cited(
                1000,
                "assumption: decode of the operand, the entries of EPT02 compared that changed. "
                "Half to thrice",
                500,
                3000,
            ),
            category="exit_flush",
        ),
    ),
    counters=(
        *pvm.TECHNIQUE.counters,
        Counter("switches", "switches between L2, L1 and L0"),
        Counter("l0_exits", "exits to L0"),
        Counter(
            "pvm_switches",
            "switches between L2 and PVM in L1",
            Cited(
                550,
                "assumption: 0.179 us, as a report on the PVM paper has it, at 3 GHz. From half to "
                "twice",
                275,
                1100,
            ),
            category="exit_fault",
        ),
        Counter("ept12_entries", "entries of EPT12 that L1 wrote"),
    ),
    state=make_state,
    assumptions=(
        *pvm.TECHNIQUE.assumptions[:4],
        "L1's frames have the numbers of the host's frames behind them: EPT01 maps each to itself, "
        "in pages as large as L2's memory is backed with",
        "the host that shares, pages and balloons is L1; L0 backs all of L1 and leaves it alone",
        "L1 executes INVEPT once for each page that it takes away",
        "an exit of L2 that L1 handles costs one to L0, and VMRESUME another; reads and writes of "
        "the VMCS do not exit",
        "with shadow-on-ept PCIDs are hidden from the guest",
    ),
)
