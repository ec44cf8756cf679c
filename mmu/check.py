"""The invariants of a simulation, checked from outside: for --check and the tests.

Everything here is read from the tables and arrays anew, by NumPy and plain Python; none
of the kernels that might be wrong is called.

1. A cached translation is what a walk would give now.
2. An sPT entry is its gPT entry composed with the p2m, or not present, or unsync.
3. Every frame is free or accounted for exactly once per reference; a shared frame is
   mapped read-only everywhere.
4. All techniques show the same contents at the same addresses, and the same faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mmu.bits import (
    ENTRIES,
    EPT_RWX,
    EPT_W,
    EPT_X,
    FRAME,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    P,
)
from mmu.errors import RunError
from mmu.hardware.tlb import GLOBAL
from mmu.machine import Simulator
from mmu.state import (
    FRAME_KINDS,
    FREE,
    GPT_PAGE,
    GUEST_PAGE,
    NESTED,
    NIL,
    NPT_PAGE,
    ROUTE_EPT_PSC,
    ROUTE_L2D,
    ROUTE_NTLB,
    ROUTE_PSC,
    SHADOW,
    SPT_PAGE,
)

_RIGHTS = RW | US | XD
_PAGE_BITS = 45


class CheckFailed(RunError):
    """An invariant does not hold: a bug in the simulator or in a technique."""


def _fail(simulator: Simulator, invariant: str, what: str) -> None:
    raise CheckFailed(
        f"{simulator.technique}: after {simulator.accesses:,} accesses: "
        f"invariant broken: {invariant}: {what}"
    )


# --- Reading tables --------------------------------------------------------------


class Entry(NamedTuple):
    """A present entry: the address it maps from, its level, table (hfn), position in it and value;
    rights of the path down to it (x86 only)."""

    address: int
    level: int
    table: int
    position: int
    value: int
    rights: int

    @property
    def is_leaf(self) -> bool:
        return self.level == 1 or bool(self.value & PS)

    @property
    def frame(self) -> int:
        return (self.value & FRAME) >> 12


def _sign_extend(address: int, levels: int) -> int:
    bits = 12 + 9 * levels
    return address - (1 << bits) if address >> (bits - 1) else address


class Tables:
    """The page tables of one machine, read by software."""

    def __init__(self, simulator: Simulator) -> None:
        machine = simulator.machine
        self.simulator = simulator
        self.memory = machine.host.memory
        self.vm = machine.vm
        self.record = machine.vm.record[0]
        self.regs = machine.core.regs[0]
        self.virtual = int(self.record["technique"]) in (SHADOW, NESTED)

    def contents(self, hfn: int) -> np.ndarray | None:
        """int64[512], or None where the frame holds no table."""
        table = int(self.memory.table[hfn]) - 1
        return None if table < 0 else self.memory.entry[table * ENTRIES : (table + 1) * ENTRIES]

    def hfn_of(self, gfn: int) -> int:
        return (int(self.vm.p2m[gfn]) >> 2) - 1 if self.virtual else gfn

    def entries(
        self, root: int, levels: int, present: int, locate: Callable[[int], int]
    ) -> Iterator[Entry]:
        """Every present entry of a tree, upper levels first. `root` is an hfn; `locate`
        turns the frame of a table into its hfn."""
        level = levels
        tables = [(0, root, RW | US)]
        while tables:
            below = []
            for start, hfn, rights in tables:
                contents = self.contents(hfn)
                if contents is None:
                    _fail(self.simulator, "no dangling table", f"frame {hfn:#x} holds no table")
                    return
                for index in np.flatnonzero(contents & present).tolist():
                    value = int(contents[index])
                    address = start + (index << (12 + 9 * (level - 1)))
                    here = (rights & value & (RW | US)) | ((rights | value) & XD)
                    entry = Entry(_sign_extend(address, levels), level, hfn, index, value, here)
                    yield entry
                    if not entry.is_leaf:
                        below.append((address, locate(entry.frame), here))
            tables = below
            level -= 1

    def guest_entries(self, cr3: int) -> Iterator[Entry]:
        levels = int(self.record["levels"])
        return self.entries(self.hfn_of(cr3), levels, P, self.hfn_of)

    def nested_entries(self) -> Iterator[Entry]:
        levels = int(self.regs["ept_levels"])
        return self.entries(int(self.record["npt_root"]), levels, EPT_RWX, lambda frame: frame)

    def shadow_entries(self, page: int) -> Iterator[Entry]:
        levels = int(self.record["levels"])
        root = int(self.vm.shadow[page]["hfn"])
        return self.entries(root, levels, P, lambda frame: frame)

    def processes(self) -> list[int]:
        used = int(self.record["processes_used"])
        return [p for p in range(used) if self.vm.process[p]["alive"]]


# --- 1. Cached translations ------------------------------------------------------


class Page(NamedTuple):
    """What a walk gives for a page: hfn of its first 4 KiB, page size, rights, both D bits."""

    hfn: int
    size: int
    rights: int
    dirty: bool


def _hardware_leaves(tables: Tables, process: int) -> dict[tuple[int, int], Page]:
    """(page size, page number) -> translation, as the hardware walks for a process."""
    vm = tables.vm
    technique = int(tables.record["technique"])
    leaves = {}
    if technique == SHADOW:
        page = int(vm.process[process]["shadow"])
        entries = tables.shadow_entries(page) if page else iter(())
    else:
        entries = tables.guest_entries(int(vm.process[process]["cr3"]))
    for entry in entries:
        if entry.is_leaf:
            size = entry.level - 1
            leaves[size, entry.address >> (12 + 9 * size)] = Page(
                entry.frame, size, entry.rights & _RIGHTS, bool(entry.value & D)
            )
    return leaves


def _nested_leaves(tables: Tables) -> dict[tuple[int, int], Entry]:
    return {
        (entry.level - 1, entry.address >> (12 + 9 * (entry.level - 1))): entry
        for entry in tables.nested_entries()
        if entry.is_leaf
    }


def _lookup(leaves: dict, page: int) -> tuple[int, object] | None:
    """(page size, leaf) that holds a 4 KiB page."""
    for size in range(3):
        leaf = leaves.get((size, page >> (9 * size)))
        if leaf is not None:
            return size, leaf
    return None


def _translate(tables: Tables, leaves: dict, nested: dict | None, page: int) -> Page | None:
    """What a walk gives for a 4 KiB page now."""
    found = _lookup(leaves, page)
    if found is None:
        return None
    size, leaf = found
    assert isinstance(leaf, Page)
    frame = leaf.hfn + (page & ((1 << (9 * size)) - 1))
    if nested is None:
        return Page(frame, size, leaf.rights, leaf.dirty)
    below = _lookup(nested, frame)
    if below is None:
        return None
    host_size, entry = below
    assert isinstance(entry, Entry)
    rights = leaf.rights
    rights &= ~0 if entry.value & EPT_W else ~RW
    rights |= 0 if entry.value & EPT_X else XD
    hfn = entry.frame + (frame & ((1 << (9 * host_size)) - 1))
    dirty = leaf.dirty and (not tables.regs["ept_ad"] or bool(entry.value & (1 << 9)))
    return Page(hfn, min(size, host_size), rights, dirty)


def _slots(core: object, number: int) -> Iterator[tuple[int, int]]:
    """(tag, data) of a unit's valid slots."""
    unit = core.unit[number]  # type: ignore[attr-defined]
    start = int(unit["base"])
    end = start + (int(unit["set_mask"]) + 1) * int(unit["stride"])
    tags = core.tag[start:end]  # type: ignore[attr-defined]
    for offset in np.flatnonzero(tags >= 0).tolist():
        yield int(tags[offset]), int(core.data[start + offset])  # type: ignore[attr-defined]


