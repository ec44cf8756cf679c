"""One page walk, reference by reference, for `mmulab walk` and for teaching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.guest.process import FLUSH
from mmulab.mmu.hardware.caches import MOST_OF_A_WALK
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.hardware.state import CACHE_LEVELS, VCPU
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import run as engine
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.memory.formats import FORMATS
from mmulab.mmu.presets.architectures import X86_64
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.trace import EVENT, LOAD, STORE, Chunk

#: Of the guest's pages, by what they are asked for as.
_PAGE_BYTES = {"4k": 4 << 10, "2m": 2 << 20, "thp": 2 << 20, "1g": 1 << 30}

#: Name of an entry by its level; a table is named after its entries.
ENTRY_NAMES = ("", "PTE", "PDE", "PDPTE", "PML4E", "PML5E")


@dataclass(frozen=True)
class Reference:
    """One memory reference of a walk.

    table: "gPT", "sPT", "nPT", or a structure of the technique's own. guest_level: level of the
    guest (or only) table that is read or, for a nested reference, located; 0: the page itself is
    located. host_level: level of the nested table that is read; 0: the guest's table is. index:
    into the table. hpa: of the entry. entry: as it was read, an unsigned 64-bit number in the
    format of the architecture, arch. served_by: cache level or "memory". step: a number that
    references which go out at once have in common; 0: it stands alone. background: nobody waits
    for it.
    """

    table: str
    guest_level: int
    host_level: int
    index: int
    hpa: int
    entry: int
    served_by: str
    arch: str = X86_64
    step: int = 0
    background: bool = False

    @property
    def is_nested(self) -> bool:
        return self.host_level > 0

    @property
    def is_of_table(self) -> bool:
        """False where a structure of the technique's own is read, which has no levels."""
        return self.host_level > 0 or self.guest_level > 0

    @property
    def name(self) -> str:
        """The entry's name: gPTE, sPTE, nPDE, ..."""
        if not self.is_of_table:
            return "entry"
        return self.table[0] + ENTRY_NAMES[self.host_level or self.guest_level]

    @property
    def purpose(self) -> str:
        """What a nested reference is for, or one to what is no page table."""
        if not self.is_of_table:
            return f"of the {self.table}"
        if not self.is_nested:
            return ""
        if self.guest_level == 0:
            return "locates the page"
        return f"locates the g{ENTRY_NAMES[self.guest_level][:-1]} page"

    @property
    def flags(self) -> str:
        if not self.is_of_table:
            return ""
        known = FORMATS[self.arch].flags[self.is_nested]
        return " ".join(name for bit, name in known if self.entry & bit)


@dataclass(frozen=True, repr=False)
class Walk(Shown):
    """A walk from CR3 to the page of gva under one technique."""

    technique: str
    gva: int
    levels: int
    host_levels: int
    references: tuple[Reference, ...]

    @property
    def steps(self) -> list[list[Reference]]:
        """References that go out at once, in the order of the walk."""
        found: list[list[Reference]] = []
        for each in self.references:
            if each.background:
                continue
            if found and each.step and found[-1][0].step == each.step:
                found[-1].append(each)
            else:
                found.append([each])
        return found

    def __repr__(self) -> str:
        return f"<walk for {self.gva:#x}, {self.technique}: {len(self.references)} references>"


def walk(
    gva: int,
    technique: str | Spec,
    preset: Preset,
    config: Config | None = None,
    store: bool = False,
    after_neighbour: bool = False,
) -> Walk:
    """The walk of a load (or store) of gva on a machine whose page has been touched once.

    Nothing of the translation is cached when it begins. With walk caches on (see Config),
    what the walk itself caches shortens its own later parts. after_neighbour: what a walk for
    the page beside it has left in them does, too.

    Raises InputError where gva is not canonical.
    """
    config = (config or Config(walk_caches=False)).on(preset.arch)
    bits = 12 + 9 * config.levels
    signed = gva - (1 << 64) if gva >> 63 else gva
    if not -(1 << (bits - 1)) <= signed < 1 << (bits - 1):
        raise InputError(f"address {gva:#x}: not canonical in {bits} bits")
    simulator = build(technique, preset, config, log_size=MOST_OF_A_WALK)
    beside = [signed ^ _PAGE_BYTES[config.page_size]] if after_neighbour else []
    addresses = np.array([signed, *beside, *beside, signed])
    count, last = len(addresses), len(addresses) - 1
    events = np.zeros(1, EVENT)
    events[0]["position"], events[0]["kind"], events[0]["pid"] = count // 2, FLUSH, FIRST_PID
    kinds = np.full(count, STORE if store else LOAD, np.uint8)
    chunk = Chunk(addresses, kinds, np.ones(count, np.uint16), events)
    marks = np.empty(count, MARK)
    engine.prepare(*map(to_read, chunk[:3]), marks, np.zeros(count + 1, np.int64), config.levels)
    event = simulator.run(chunk, marks, 0, last, 0)
    core = simulator.machine.core
    core.record[0]["logging"] = 0
    simulator.run(chunk, marks, last, count, event)
    used = int(core.record[0]["logging"])
    records = core.log[:used]
    names = [cache.name for cache in preset.caches]
    references = tuple(
        _reference(record, simulator.spec, names, simulator.machine.vcpu) for record in records
    )
    return Walk(
        simulator.technique, signed & (1 << 64) - 1, config.levels, config.host_levels, references
    )


def _reference(record: np.void, spec: Spec, caches: list[str], vcpu: VCPU) -> Reference:
    """A logged reference. spec: the technique whose walk it is of. caches: names of levels."""
    about = spec.technique
    site = about.walk.sites[record["site"]]
    nested = site.dimension == "nested"
    of_guest = site.table or (
        about.table_of(spec.values) if site.dimension == "guest" else site.dimension
    )
    in_memory = record["cache"] == CACHE_LEVELS - 1
    index = int(record["address"]) >> 3 & 511
    if nested and site.level == vcpu.regs[0]["root_levels"] and about.arch != X86_64:
        index = (int(record["address"]) - (int(vcpu.regs[0]["root"]) << 12)) >> 3  # it may be wide
    encode = FORMATS[about.arch].encode
    return Reference(
        table="nPT" if nested else of_guest,
        guest_level=site.located,
        host_level=site.level if nested else 0,
        index=index,
        hpa=int(record["address"]),
        entry=encode(int(record["entry"]), site.level, nested),
        served_by="memory" if in_memory else caches[int(record["cache"])],
        arch=about.arch,
        step=abs(int(record["step"])),
        background=bool(record["step"] < 0),
    )
