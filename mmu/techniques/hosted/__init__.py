"""A hosted VMM ("type 2"): the VM is a process of a host OS, the VMM comes and goes with it.

    hooks     nested or shadow paging, by `mmu`
    process   the host OS: the process's memory and page table, world switches, refusals

Sugerman, Venkitachalam and Lim, Virtualizing I/O Devices on VMware Workstation's Hosted Virtual
Machine Monitor, USENIX ATC 2001, section 2: an application, a driver in the host's kernel, and a
VMM below neither, to which the driver switches: all state of the processor is saved and restored.
The VMM has no memory of its own to give: it locks pages of the application's.
"""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.config import SHADOW_POLICIES
from mmulab.mmu.hardware.walks.one_or_two import WALK
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.presets.cited import DALL_2017, Cited
from mmulab.mmu.techniques import shadow
from mmulab.mmu.techniques.hosted import hooks
from mmulab.mmu.techniques.hosted.process import BACKING, MODES, SHADOW, HostedState, make_state
from mmulab.mmu.techniques.nested import NestedReference
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import Reference, Tables, fail
from mmulab.mmu.techniques.shadow.reference import ShadowReference
from mmulab.mmu.techniques.technique import Counter, Exit, Technique

_WORLD_SWITCH = Cited(
    3000,
    "assumption: registers, segments, descriptor tables, control and floating-point registers "
    "saved and loaded, and another address space, whose first accesses miss the TLB: ten times a "
    "CR3 load. From a third to thrice",
    1000,
    9000,
)
_BACKING, *_OTHERS = shadow.TECHNIQUE.exits


def _process_tables(tables: Tables) -> dict[int, int]:
    state = tables.vm.private
    assert isinstance(state, HostedState)
    return dict.fromkeys((state.leaf[state.leaf > 0] - 1).tolist(), NPT_PAGE)


def _check_process(tables: Tables) -> None:
    """Whatever backs memory is mapped by the process, too."""
    state = tables.vm.private
    assert isinstance(state, HostedState)
    for region in {int(gfn) >> 9 for gfn in (tables.vm.p2m > 0).nonzero()[0]}:
        if not state.leaf[region]:
            what = f"2 MiB number {region} of guest memory"
            fail(tables.where, "the process has a table for what is backed", what)


class _OverNested(NestedReference):
    def host_tables(self) -> dict[int, int]:
        return super().host_tables() | _process_tables(self.tables)

    def check(self) -> None:
        super().check()
        _check_process(self.tables)


class _OverShadow(ShadowReference):
    def host_tables(self) -> dict[int, int]:
        return super().host_tables() | _process_tables(self.tables)

    def check(self) -> None:
        super().check()
        _check_process(self.tables)


class HostedReference(Reference):
    """Nested paging's or shadow paging's, and the process's tables."""

    def __new__(cls, tables: Tables) -> Reference:  # type: ignore[misc]
        state = tables.vm.private
        assert isinstance(state, HostedState)
        return (_OverShadow if state.mode[0] == SHADOW else _OverNested)(tables)


TECHNIQUE = Technique(
    name="hosted",
    summary="a hosted VMM (type 2): guest memory is a process's, asked of the host OS",
    source="Sugerman et al., VMware Workstation's Hosted Virtual Machine Monitor, USENIX ATC 2001",
    module=__name__,
    walk=WALK,
    tables={"mmu=shadow": "sPT"},
    reference=HostedReference,
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
            "drop_mapping",
            "is_mapped",
            "was_accessed",
            "world_in",
            "world_out",
        )
    },
    backing=BACKING,
    parameters=(
        Parameter("mmu", "what the hardware walks: nested tables, or shadow tables", MODES),
        Parameter(
            "policy",
            "with mmu=shadow, on guest PTE writes: unsync leaves, or a trap on every write",
            SHADOW_POLICIES,
            option="shadow_policy",
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        replace(
            _BACKING,
            label="frames backed",
            cost=Cited(
                1128,
                "assumption: an exit that a kernel handles, less a null one, for emulated I/O on a "
                f"Xeon E5-2450 ({DALL_2017}); the frame itself is the host's work, in host_call. "
                "From half to twice",
                564,
                2256,
            ),
        ),
        *_OTHERS,
        Exit(
            "host_call",
            "world switches to the host for a page, and back",
            Cited(
                8000,
                "assumption: two world switches of 3,000 cycles; a page fault of the process, "
                "2,000, as a VMM that allocates itself. Low and high: those of both",
                3100,
                24000,
            ),
            by_hardware=False,
        ),
    ),
    counters=(
        *shadow.TECHNIQUE.counters,
        Counter(
            "world_switches",
            "switches between the host's world and the VMM's, of the host's scheduler",
            _WORLD_SWITCH,
            category="exit_fault",
        ),
    ),
    state=make_state,
    assumptions=(
        "a timer or device of the host interrupts nothing here: in truth each is a world switch "
        "and back",
        "the VMM keeps no pool of locked pages, but asks for one page at a time",
        "the upper levels of the process's page table, a page for 1 GiB and one for all, are not "
        "counted",
        "the host's swapping, where it has some, is the simulated host's for all VMs",
    ),
)