def _owner(tables: Tables, asid: int) -> int | None:
    """A process whose translations an entry of that ASID holds; None: of none that runs
    before the ASID is flushed."""
    shadow = int(tables.record["technique"]) == SHADOW
    current = int(tables.record["current"])
    if asid == GLOBAL or shadow or asid == int(tables.regs["asid"]):
        return current
    for process in tables.processes():
        one = tables.vm.process[process]
        if int(one["asid"]) == asid and not one["stale"]:
            return process
    return None


def check_cached(simulator: Simulator, tables: Tables) -> None:
    """Invariant 1, for TLBs, paging-structure caches and the nested TLB."""
    core = simulator.machine.core
    nested = None
    if int(tables.record["technique"]) == NESTED:
        nested = _nested_leaves(tables)
    by_process: dict[int, dict] = {}
    for row in range(ROUTE_L2D + 1):
        for number in set(core.route[row, :3].tolist()) - {NIL}:
            for tag, data in _slots(core, number):
                size = (tag >> _PAGE_BITS) & 3
                asid = (tag >> (_PAGE_BITS + 2)) & 0xFFF
                process = _owner(tables, asid)
                if process is None:
                    continue
                if process not in by_process:
                    by_process[process] = _hardware_leaves(tables, process)
                page = _signed_page(tag, size) << (9 * size)
                now = _translate(tables, by_process[process], nested, page)
                _same(simulator, number, page, size, data, now)
    _check_walk_caches(simulator, tables, nested)


