"""Binary translation: shadow paging whose VMM rewrites the guest kernel's code as it runs (Adams
and Agesen, ASPLOS 2006).

No virtualization hardware is used: the VMM lies in the address space of the guest, whose kernel
runs as code that the VMM has translated, and its program as it is. A store in that code is left
as it was until it turns out to be a site that writes gPTEs: one that has trapped so many times is
translated again, as a call-out, which is a jump to the VMM in the place of a fault. Where its
stores reach no shadowed table any more, the site is translated back.

What a site is here: the guest kernel's function, told by what it does to an entry, as Linux has
set_pte, ptep_get_and_clear, ptep_set_wrprotect and ptep_set_access_flags
(include/linux/pgtable.h). The paper was not read in the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.entries import FRAME, RW, P
from mmulab.mmu.memory.status import OK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import shadow
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.shadow import hooks
from mmulab.mmu.techniques.shadow.reference import ShadowReference
from mmulab.mmu.techniques.shadow.state import ShadowState
from mmulab.mmu.techniques.shadow.state import make_state as make_shadow
from mmulab.mmu.techniques.technique import Counter, Exit, Sizes, Technique
from mmulab.mmu.vmm.exits import trap

#: Index of each counter of its own.
CALLOUTS, IDLE_CALLOUTS, TRANSLATED, REVERTED = (
    len(shadow.TECHNIQUE.counters) + number for number in range(4)
)

SET, CLEAR, WRITE_PROTECT, CHANGE = range(4)  # sites

RECORD = np.dtype(
    [
        ("traps", np.int64),  # of a site, after which it becomes a call-out
        ("idle", np.int64),  # its call-outs in a row that found no shadow, after which it is none
    ]
)
SITE = np.dtype(
    [
        ("callout", np.int64),  # 1: it is one
        ("traps", np.int64),  # since it was last none
        ("idle", np.int64),  # call-outs since one last found a shadow
    ]
)


class TranslationState(ShadowState):
    translation: np.ndarray  # [1]
    site: np.ndarray  # [4]

    FIELDS = {
        **ShadowState.FIELDS,
        "translation": ArrayField(RECORD),
        "site": ArrayField(SITE),
    }


_as_state = as_struct(TranslationState)


@inlined
def state_of(machine):
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> TranslationState:
    below = make_shadow(sizes, {"policy": "trap"})
    record = np.zeros(1, RECORD)
    record[0]["traps"], record[0]["idle"] = values["traps"], values["idle"]
    parts = {name: getattr(below, name) for name in ShadowState.FIELDS}
    return TranslationState(**parts, translation=record, site=np.zeros(4, SITE))


@kernel
def site_of(old, new):
    """The guest kernel's code that changes an entry."""
    if new == 0:
        return CLEAR
    if not old & P:
        return SET
    if (old ^ new) & FRAME == 0 and old & RW and not new & RW:
        return WRITE_PROTECT
    return CHANGE


@kernel
def _after_idle(machine, site):
    """A call-out that found no shadow: enough of them, and the site is a plain store again."""
    machine.vcpu.own[IDLE_CALLOUTS] += 1
    site.idle += 1
    if site.idle >= state_of(machine).translation[0].idle:
        machine.vcpu.own[REVERTED] += 1
        site.callout = 0
        site.traps = 0
        site.idle = 0


@kernel
def store(machine, table, index, entry):
    """The guest writes a gPTE, by a plain store or by a call-out."""
    state = state_of(machine)
    site = state.site[site_of(guest_tables.load_entry(machine, table, index), entry)]
    page = state.shadowed[table]
    if not page:
        if site.callout:
            _after_idle(machine, site)
        guest_tables.store_entry(machine, table, index, entry)
        return OK
    if site.callout:
        machine.vcpu.own[CALLOUTS] += 1
        site.idle = 0
    else:
        trap(machine, hooks.PTE_WRITE)
        site.traps += 1
        if site.traps >= state.translation[0].traps:
            machine.vcpu.own[TRANSLATED] += 1
            site.callout = 1
    return hooks.emulate_store(machine, page, table, index, entry)


