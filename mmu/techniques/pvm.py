"""PVM: shadow paging without virtualization hardware (Huang et al., SOSP 2023).

Guest user and guest kernel run in ring 3, the hypervisor in ring 0 of whatever machine it is on:
each crossing is a trap or a system call, and a cloud's host below hears of none. The tables are
shadow paging's (techniques.shadow); what is PVM's own are its way into the guest kernel and back,
the prefault, and the map of PCIDs.

The paper could not be read in the original: counts and names are from a report on it and from
the code's documentation (virt-pvm/linux, Documentation/virt/kvm/x86/pvm-spec.rst).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.status import OK, PAGE_FAULT
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import shadow
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.shadow import hooks
from mmulab.mmu.techniques.shadow.reference import ShadowReference
from mmulab.mmu.techniques.shadow.state import ShadowState
from mmulab.mmu.techniques.shadow.state import make_state as make_shadow
from mmulab.mmu.techniques.technique import Counter, Exit, Sizes, Technique
from mmulab.mmu.vmm.exits import trap

RETURN = len(shadow.TECHNIQUE.exits)  # index of the exit reason
PREFAULTS, DIRECT_SWITCHES = (len(shadow.TECHNIQUE.counters) + at for at in range(2))

FIRST_PCID, PCIDS = 48, 16  # of guest users

RECORD = np.dtype(
    [
        ("prefault", np.int64),  # 1: on
        ("in_fault", np.int64),  # 1: the guest kernel mends a page fault
        ("gva", np.int64),  # that it mends
        ("kind", np.int64),
        ("turn", np.int64),  # loads of CR3 so far
    ]
)
SLOT = np.dtype([("asid", np.int64), ("used", np.int64)])  # used: at which load of CR3


class PvmState(ShadowState):
    pvm: np.ndarray  # [1]
    slot: np.ndarray  # [PCIDS]: which guest PCID the processor's have been lent to

    FIELDS = {**ShadowState.FIELDS, "pvm": ArrayField(RECORD), "slot": ArrayField(SLOT)}


_as_state = as_struct(PvmState)


@inlined
def state_of(machine):
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> PvmState:
    below = make_shadow(sizes, values)
    record = np.zeros(1, RECORD)
    record[0]["prefault"] = values["prefault"] == "on"
    parts = {name: getattr(below, name) for name in ShadowState.FIELDS}
    return PvmState(**parts, pvm=record, slot=np.zeros(PCIDS, SLOT))


# --- To the guest kernel and back ------------------------------------------------------


@kernel
def fault(machine, status, gva, kind, user):
    """As under shadow paging; what is the guest's goes to its kernel."""
    record = state_of(machine).pvm[0]
    status = hooks.fault(machine, status, gva, kind, user)
    record.in_fault = int(status == PAGE_FAULT)
    record.gva = gva
    record.kind = kind
    return status


@kernel
def kernel_enter(machine):
    """A system call is a direct switch: the hypervisor's entry code changes CR3 and returns to
    the guest kernel at once. A fault has exited already."""
    machine.vcpu.own[DIRECT_SWITCHES] += 1 - state_of(machine).pvm[0].in_fault
    return OK


@kernel
def kernel_leave(machine):
    """Back from a fault by a hypercall, in which the shadow table is filled, too: else the user
    would fault on it at once."""
    record = state_of(machine).pvm[0]
    if not record.in_fault:
        machine.vcpu.own[DIRECT_SWITCHES] += 1
        return OK
    record.in_fault = 0
    trap(machine, RETURN)
    process = machine.vm.record[0].current
    gva, kind = record.gva, record.kind
    if not record.prefault or not hooks.allowed(machine, process, gva, kind, gva >= 0):
        return OK
    machine.vcpu.own[PREFAULTS] += 1
    return hooks.fill(machine, process, gva, kind)


# --- PCIDs ------------------------------------------------------------------------------


@kernel
def _slot_of(machine, asid):
    """The slot of a guest PCID, or the one longest not loaded, which it gets: (slot, whether
    it had it)."""
    slots = state_of(machine).slot
    oldest = 0
    for at in range(slots.size):
        if slots[at].asid == asid:
            return at, True
        if slots[at].used < slots[oldest].used:
            oldest = at
    slots[oldest].asid = asid
    return oldest, False