def _signed_page(tag: int, size: int) -> int:
    page = tag & ((1 << _PAGE_BITS) - 1)
    return page - (1 << _PAGE_BITS) if page >> (_PAGE_BITS - 1) else page


def _same(
    simulator: Simulator, number: int, page: int, size: int, data: int, now: Page | None
) -> None:
    name = f"{simulator.units[number]}, page {page << 12:#x}"
    cached = Page((data & FRAME) >> 12, size, data & _RIGHTS, bool(data & D))
    if now is None:
        _fail(simulator, "a TLB hit is what a walk gives", f"{name}: a walk faults")
    elif cached.hfn != now.hfn or cached.rights != now.rights or size > now.size:
        _fail(simulator, "a TLB hit is what a walk gives", f"{name}: {cached}, a walk: {now}")
    elif cached.dirty and not now.dirty:
        _fail(simulator, "a TLB hit is what a walk gives", f"{name}: D set there only")


def _check_walk_caches(simulator: Simulator, tables: Tables, nested: dict | None) -> None:
    core = simulator.machine.core
    what = "a walk cache holds what a walk reads"
    guest: dict[int, dict[tuple[int, int], tuple[int, int]]] = {}
    for level in range(2, 6):
        number = int(core.route[ROUTE_PSC, level])
        for tag, data in _slots(core, number) if number != NIL else ():
            process = _owner(tables, (tag >> _PAGE_BITS) & 0xFFF)
            if process is None:
                continue
            if process not in guest:
                guest[process] = _uppers(tables, process)
            prefix = _signed_prefix(tag, level)
            now = guest[process].get((level, prefix))
            if now != ((data & FRAME) >> 12, data & _RIGHTS):
                _fail(simulator, what, f"{simulator.units[number]} {prefix:#x}: {data:#x}, {now}")
    if nested is None:
        return
    uppers = {
        (e.level, e.address >> (12 + 9 * (e.level - 1))): e.frame
        for e in tables.nested_entries()
        if not e.is_leaf
    }
    for level in range(2, 6):
        number = int(core.route[ROUTE_EPT_PSC, level])
        for tag, data in _slots(core, number) if number != NIL else ():
            prefix = tag & ((1 << _PAGE_BITS) - 1)
            if uppers.get((level, prefix)) != (data & FRAME) >> 12:
                _fail(simulator, what, f"{simulator.units[number]} {prefix:#x}")
    number = int(core.route[ROUTE_NTLB, 0])
    for tag, data in _slots(core, number) if number != NIL else ():
        gfn = tag & ((1 << _PAGE_BITS) - 1)
        if tables.hfn_of(gfn) != data:
            _fail(simulator, what, f"ntlb gfn {gfn:#x}: {data:#x}, p2m {tables.hfn_of(gfn):#x}")


def _signed_prefix(tag: int, level: int) -> int:
    bits = _PAGE_BITS
    prefix = tag & ((1 << bits) - 1)
    return prefix - (1 << bits) if prefix >> (bits - 1) else prefix


def _uppers(tables: Tables, process: int) -> dict[tuple[int, int], tuple[int, int]]:
    """(level, prefix) -> (hfn of the table below, rights of the path)."""
    shadow = int(tables.record["technique"]) == SHADOW
    one = tables.vm.process[process]
    if shadow:
        page = int(one["shadow"])
        entries = tables.shadow_entries(page) if page else iter(())
    else:
        entries = tables.guest_entries(int(one["cr3"]))
    locate = (lambda frame: frame) if shadow else tables.hfn_of
    return {
        (e.level, e.address >> (12 + 9 * (e.level - 1))): (locate(e.frame), e.rights & _RIGHTS)
        for e in entries
        if not e.is_leaf
    }


