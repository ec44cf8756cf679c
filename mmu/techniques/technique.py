"""What a technique says of itself: all that is particular to it, in one object of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.state import MAX_COUNTERS, MAX_REASONS
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.structs import Struct
from mmulab.mmu.presets.preset import Cited
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.reference import Reference


@dataclass(frozen=True)
class Exit:
    """A reason for VM exits. cost: cycles of handling it, beside the preset's `vm_exit`.

    label: what tables call it. category: of `report.cost.CATEGORIES`. instead_of: a count of
    the guest kernel's work that an exit stands in for, so that its own cost is not charged.
    """

    reason: str
    label: str
    cost: Cited
    category: str = "exit_fault"
    instead_of: str = ""


@dataclass(frozen=True)
class Counter:
    """Something else that a technique counts, and what each costs in cycles, if anything."""

    name: str
    meaning: str
    cost: Cited | None = None
    category: str = "shadow"


class Nothing(Struct):
    """The private state of a technique that keeps none."""


@dataclass(frozen=True)
class Sizes:
    """What a technique's private state is made for. Frames are of 4 KiB; tables: page-table
    pages that the host can hold at most; processes: live at once."""

    guest_frames: int
    host_frames: int
    tables: int
    processes: int


@dataclass(frozen=True)
class Technique:
    """A way to get from GVA to HPA.

    name: as users write it. source: the paper or manual. module: `__name__` of its file.
    walk: what its hardware does on a TLB miss. hooks: kernels by name, of those in
    `seam.HOOKS`; those that it leaves out take the default. exits, counters: at the index that
    its kernels count them by (`vmm.exits.vm_exit`, `VCPU.own`). state: makes its private
    state from sizes and its parameters' values. reference: the slow, obvious translation that
    --check compares with. table: the guest's table that its hardware walks, "gPT" or "sPT".
    assumptions: where it departs from its source.

    Capabilities. virtual: a VMM runs below the guest, which can share the host's memory with
    others. guest_pcid: the guest can use PCIDs. eager: the guest must allocate before it
    touches.
    """

    name: str
    summary: str
    source: str
    module: str
    walk: Walk
    reference: type[Reference]
    hooks: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    exits: tuple[Exit, ...] = ()
    counters: tuple[Counter, ...] = ()
    state: Callable[[Sizes, Mapping[str, Any]], Struct] = lambda sizes, values: Nothing()
    table: str = "gPT"
    assumptions: tuple[str, ...] = ()
    virtual: bool = True
    guest_pcid: bool = True
    eager: bool = False

    def __post_init__(self) -> None:
        for name in self.hooks:
            if name not in seam.HOOKS.ops:
                raise InputError(
                    f"technique {self.name}: no hook {name!r}; expected some of "
                    f"{', '.join(seam.HOOKS.ops)}"
                )
        if len(self.exits) > MAX_REASONS or len(self.counters) > MAX_COUNTERS:
            raise InputError(
                f"technique {self.name}: expected at most {MAX_REASONS} exit reasons and "
                f"{MAX_COUNTERS} counters"
            )
        object.__setattr__(self, "link", seam.HOOKS.linker(self.module, self.hooks))

    link: Any = field(init=False, repr=False, compare=False)

    @property
    def costs(self) -> dict[str, Cited]:
        """What its exits and counters cost, by name."""
        of_counters = {each.name: each.cost for each in self.counters if each.cost}
        return {each.reason: each.cost for each in self.exits} | of_counters
