"""One page walk, reference by reference, for `mmulab walk` and for teaching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.guest.process import FLUSH
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.hardware.walks.sites import Site
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_LARGE,
    EPT_R,
    EPT_W,
    EPT_X,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    G,
    P,
)
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.trace import EVENT, LOAD, STORE, Chunk

#: Name of an entry by its level; a table is named after its entries.
ENTRY_NAMES = ("", "PTE", "PDE", "PDPTE", "PML4E", "PML5E")

_X86_FLAGS = (
    (P, "P"),
    (RW, "RW"),
    (US, "US"),
    (A, "A"),
    (D, "D"),
    (PS, "PS"),
    (G, "G"),
    (XD, "XD"),
)
_EPT_FLAGS = (
    (EPT_R, "R"),
    (EPT_W, "W"),
    (EPT_X, "X"),
    (EPT_LARGE, "large"),
    (EPT_A, "A"),
    (EPT_D, "D"),
)


@dataclass(frozen=True)
class Reference:
    """One memory reference of a walk.

    table: "gPT", "sPT", "nPT", or a structure of the technique's own. guest_level: level of the
    guest (or only) table that is read or, for a nested reference, located; 0: the page itself is
    located. host_level: level of the nested table that is read; 0: the guest's table is. index:
    into the table. hpa: of the entry. entry: as it was read, an unsigned 64-bit number.
    served_by: cache level or "memory".
    """

    table: str
    guest_level: int
    host_level: int
    index: int
    hpa: int
    entry: int
    served_by: str

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
        signed = self.entry - (1 << 64) if self.entry >> 63 else self.entry
        known = _EPT_FLAGS if self.is_nested else _X86_FLAGS
        return " ".join(name for bit, name in known if signed & bit)


@dataclass(frozen=True, repr=False)
class Walk(Shown):
    """A walk from CR3 to the page of gva under one technique."""

    technique: str
    gva: int
    levels: int
    host_levels: int
    references: tuple[Reference, ...]

    def __repr__(self) -> str:
        return f"<walk for {self.gva:#x}, {self.technique}: {len(self.references)} references>"


def walk(
    gva: int,
    technique: str | Spec,
    preset: Preset,
    config: Config | None = None,
    store: bool = False,
) -> Walk:
    """The walk of a load (or store) of gva on a machine whose page has been touched once.

    Nothing of the translation is cached when it begins. With walk caches on (see Config),
    what the walk itself caches shortens its own later parts.

    Raises InputError where gva is not canonical.
    """
    config = config or Config(walk_caches=False)
    bits = 12 + 9 * config.levels
    signed = gva - (1 << 64) if gva >> 63 else gva
    if not -(1 << (bits - 1)) <= signed < 1 << (bits - 1):
        raise InputError(f"address {gva:#x}: not canonical in {bits} bits")
    simulator = build(technique, preset, config, log_size=64)
    events = np.zeros(1, EVENT)
    events[0]["position"], events[0]["kind"], events[0]["pid"] = 1, FLUSH, FIRST_PID
    kinds = np.full(2, STORE if store else LOAD, np.uint8)
    chunk = Chunk(np.array([signed, signed]), kinds, np.ones(2, np.uint16), events)
    event = simulator.run(chunk, kinds, 0, 1, 0)
    core = simulator.machine.core
    core.record[0]["logging"] = 0
    simulator.run(chunk, kinds, 1, 2, event)
    used = int(core.record[0]["logging"])
    records = core.log[:used]
    names = [cache.name for cache in preset.caches]
    about = simulator.spec.technique
    references = tuple(
        _reference(record, about.walk.sites[record["site"]], about.table, names)
        for record in records
    )
    return Walk(
        simulator.technique, signed & (1 << 64) - 1, config.levels, config.host_levels, references
    )


def _reference(record: np.void, site: Site, table: str, caches: list[str]) -> Reference:
    """A logged reference. table: the guest's that hardware walks. caches: names of levels."""
    nested = site.dimension == "nested"
    of_guest = table if site.dimension == "guest" else site.dimension
    in_memory = record["cache"] == CACHE_LEVELS - 1
    return Reference(
        table="nPT" if nested else of_guest,
        guest_level=site.located,
        host_level=site.level if nested else 0,
        index=int(record["address"]) >> 3 & 511,
        hpa=int(record["address"]),
        entry=int(record["entry"]) & (1 << 64) - 1,
        served_by="memory" if in_memory else caches[int(record["cache"])],
    )