@kernel
def load_cr3(machine, process, keep):
    """A hypercall. Translations stay where the guest says so and its PCID has kept its own."""
    trap(machine, hooks.CR3_LOAD)
    status = hooks.make_root(machine, process)
    if status != OK:
        return status
    state = state_of(machine)
    pcid = 0
    if machine.vm.record[0].pcid:
        slot, had = _slot_of(machine, machine.vm.process[process].asid)
        state.pvm[0].turn += 1
        state.slot[slot].used = state.pvm[0].turn
        pcid = FIRST_PCID + slot
        keep = int(keep and had)
    frame = state.page[state.root[process]].hfn
    instructions.load_cr3(machine, frame, pcid, keep)
    hooks.sync_process(machine, process)
    return OK


@kernel
def invlpg(machine, gva):
    """As under shadow paging. Kernel addresses are held under every PCID."""
    status = hooks.invlpg(machine, gva)
    if gva < 0:
        instructions.flush_vpid(machine)
    return status


class PvmReference(ShadowReference):
    """Shadow paging's, with translations of several processes."""

    hides_pcid = False

    def process_of(self, pcid: int) -> int | None:
        slot = pcid - FIRST_PCID
        if not 0 <= slot < PCIDS:
            return None
        return super().process_of(int(self.state.slot[slot]["asid"]))  # type: ignore[attr-defined]


_SWITCH = (
    "assumption: two switches of 0.179 us, as a report on the paper has them, at 3 GHz, besides "
    "what the same exit's handling costs under shadow paging"
)


def _switched(one: Exit) -> Exit:
    """An exit of shadow paging, entered and left by software."""
    cost = one.cost
    switched = Cited(cost.value + 1100, _SWITCH, cost.low + 550, cost.high + 2200)
    return replace(one, cost=switched, by_hardware=False)


TECHNIQUE = Technique(
    name="pvm",
    summary="PVM: shadow paging without virtualization hardware, with prefault and a map of PCIDs",
    source="Huang et al., SOSP 2023; virt-pvm/linux, Documentation/virt/kvm/x86/pvm-spec.rst",
    module=__name__,
    walk=shadow.TECHNIQUE.walk,
    table="sPT",
    reference=PvmReference,
    hooks={
        **shadow.TECHNIQUE.hooks,
        "fault": fault,
        "kernel_enter": kernel_enter,
        "kernel_leave": kernel_leave,
        "load_cr3": load_cr3,
        "invlpg": invlpg,
    },
    parameters=(
        Parameter(
            "prefault",
            "fills the shadow table, too, on the way back from a page fault",
            ("on", "off"),
        ),
        *shadow.TECHNIQUE.parameters,
    ),
    exits=(
        *(_switched(one) for one in shadow.TECHNIQUE.exits),
        Exit(
            "return",
            "returns from page faults",
            Cited(1100, _SWITCH, 550, 2200),
            "exit_fault",
            by_hardware=False,
        ),
    ),
    counters=(
        *shadow.TECHNIQUE.counters,
        Counter("prefaults", "sPTEs built on the way back from a page fault"),
        Counter(
            "direct_switches",
            "system calls, to the guest kernel or back, without the hypervisor",
            Cited(
                110,
                "assumption: 0.30 us for getpid against 0.22 us, as a report on the paper has "
                "them: 0.08 us for two, at 3 GHz, 120 each. From half to twice",
                55,
                220,
            ),
            category="exit_fault",
        ),
    ),
    state=make_state,
    assumptions=(
        *shadow.TECHNIQUE.assumptions[:2],
        "sPTEs are never global; the kernel half is held under each PCID",
        "each exit is two switches; a system call is two direct ones",
        "16 guest PCIDs hold one of the processor's at a time; the one longest not loaded gives "
        "way. The guest kernel's half has none of its own",
        "on bare metal; in a cloud's VM the same runs on two dimensions (nested-on-nested)",
    ),
)