_TRAP = (
    "assumption: a fault that the VMM takes in ring 0 and returns from, 1,000 cycles, besides what "
    "the same exit's handling costs under shadow paging"
)
_OF_2006 = "Adams and Agesen, ASPLOS 2006, nanobenchmarks on a Pentium 4, quoted from memory"


def _trapped(one: Exit) -> Exit:
    """An exit of shadow paging as a fault that software takes."""
    cost = one.cost
    faulted = Cited(cost.value + 1000, _TRAP, cost.low + 500, cost.high + 2000)
    return replace(one, cost=faulted, by_hardware=False)


def _called(one: Exit) -> Exit:
    """One of a privileged instruction, whose translation calls the VMM."""
    return replace(one, by_hardware=False)


_BACKING, _FILL, _REFLECTED, _WRITE, _INVLPG, _CR3 = shadow.TECHNIQUE.exits

TECHNIQUE = Technique(
    name="binary-translation",
    summary="shadow paging by binary translation: sites that write gPTEs become call-outs",
    source="Adams and Agesen, A Comparison of Software and Hardware Techniques, ASPLOS 2006",
    module=__name__,
    walk=shadow.TECHNIQUE.walk,
    table="sPT",
    reference=ShadowReference,
    hooks={**shadow.TECHNIQUE.hooks, "store": store},
    parameters=(
        Parameter(
            "traps",
            "traps of a site after which it becomes a call-out",
            low=1,
            high=1 << 40,
            default=10,
        ),
        Parameter(
            "idle",
            "call-outs of a site in a row that find no shadow, after which it is a "
            "plain store again",
            low=1,
            high=1 << 40,
            default=100,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=(
        _trapped(_BACKING),
        _trapped(_FILL),
        replace(
            _REFLECTED,
            by_hardware=False,
            cost=Cited(
                768,
                "assumption: a page fault of the guest takes 3,927 cycles where bare metal takes "
                f"1,093 ({_OF_2006}); less the 2,066 that each entry to its kernel takes. From "
                "half to twice",
                384,
                1536,
            ),
        ),
        _trapped(_WRITE),
        _called(_INVLPG),
        _called(_CR3),
    ),
    counters=(
        *shadow.TECHNIQUE.counters,
        Counter(
            "callouts",
            "PTE writes by call-out",
            Cited(
                391,
                f"assumption: 391 cycles, where a VMM with virtualization hardware takes 10,242 "
                f"({_OF_2006}); today's processors from half as many to as many and half",
                195,
                600,
            ),
            category="exit_pte",
        ),
        Counter(
            "idle_callouts",
            "PTE writes by call-out to tables without a shadow",
            Cited(
                200,
                "assumption: half a call-out: the VMM finds that it has nothing to do",
                50,
                391,
            ),
            category="exit_pte",
        ),
        Counter(
            "translated",
            "sites that became call-outs",
            Cited(
                10_000,
                "assumption: a basic block decoded, translated and linked, and its old "
                "translation patched. From a third to thrice",
                3_000,
                30_000,
            ),
            category="exit_pte",
        ),
        Counter("reverted", "sites that became plain stores again"),
        Counter(
            "kernel_switches",
            "entries to the guest kernel, through the VMM",
            Cited(
                2066,
                f"assumption: a system call takes 2,308 cycles where bare metal takes 242 "
                f"({_OF_2006}). From a third, on processors with shorter pipelines, to as many",
                690,
                2066,
            ),
            category="exit_fault",
            of="kernel_entries",
        ),
    ),
    state=make_state,
    assumptions=(
        *shadow.TECHNIQUE.assumptions,
        "a site is one of four functions of the guest kernel, told by what it does to an entry",
        "a site is translated once for all processes; translated code takes as many cycles as the "
        "guest's own",
    ),
    guest_pcid=False,
)
