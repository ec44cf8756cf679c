"""Page tables to play with: map pages, walk, look at the bits that the walk set.

    from mmulab.mmu.by_hand.page_table import PageTable
    table = PageTable()                              # x86-64, four levels
    table.map(0x400000, frame=42, rights="rxu")
    result = table.walk(0x400123)                    # a load by the user
    print(hex(result.physical), [r.name for r in result.references])

`PageTable("ept")` is a nested page table; its addresses are guest-physical. The
tables lie in frames of a buddy allocator and are walked by the simulator's own
page walker, with no TLB or walk cache in front of it.

Rights are letters: r (present and readable), w, x, u (user) and g (global); u and
g exist in x86 tables only. "-" is skipped, so that "r-x" is a way to write "rx".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmulab.mmu import presets
from mmulab.mmu.by_hand import page_table_kernels as kernels
from mmulab.mmu.by_hand.walkthrough import Reference
from mmulab.mmu.errors import InputError, RunError, unknown
from mmulab.mmu.hardware.build import build_core, build_vcpu
from mmulab.mmu.hardware.walks.sites import RADIX
from mmulab.mmu.memory import entries as bits
from mmulab.mmu.memory.entries import ENTRIES, SIZE_NAMES, SIZES, parse_size
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.state import GPT_PAGE, NPT_PAGE
from mmulab.mmu.memory.status import OK
from mmulab.mmu.memory.tables import entries_in, make_memory
from mmulab.mmu.trace import FETCH, LOAD, STORE

ACCESSES = {"load": LOAD, "store": STORE, "fetch": FETCH}

_MASK = (1 << 64) - 1


class _Format(NamedTuple):
    """What tells one kind of table from the other; frame and large bit are the same.

    present: bits of which a present entry has one. pointer: flags of an entry that points
    to a table. leaf: flags of every leaf. rights: bit by letter; a negative one, XD,
    takes the right away.
    """

    table: str
    kind: int
    present: int
    pointer: int
    leaf: int
    rights: dict[str, int]
    accessed: int
    dirty: int
    fault: str


_X86_RIGHTS = {"r": bits.P, "w": bits.RW, "x": bits.XD, "u": bits.US, "g": bits.G}
_EPT_RIGHTS = {"r": bits.EPT_R, "w": bits.EPT_W, "x": bits.EPT_X}
_TABLE = bits.P | bits.RW | bits.US
_RWX, _WB, _AD = bits.EPT_RWX, bits.EPT_WB, (bits.EPT_A, bits.EPT_D)
FORMATS = {
    "x86": _Format("gPT", GPT_PAGE, bits.P, _TABLE, 0, _X86_RIGHTS, bits.A, bits.D, "#PF"),
    "ept": _Format("nPT", NPT_PAGE, _RWX, _RWX, _WB, _EPT_RIGHTS, *_AD, "EPT violation"),
}


@dataclass(frozen=True)
class Translation:
    """What a walk found.

    references: the entries read, top level first, as they were before the walk set A
    and D bits (see `mmu.by_hand.walkthrough.Reference`). level: of the leaf or, after a fault,
    of the entry that stopped the walk. frame, physical: the 4 KiB frame and the physical
    address; None after a fault. fault: None, "#PF" or "EPT violation". code: the
    page-fault error code (Intel SDM vol. 3A, figure 4-12), or bits 5:0 of the exit
    qualification (vol. 3C, table 28-7: access in 2:0; rights of the entries read in 5:3).
    """

    address: int
    level: int
    references: tuple[Reference, ...]
    frame: int | None = None
    physical: int | None = None
    fault: str | None = None
    code: int | None = None


def _signed(number: int) -> int:
    """The int64 of a 64-bit pattern."""
    return number - (1 << 64) if number >> 63 == 1 else number


class PageTable:
    """One page table: `format` "x86" or "ept", 4 or 5 levels.

    frames: size of the memory that the tables are allocated from, in frames of 4 KiB.
    The frames that are mapped are only numbers: no memory stands behind them, and one
    that holds a table may be mapped too. EPT A and D bits are in use.

    Raises InputError for an unknown format, another depth or an impossible size.
    """

    def __init__(self, format: str = "x86", levels: int = 4, frames: int = 1 << 20) -> None:
        if format not in FORMATS:
            raise unknown("page-table format", format, FORMATS)
        if levels not in (4, 5):
            raise InputError(f"levels {levels}: expected 4 or 5")
        self.format = format
        self.levels = levels
        self._form = FORMATS[format]
        # Any processor will do: its TLBs are never filled, and it gets no caches.
        preset = dataclasses.replace(presets.load(presets.DEFAULT), caches=())
        self.frames = make_frames(frames)
        self.memory = make_memory(frames)
        self.core, _ = build_core(preset, walk_caches=False, log_size=bits.MAX_LEVELS)
        self.vcpu = build_vcpu(len(RADIX))
        _, self.root = kernels.new_table(self.frames, self.memory, self._form.kind)
        regs = self.vcpu.regs[0]
        regs["root_ad"] = 1
        regs["levels"] = regs["root_levels"] = levels
        regs["root" if format == "ept" else "cr3"] = self.root

    def map(self, address: int, frame: int, size: str = "4k", rights: str = "") -> None:
        """Maps a page of `size` at address to the page that begins at `frame`.

        rights: all but g unless given. Raises InputError where address or frame is not a
        multiple of the size, is out of range, or something is mapped there; RunError
        where no frame is left for a table.
        """
        page = parse_size(size)
        at = self._checked(address)
        pages = SIZES[page] >> 12
        if at % SIZES[page]:
            raise InputError(f"address {address:#x}: not a multiple of the page size, {size}")
        if frame % pages or not 0 <= frame < 1 << 40:
            raise InputError(
                f"frame {frame:#x}: expected a multiple of {pages:#x} ({size}) below 2**40"
            )
        form = self._form
        granted = self._flags(rights or ("rwxu" if self.format == "x86" else "rwx"))
        leaf = (frame << 12) | form.leaf | granted | (bits.PS if page else 0)
        where = self.root, self.levels, at, page + 1
        flags = form.kind, form.present, form.pointer
        status = kernels.map_leaf(self.frames, self.memory, *where, leaf, *flags)
        if status == kernels.OCCUPIED:
            raise InputError(f"address {address:#x}: its {size} page is not free")
        if status != OK:
            self._free_empty(self.lookup(address).references)
            raise RunError(f"no frame left for a page table, of {self.frames.frame.size:,}")

    def unmap(self, address: int) -> None:
        """Removes the page that holds address, and the tables that are empty without it.

        Raises InputError where none is mapped.
        """
        path = self._mapped(address)
        kernels.store_entry(self.memory, path[-1].hpa, 0)
        self._free_empty(path)

    def protect(self, address: int, rights: str, level: int = 0) -> None:
        """Changes the rights of the leaf of address or, where `level` is given, of the
        entry of that level on its path; a walk permits what every entry on it permits.

        Raises InputError where nothing is mapped, or the path has no such level.
        """
        path = self._mapped(address)
        lowest = self.levels + 1 - len(path)
        if level and not lowest <= level <= self.levels:
            raise InputError(f"level {level}: expected {lowest} to {self.levels} at {address:#x}")
        changed = path[self.levels - (level or lowest)]
        others = _signed(changed.entry) & ~sum(self._form.rights.values())
        kernels.store_entry(self.memory, changed.hpa, others | self._flags(rights))

    def walk(self, address: int, access: str = "load", user: bool = True) -> Translation:
        """The walk that an access ("load", "store" or "fetch") makes.

        Sets A and D bits as the processor does. user: whether the user does it; an EPT
        makes no difference. Raises InputError where address is not canonical.
        """
        if access not in ACCESSES:
            raise unknown("access", access, ACCESSES)
        at = self._checked(address)
        kind = ACCESSES[access]
        record = self.core.record[0]
        record["logging"] = 0
        walk = kernels.walk_ept if self.format == "ept" else kernels.walk_x86
        status, frame, level = walk(self.core, self.vcpu, self.memory, at, kind, user)
        path = tuple(self._reference(log) for log in self.core.log[: record["logging"]])
        if status == OK:
            return Translation(address, level, path, frame, frame << 12 | at & 0xFFF)
        code = int(self.vcpu.regs[0]["fault_code"])
        if self.format == "ept":
            granted = _RWX
            for reference in path:
                granted &= reference.entry
            code = 1 << kind | granted << 3
        return Translation(address, level, path, fault=self._form.fault, code=code)

    def lookup(self, address: int) -> Translation:
        """What a load by the supervisor would find; no bit is set in the table."""
        found = self.walk(address, "load", user=False)
        for reference in found.references:
            kernels.store_entry(self.memory, reference.hpa, _signed(reference.entry))
        return found

    def entries(self, frame: int) -> np.ndarray:
        """The 512 entries of the table in a frame: a view, int64. Raises InputError where
        the frame holds no table."""
        there = 0 <= frame < self.memory.table.size
        entries = entries_in(self.memory, frame) if there else None
        if entries is None:
            raise InputError(f"frame {frame:#x} holds no page table")
        return entries

    def dump(self) -> str:
        """What is mapped, a line for each run of pages that are alike and whose frames
        follow one another: range, pages, rights and A, D bits of the leaves, first frame."""
        runs: list[list[Any]] = []  # address, pages, page size, flags, frame
        for at, size, entry in self._leaves(self.root, self.levels, 0):
            flags, frame = self._letters(entry), (entry & bits.FRAME) >> 12
            if runs:
                start, count, *alike, first = runs[-1]
                end = start + count * SIZES[size], first + count * (SIZES[size] >> 12)
                if (at, frame) == end and alike == [size, flags]:
                    runs[-1][1] += 1
                    continue
            runs.append([at, 1, size, flags, frame])
        return "\n".join(
            f"{start & _MASK:#018x}-{(start + count * SIZES[size] - 1) & _MASK:#018x} "
            f"{count:5d} x {SIZE_NAMES[size]} {flags} -> frame {frame:#x}"
            for start, count, size, flags, frame in runs
        )

    def _leaves(self, table: int, level: int, start: int) -> Iterator[tuple[int, int, int]]:
        """(address, page size, entry) of every leaf below a table, in order of address."""
        entries = self.entries(table)
        for index in np.flatnonzero(entries & self._form.present).tolist():
            entry = int(entries[index])
            if level == self.levels and index >= ENTRIES // 2 and self.format == "x86":
                index -= ENTRIES  # upper half: the bits above are all 1
            at = start + (index << (bits.PAGE_SHIFT + bits.INDEX_BITS * (level - 1)))
            if level == 1 or entry & bits.PS:
                yield at, level - 1, entry
            else:
                yield from self._leaves((entry & bits.FRAME) >> 12, level - 1, at)

    def _checked(self, address: int) -> int:
        """The address as int64; raises InputError where the table cannot translate it."""
        at = _signed(address)
        width = 12 + bits.INDEX_BITS * self.levels
        if self.format == "ept":
            if not 0 <= at < 1 << width:
                raise InputError(f"address {address:#x}: expected a GPA below 2**{width}")
        elif not -(1 << (width - 1)) <= at < 1 << (width - 1):
            raise InputError(f"address {address:#x}: not canonical in {width} bits")
        return at

    def _flags(self, rights: str) -> int:
        """Bits of an entry that grants rights. Raises InputError for a wrong letter."""
        known = self._form.rights
        if "r" not in rights or set(rights) - set(known) - {"-"}:
            letters = ", ".join(list(known)[1:])
            raise InputError(f"rights {rights!r}: expected r and, with it, any of {letters}")
        return sum(bit for letter, bit in known.items() if (letter in rights) == (bit > 0))

    def _letters(self, entry: int) -> str:
        """Rights and A, D bits of an entry, "-" for each that it has not."""
        flags = {**self._form.rights, "A": self._form.accessed, "D": self._form.dirty}
        return "".join(
            letter if (entry & bit != 0) == (bit > 0) else "-" for letter, bit in flags.items()
        )

    def _mapped(self, address: int) -> tuple[Reference, ...]:
        """The path to the leaf of address; raises InputError where there is none."""
        found = self.lookup(address)
        if found.fault:
            raise InputError(f"address {address:#x} is not mapped")
        return found.references

    def _free_empty(self, path: tuple[Reference, ...]) -> None:
        """Frees the tables on a path that have no entry, lowest first; never the root."""
        for above, here in reversed(list(zip(path, path[1:], strict=False))):
            if self.entries(here.hpa >> 12).any():
                return
            kernels.free_table(self.frames, self.memory, here.hpa >> 12)
            kernels.store_entry(self.memory, above.hpa, 0)

    def _reference(self, log: np.void) -> Reference:
        address, entry = int(log["address"]), int(log["entry"]) & _MASK
        site = RADIX[log["site"]]
        levels = site.located, site.level if site.dimension == "nested" else 0
        index = address >> 3 & (ENTRIES - 1)
        return Reference(self._form.table, *levels, index, address, entry, served_by="memory")
