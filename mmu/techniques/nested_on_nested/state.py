"""What is kept for a guest of a guest: which mode, the tables of L1 and L0, and shadow paging's and
PVM's state for the modes that are built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques import pvm
from mmulab.mmu.techniques.technique import Sizes
from mmulab.mmu.vmm.exits import vm_exit

MODES = ("ept-on-ept", "shadow-on-ept", "pvm-on-ept")
EPT, SHADOW, PVM = range(3)

#: Index of each exit reason, after PVM's, which are what L1 does for L2: those that go to L0.
_OF_L1 = len(pvm.TECHNIQUE.exits)
L2_EXIT, VMRESUME, EPT12_WRITE, COMPOSE, EPT01_VIOLATION, INVEPT = range(_OF_L1, _OF_L1 + 6)
_EXITS = _OF_L1 + 6

#: Index of each counter of its own.
_OF_PVM = len(pvm.TECHNIQUE.counters)
SWITCHES, L0_EXITS, PVM_SWITCHES, EPT12_ENTRIES = range(_OF_PVM, _OF_PVM + 4)

RECORD = np.dtype(
    [
        ("mode", np.int64),
        ("protect", np.int64),  # 1: EPT12 is write-protected
        ("fresh", np.int64),  # 1: L0 backs L1's memory at its first use
        ("ept01", np.int64),  # hfn of a root
        ("ept12", np.int64),
    ]
)


class NestedOnNestedState(pvm.PvmState):
    levels: np.ndarray  # [1]

    FIELDS = {**pvm.PvmState.FIELDS, "levels": ArrayField(RECORD)}


_as_state = as_struct(NestedOnNestedState)


@inlined
def record_of(machine):
    return _as_state(machine.vm.private).levels[0]


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> NestedOnNestedState:
    below = pvm.make_state(sizes, values)
    record = np.zeros(1, RECORD)
    record[0]["mode"] = MODES.index(values["mode"])
    record[0]["protect"] = values["sync"] == "protect"
    record[0]["fresh"] = values["l1"] == "fresh"
    record[0]["ept01"] = record[0]["ept12"] = NIL
    parts = {name: getattr(below, name) for name in pvm.PvmState.FIELDS}
    return NestedOnNestedState(**parts, levels=record)


@kernel
def exit_to_l0(machine, reason):
    """From L1 or L2 to L0, and from there to either: two switches."""
    vm_exit(machine, reason)
    machine.vcpu.own[L0_EXITS] += 1
    machine.vcpu.own[SWITCHES] += 2


@kernel
def of_l1(machine):
    """How often L1 has been entered for L2 so far."""
    count = 0
    for reason in range(_OF_L1):
        count += machine.vcpu.exits[reason]
    return count


@kernel
def charge(machine, before):
    """The ways to L1 and back, of what it has done for L2 since `before`. An exit of virtualization
    hardware goes to L0 first, which reflects it, and so does the VMRESUME that ends it."""
    for _ in range(of_l1(machine) - before):
        if record_of(machine).mode == PVM:
            machine.vcpu.own[SWITCHES] += 2
            machine.vcpu.own[PVM_SWITCHES] += 2
        else:
            exit_to_l0(machine, L2_EXIT)
            exit_to_l0(machine, VMRESUME)