# --- 2. Shadow tables ------------------------------------------------------------


def check_shadow(simulator: Simulator, tables: Tables) -> None:
    """Invariant 2: each sPTE is composed of its gPTE and the p2m, unless it is unsync."""
    vm = tables.vm
    what = "an sPT entry is its gPT entry composed with the p2m"
    for number in range(1, int(tables.record["shadows_used"])):
        page = vm.shadow[number]
        if not page["level"] or page["direct"] or page["unsync"]:
            continue
        if int(vm.shadowed[page["gfn"]]) != number:
            _fail(simulator, what, f"gfn {int(page['gfn']):#x} does not know its shadow")
        mine = tables.contents(int(page["hfn"]))
        guest = tables.contents(tables.hfn_of(int(page["gfn"])))
        if mine is None or guest is None:
            _fail(simulator, what, f"shadow page {number} has no table")
            return
        for index in np.flatnonzero(mine & P).tolist():
            spte, gpte = int(mine[index]), int(guest[index])
            why = _composed(tables, int(page["level"]), spte, gpte)
            if why:
                _fail(simulator, what, f"level {int(page['level'])}, index {index}: {why}")


def _composed(tables: Tables, level: int, spte: int, gpte: int) -> str:
    """Why an sPTE is not what its gPTE says; empty where it is."""
    if not gpte & P or not gpte & A:
        return f"gPTE {gpte:#x} is not present or not accessed"
    guest_leaf = level == 1 or gpte & PS
    shadow_leaf = level == 1 or spte & PS
    frame = (spte & FRAME) >> 12
    if shadow_leaf:
        if not guest_leaf or frame != tables.hfn_of((gpte & FRAME) >> 12):
            return f"sPTE {spte:#x} maps another frame than gPTE {gpte:#x}"
        if spte & RW and not (gpte & RW and gpte & D):
            return f"sPTE {spte:#x} is writable, gPTE {gpte:#x} is not or is clean"
        if (spte ^ gpte) & (US | XD):
            return f"sPTE {spte:#x} and gPTE {gpte:#x} have other rights"
        return ""
    reverse = int(tables.simulator.machine.host.frames.frame[frame]["reverse"]) - 1
    child = tables.vm.shadow[reverse]
    if guest_leaf:
        return "" if child["direct"] else f"sPTE {spte:#x} shadows a table, not a large page"
    if child["direct"] or int(child["gfn"]) != (gpte & FRAME) >> 12:
        return f"sPTE {spte:#x} points to the shadow of another table than gPTE {gpte:#x}"
    if (spte ^ gpte) & _RIGHTS:
        return f"sPTE {spte:#x} and gPTE {gpte:#x} have other rights"
    return ""


# --- 3. Frames -------------------------------------------------------------------


def check_frames(simulator: Simulator, tables: Tables) -> None:
    """Invariant 3, for the host's frames and the guest's."""
    guest = _guest_references(simulator, tables)
    if not tables.virtual:
        _account(simulator, "host", simulator.machine.host.frames, guest)
        return
    _account(simulator, "guest", tables.vm.frames, guest)
    host: dict[int, tuple[int, int]] = {}
    p2m = tables.vm.p2m
    for gfn in np.flatnonzero(p2m[: simulator.config.guest_frames]).tolist():
        size = int(p2m[gfn]) & 3
        if gfn & ((1 << (9 * size)) - 1) == 0:
            host[tables.hfn_of(gfn)] = (GUEST_PAGE, 1)
    if int(tables.record["technique"]) == NESTED:
        host[int(tables.record["npt_root"])] = (NPT_PAGE, 1)
        for entry in tables.nested_entries():
            if not entry.is_leaf:
                host[entry.frame] = (NPT_PAGE, 1)
    for number in range(1, int(tables.record["shadows_used"])):
        if tables.vm.shadow[number]["level"]:
            host[int(tables.vm.shadow[number]["hfn"])] = (SPT_PAGE, 1)
    _account(simulator, "host", simulator.machine.host.frames, host)


