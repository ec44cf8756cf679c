"""What a technique says of itself: all that is particular to it, in one object of its file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.hardware.ops import linker
from mmulab.mmu.hardware.state import MAX_COUNTERS, MAX_REASONS
from mmulab.mmu.hardware.walks.prefetched import WITH_PREFETCH
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import is_numbas
from mmulab.mmu.kernels.structs import JIT_OFF, Struct
from mmulab.mmu.presets.architectures import X86_64
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import WalkCache
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.reference import Reference
from mmulab.mmu.vmm import calls

WalkCaches = tuple[WalkCache, ...]


@dataclass(frozen=True)
class Exit:
    """A reason for VM exits. cost: cycles of handling it, beside the preset's `vm_exit`; where the
    VMM is entered without virtualization hardware (`by_hardware` False), all of its cycles.

    label: what tables call it. category: of `report.cost.CATEGORIES`. instead_of: a count of
    the guest kernel's work that an exit stands in for, so that its own cost is not charged.
    """

    reason: str
    label: str
    cost: Cited
    category: str = "exit_fault"
    instead_of: str = ""
    by_hardware: bool = True


@dataclass(frozen=True)
class Counter:
    """Something else that a technique counts, and what each costs in cycles, if anything.

    of: a count of every technique (`report.counts`) that it equals; then its kernels do not
    count it.
    """

    name: str
    meaning: str
    cost: Cited | None = None
    category: str = "shadow"
    of: str = ""


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


class Variant(NamedTuple):
    """Which of its walks a technique has: those of an architecture, and whether pages are fetched
    ahead beside them (`hardware.tlb_prefetch`)."""

    arch: str = X86_64
    prefetches: bool = False


@dataclass(frozen=True)
class Technique:
    """A way to get from GVA to HPA.

    name: as users write it. source: the paper or manual. module: `__name__` of its file.
    walk: what its hardware does on a TLB miss, on x86-64; walks: on other architectures that it is
    there for. hooks: kernels by name, of those in
    `seam.HOOKS`; those that it leaves out take the default. exits, counters: at the index that
    its kernels count them by (`vmm.exits.vm_exit`, `VCPU.own`). state: makes its private
    state from sizes and its parameters' values. reference: the slow, obvious translation that
    --check compares with. walk_caches: what its walks are shortened by, from the preset's walk
    caches and its parameters' values. table: the guest's table that its hardware walks, "gPT" or
    "sPT". assumptions: where it departs from its source. tables: `table` where a parameter decides,
    by "KEY=VALUE". backing: kernels that stand in for those of `vmm.calls`, by name.

    Capabilities. virtual: a VMM runs below the guest, which can share the host's memory with
    others. guest_pcid: the guest can use PCIDs. eager: the guest must allocate before it
    touches. machine_frames: the guest's tables hold the host's frames. fixed: why the VMM cannot
    change what backs a page that the guest uses, by sharing it or paging it out; "" where it can.
    movable: a VM can be stopped, copied and begun again elsewhere: `start` and a CR3 load make all
    that it keeps from what the guest's memory holds, gPT pages may be shared until they are
    written to, and `protect` sees stores.
    smp: its VM can have several vCPUs: what it keeps for the VM is of no one vCPU.
    dumps: it can run over page tables that were dumped from a machine (`machine.dumps`).

    Raises InputError where a hook is not one of the seam's, is no kernel or takes other
    arguments, or where there are too many exits or counters.
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
    walk_caches: Callable[[WalkCaches, Mapping[str, Any]], WalkCaches] = lambda caches, values: (
        caches
    )
    table: str = "gPT"
    assumptions: tuple[str, ...] = ()
    virtual: bool = True
    guest_pcid: bool = True
    eager: bool = False
    machine_frames: bool = False
    fixed: str = ""
    movable: bool = False
    walks: Mapping[str, Walk] = field(default_factory=dict)
    arch: str = X86_64  # that `walk` is of: see `on`
    backing: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    dumps: bool = False
    smp: bool = False

    def __post_init__(self) -> None:
        for name, function in self.hooks.items():
            self._check_hook(name, function)
        if len(self.exits) > MAX_REASONS or len(self.counters) > MAX_COUNTERS:
            raise InputError(
                f"technique {self.name}: expected at most {MAX_REASONS} exit reasons and "
                f"{MAX_COUNTERS} counters"
            )
        parts = [(seam.HOOK_SECTION, self.hooks)]
        if self.backing:
            parts.append((calls.SECTION, self.backing))
        object.__setattr__(self, "link", linker(self.module, *parts))

    def _check_hook(self, name: str, function: Any) -> None:
        if name not in seam.HOOKS:
            raise InputError(f"technique {self.name}: {unknown('hook', name, seam.HOOKS)}")
        if not JIT_OFF and not hasattr(function, "py_func"):
            raise InputError(f"technique {self.name}: hook {name}: expected a @kernel")
        expected = ["machine", *seam.HOOKS[name].takes]
        given = list(signature(getattr(function, "py_func", function)).parameters)
        if len(given) != len(expected):
            raise InputError(
                f"technique {self.name}: hook {name} takes ({', '.join(given)}); "
                f"expected ({', '.join(expected)})"
            )

    @property
    def variant(self) -> Variant:
        return Variant(self.arch, self.walk in WITH_PREFETCH.values())

    def _walk_of(self, variant: Variant) -> Walk | None:
        walk = {self.arch: self.walk, **self.walks}.get(variant.arch)
        return WITH_PREFETCH.get(walk) if walk and variant.prefetches else walk

    def is_on(self, variant: Variant) -> bool:
        """Whether there is such a walk."""
        return self._walk_of(variant) is not None

    def on(self, variant: Variant) -> Technique:
        """The same with another walk: one object for each. Raises InputError where there is
        none. It is asked of what a file has as its TECHNIQUE, or of one that is so already."""
        if variant == self.variant:
            return self
        if variant not in self.on_others:
            self.on_others[variant] = self._changed(variant)
        return self.on_others[variant]

    def _changed(self, variant: Variant) -> Technique:
        walk = self._walk_of(variant)
        if walk is None and self.is_on(Variant(variant.arch)):
            raise InputError(
                f"technique {self.name}: tlb_prefetch: its walk has none; expected x86-64's walk "
                "of one table or of two, as under native, shadow and nested"
            )
        if walk is None:
            raise InputError(
                f"technique {self.name}: it is not there on {variant.arch}; expected a preset of "
                f"{' or '.join((X86_64, *self.walks))}"
            )
        walks = {**self.walks, self.arch: self.walk}
        other = replace(self, walk=walk, arch=variant.arch, walks=walks)
        object.__setattr__(other, "link", self.link)  # the hooks are the same
        return other

    def table_of(self, values: Mapping[str, Any]) -> str:
        """The guest's table that its hardware walks, with its parameters at these values."""
        said = (self.tables.get(f"{key}={value}") for key, value in values.items())
        return next(filter(None, said), self.table)

    on_others: dict[Variant, Technique] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    link: Any = field(init=False, repr=False, compare=False)

    @property
    def costs(self) -> dict[str, Cited]:
        """What its exits and counters cost, by name."""
        of_counters = {each.name: each.cost for each in self.counters if each.cost}
        return {each.reason: each.cost for each in self.exits} | of_counters


@contextmanager
def compiled_for(technique: Technique) -> Iterator[None]:
    """Raises InputError where numba cannot compile what a technique brings."""
    try:
        yield
    except Exception as error:
        if not is_numbas(error):
            raise
        # What went wrong stands below the innermost of the functions that failed for it.
        text = str(error).rpartition("Failed in nopython mode pipeline")[2]
        said = [line.strip() for line in text.splitlines()[1:] if line.strip()] or [str(error)]
        where = re.search(r'File "(.*)", line (\d+)', text)
        at = f" ({Path(where[1]).name}, line {where[2]})" if where else ""
        raise InputError(
            f"technique {technique.name}: numba cannot compile it: {said[0]}{at}"
        ) from error