def _guest_references(simulator: Simulator, tables: Tables) -> dict[int, tuple[int, int]]:
    """frame -> (kind, references) as the processes' tables have them."""
    references: dict[int, tuple[int, int]] = {}
    seen: set[tuple[int, int]] = set()
    writable: set[int] = set()
    used: dict[int, int] = {}
    for process in tables.processes():
        cr3 = int(tables.vm.process[process]["cr3"])
        references[cr3] = (GPT_PAGE, 1)
        for entry in tables.guest_entries(cr3):
            if (entry.table, entry.position) in seen:
                continue  # the kernel half hangs below every root
            seen.add((entry.table, entry.position))
            used[entry.table] = used.get(entry.table, 0) + 1
            if entry.is_leaf:
                kind, count = references.get(entry.frame, (GUEST_PAGE, 0))
                references[entry.frame] = (kind, count + 1)
                if entry.value & RW:
                    writable.add(entry.frame)
            else:
                references[entry.frame] = (GPT_PAGE, 1)
    for frame, (kind, count) in references.items():
        if count > 1 and frame in writable:
            _fail(simulator, "a shared frame is mapped read-only", f"frame {frame:#x}")
        if kind == GPT_PAGE and int(tables.vm.used[frame]) != used.get(tables.hfn_of(frame), 0):
            _fail(simulator, "entries in use are counted", f"gPT page {frame:#x}")
    return references


def _account(simulator: Simulator, whose: str, frames: object, expected: dict) -> None:
    """Every block in use is expected with its references, the rest is free, once each."""
    what = f"every {whose} frame is accounted for exactly once"
    records = frames.frame  # type: ignore[attr-defined]
    heads = np.flatnonzero(records["order"])
    covered = 0
    free = 0
    for head, order, kind, count in zip(
        heads.tolist(),
        records["order"][heads].tolist(),
        records["kind"][heads].tolist(),
        records["references"][heads].tolist(),
        strict=True,
    ):
        if head < covered or head & ((1 << (order - 1)) - 1):
            _fail(simulator, what, f"block at {head:#x} overlaps or is not aligned")
        if head != covered:
            _fail(simulator, what, f"frames {covered:#x} to {head - 1:#x} belong to no block")
        covered = head + (1 << (order - 1))
        if kind == FREE:
            free += 1 << (order - 1)
        elif expected.get(head) != (kind, count):
            _fail(
                simulator,
                what,
                f"{FRAME_KINDS[kind]} frame {head:#x} has {count} references; expected "
                f"{expected.get(head, 'none')}",
            )
        else:
            del expected[head]
    if covered != len(records):
        _fail(simulator, what, f"frames from {covered:#x} on belong to no block")
    if expected:
        _fail(simulator, what, f"frame {min(expected):#x} is used but not allocated")
    in_use = int(frames.counts[1])  # type: ignore[attr-defined]
    if in_use + free != len(records):
        _fail(simulator, what, f"{in_use} in use and {free} free of {len(records)}")


# --- All together ----------------------------------------------------------------


def check(simulator: Simulator) -> None:
    """Raises CheckFailed where invariant 1, 2 or 3 does not hold."""
    tables = Tables(simulator)
    check_cached(simulator, tables)
    if int(tables.record["technique"]) == SHADOW:
        check_shadow(simulator, tables)
    check_frames(simulator, tables)


def _contents(simulator: Simulator) -> dict[tuple[int, int], int]:
    """(pid, address of a page) -> tag of its contents."""
    tables = Tables(simulator)
    found = {}
    for process in tables.processes():
        pid = int(tables.vm.process[process]["pid"])
        for entry in tables.guest_entries(int(tables.vm.process[process]["cr3"])):
            if entry.is_leaf:
                found[pid, entry.address] = int(tables.vm.contents[entry.frame])
    return found


_FAULTS = ("guest_faults", "demand_fills", "cow_breaks", "granted", "pte_writes")


def compare_contents(simulators: Sequence[Simulator]) -> None:
    """Invariant 4. Raises CheckFailed naming the technique that differs from the first."""
    first, *others = simulators
    contents = _contents(first)
    what = "all techniques show the same contents and faults"
    for other in others:
        theirs = _contents(other)
        if theirs != contents:
            page = min(
                key
                for key in contents.keys() | theirs.keys()
                if contents.get(key) != theirs.get(key)
            )
            _fail(other, what, f"process {page[0]}, page {page[1]:#x} differs")
        for name in _FAULTS:
            mine = int(first.machine.core.stats[0][name])
            yours = int(other.machine.core.stats[0][name])
            if mine != yours:
                _fail(other, what, f"{yours:,} {name}; {first.technique} has {mine:,}")
