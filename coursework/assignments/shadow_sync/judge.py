"""Whether what a student's VMM did to the tables is right, one operation after another.

The rule is the processor's own (Intel SDM vol. 3A, 4.10.2 to 4.10.4): the sPT is to the guest
what a TLB is. A translation may stay as it once was until INVLPG of its page or a CR3 load, and
may be missing at any time; it may never be one that the guest's tables did not give since then.
Nothing of the student's is believed but what stands in the tables that came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmulab.coursework.assignments.shadow_sync.world import (  # fmt: skip
    ACCESS,
    CR3,
    FETCH,
    INVLPG,
    RW,
    STORE,
    US,
    USER,
    WRITE,
    XD,
    A,
    D,
    P,
    Sequence,
)

_SPT, _ROOT, _PROTECTED, _GPT, _REFLECTED = 0, 1, 2, 3, 4  # kinds of record; see `driver`
_FRAME = ((1 << 40) - 1) << 12
_MASK = (1 << 64) - 1

#: Parts whose sequences look at rights and at A and D, beside which frame is mapped.
STRICT = ("rights",)
MOST_RECORDS = 2_000_000  # of a sequence: far above what any solution writes
#: Tables that are come to from the root, by all ways: a student has 512, and a solution links
#: each a few times at most. Tables that are full of links to one another have ways without end.
MOST_WAYS = 1 << 12


class Translation(NamedTuple):
    """What a page is mapped to: host frame, and rights as bits of an entry."""

    hfn: int
    rights: int

    def within(self, other: Translation, strict: bool) -> bool:
        if self.hfn != other.hfn:
            return False
        more = self.rights & (RW | US) & ~other.rights or (other.rights & ~self.rights & XD)
        return not (strict and more)


class Wrong(Exception):
    """What is wrong, and at which operation."""


@dataclass
class Count:
    """Exits of a sequence, and how many a VMM needs that does as the handout says."""

    writes: int = 0
    writes_needed: int = 0
    fills: int = 0
    fills_needed: int = 0


class Judge:
    """Plays a sequence with the records of what the student's VMM did."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.strict = sequence.part in STRICT
        self.gpt = {gfn: list(table) for gfn, table in sequence.tables.items()}
        self.spt: dict[int, dict[int, int]] = {}  # entries that are not zero
        self.root = -1
        self.cr3 = -1
        self.protected: set[int] = set()
        self.given: dict[int, list[Translation | None]] = {}  # since the last flush, by page
        self.count = Count()
        self._bases = sorted({region.base for region in sequence.regions})
        self._spots = sorted({spot for region in sequence.regions for spot in region.spots})
        self._regions: dict[int, list[int]] = {}  # leaf table -> addresses it maps from
        for region in sequence.regions:
            self._regions.setdefault(region.table, []).append(region.base)
        self._written: set[int] = set()  # tables, since the last CR3 load
        self._kept: dict[tuple[int, int], bool] = {}  # (CR3, page): may it be written to?

    # --- the two tables ---

    def guest(self, gva: int) -> tuple[Translation | None, int, list[tuple[int, int]]]:
        """(translation, rights that an access has, entries on the way) by the guest's tables.

        Where rights count, no translation before A is set, and none to write to before D is:
        the processor would have to set them first."""
        gfn, rights, xd = self.cr3, RW | US, 0
        path: list[tuple[int, int]] = []
        entry = 0
        for level in range(self.sequence.levels, 0, -1):
            index = gva >> (3 + 9 * level) & 511
            table = self.gpt.get(gfn)
            entry = table[index] if table else 0
            if not entry & P:
                return None, 0, path
            path.append((gfn, index))
            rights &= entry
            xd |= entry & XD
            gfn = (entry & _FRAME) >> 12
        if self.strict and not entry & A:
            return None, P | rights | xd, path
        shown = (rights if entry & D else rights & ~RW) | xd
        return Translation(self.sequence.p2m[gfn], shown), P | rights | xd, path

    def shadow(self, gva: int) -> Translation | None:
        hfn, rights, xd = self.root, RW | US, 0
        for level in range(self.sequence.levels, 0, -1):
            entry = self.spt.get(hfn, {}).get(gva >> (3 + 9 * level) & 511, 0)
            if not entry & P:
                return None
            rights &= entry
            xd |= entry & XD
            hfn = (entry & _FRAME) >> 12
        return Translation(hfn, rights | xd)

    def mapped(self) -> Iterator[tuple[int, Translation]]:
        """All pages that the sPT maps."""
        top = self.sequence.levels
        ways = 0
        waiting = [(self.root, top, 0, RW | US, 0)]
        while waiting:
            hfn, level, base, rights, xd = waiting.pop()
            ways += 1
            if ways + len(waiting) > MOST_WAYS:
                raise Wrong(f"the sPT leads to tables in more than {MOST_WAYS} ways")
            for index, entry in self.spt.get(hfn, {}).items():
                if not entry & P:
                    continue
                gva = base | index << (3 + 9 * level)
                below = (entry & _FRAME) >> 12
                if level > 1:
                    waiting.append((below, level - 1, gva, rights & entry, xd | entry & XD))
                    continue
                if gva >> (11 + 9 * top) & 1:
                    gva |= _MASK ^ ((1 << (12 + 9 * top)) - 1)
                yield gva, Translation(below, (rights & entry) | xd | entry & XD)

    # --- a sequence ---

    def judge(self, records: np.ndarray, failed: int = -1, why: str = "") -> Count:
        """Plays it all. failed, why: an operation at which a student's function raised an error,
        and which. Raises Wrong."""
        starts = np.searchsorted(records[:, 0], np.arange(len(self.sequence.operations) + 1))
        if len(records) and (np.diff(records[:, 0]) < 0).any():
            raise Wrong("reports operations out of order")
        for number, operation in enumerate(self.sequence.operations):
            if number == failed:
                self._wrong(number, why)
            rows = records[starts[number] : starts[number + 1], 1:].tolist()
            try:
                self._operation(operation, rows)
                self._check_all()
            except Wrong as wrong:
                self._wrong(number, str(wrong))
        return self.count

    def _wrong(self, number: int, why: str) -> None:
        what = describe(self.sequence.operations[number])
        raise Wrong(f"sequence {self.sequence.number}, operation {number}, {what}: {why}")

    def _operation(self, operation: tuple[int, int, int, int], rows: list[list[int]]) -> None:
        kind, a, b, value = operation
        if kind == ACCESS:
            self._access(a, b, rows)
            return
        if kind == STORE:
            self._count_store(a, b)
            pages = self._pages(a, b)
            self._note(pages)  # what a flush has not excluded yet may still be held
            self.gpt[a][b] = value
            self._note(pages)
        elif kind == CR3:
            self.cr3 = a
            self._written.clear()
        self._apply(rows, frozenset())
        if kind == CR3:
            self.given = {}
        elif kind == INVLPG:
            self.given.pop(a & ~4095, None)

    def _apply(self, rows: list[list[int]], settable: frozenset[tuple[int, int]]) -> bool:
        """Takes over what changed. settable: guest entries in which A and D may be set.
        True where the fault was given to the guest."""
        reflected = False
        for kind, a, b, pattern in rows:
            value = pattern & _MASK
            if kind == _SPT and not 0 <= b < 512:
                raise Wrong("changes an entry that no table has")
            if kind == _SPT:
                table = self.spt.setdefault(a, {})
                table[b] = value
                if not value:
                    del table[b]
            elif kind == _ROOT:
                self.root = a
            elif kind == _PROTECTED:
                (self.protected.add if value else self.protected.discard)(a)
            elif kind == _REFLECTED:
                reflected = True
            elif kind == _GPT:
                self._guest_entry(a, b, value, settable)
            else:
                raise Wrong("reports something that is no change")
        return reflected

    def _guest_entry(self, gfn: int, index: int, value: int, settable: Any) -> None:
        if gfn not in self.gpt or not 0 <= index < 512:
            raise Wrong("changes something that is no table of the guest's")
        change = self.gpt[gfn][index] ^ value
        if change & ~(A | D) or value & change != change:
            raise Wrong(f"entry {index} of the guest's table {gfn:#x} is not what the "
                        "guest has stored")  # fmt: skip
        if change and (gfn, index) not in settable and self.strict:
            raise Wrong(f"sets A or D in entry {index} of the guest's table {gfn:#x}, which this "
                        "access did not use")  # fmt: skip
        self.gpt[gfn][index] = value

    # --- accesses ---

    def _access(self, gva: int, flags: int, rows: list[list[int]]) -> None:
        held = self.shadow(gva)
        self._count_access(gva, flags, held)
        if held is not None and _permits(held.rights, flags):
            self._apply(rows, frozenset())
            return
        _, rights, path = self.guest(gva)
        before = [self.gpt[gfn][index] for gfn, index in path]
        reflected = self._apply(rows, frozenset(path))
        allowed = bool(rights) and _permits(rights, flags)
        if reflected and allowed:
            raise Wrong("the guest gets a fault, but its tables permit the access")
        if not reflected and not allowed:
            raise Wrong("the guest's tables do not permit the access, but it gets no fault")
        if reflected:
            return
        if self.strict:
            self._accessed(path, before, flags)
        self._note(self._pages(*path[-1]))
        held = self.shadow(gva)
        if held is None or not _permits(held.rights, flags):
            raise Wrong("after shadow_fault the sPT still does not permit it")
        self.count.fills += 1

    def _accessed(self, path: list[tuple[int, int]], before: list[int], flags: int) -> None:
        """A in each entry on the way, D in the last where it is a store, and no more."""
        for place, (gfn, index) in enumerate(path):
            leaf = place == len(path) - 1
            wanted = before[place] | A | (D if leaf and flags & WRITE else 0)
            if self.gpt[gfn][index] != wanted:
                name = f"entry {index} of the guest's table {gfn:#x}"
                raise Wrong(f"A and D of {name} are not what the processor would have set")

    # --- what may stand in the sPT ---

    def _pages(self, gfn: int, index: int) -> list[int]:
        """Pages whose translation an entry of a table may decide."""
        indices = [index] if gfn in self._regions else self._spots
        return [base | each << 12 for base in self._bases for each in indices]

    def _note(self, pages: Iterable[int]) -> None:
        """What the guest's tables give now, beside what they gave since the last flush."""
        for gva in pages:
            given = self.given.setdefault(gva, [])
            now = self.guest(gva)[0]
            if now not in given:
                given.append(now)

    def _check_all(self) -> None:
        """Each translation that the sPT gives is one that the guest's tables gave."""
        for gva, held in self.mapped():
            given = self.given.get(gva)
            if given is None:
                given = self.given[gva] = [self.guest(gva)[0]]
            if not any(each is not None and held.within(each, self.strict) for each in given):
                raise Wrong(self._why(gva, held, given[-1]))

    def _why(self, gva: int, held: Translation, now: Translation | None) -> str:
        text = f"the sPT maps {gva:#x} to host frame {held.hfn:#x}"
        if now is None:
            return f"{text}; the guest's tables map it to nothing that may be used yet"
        if now.hfn != held.hfn:
            return f"{text}; the guest's tables and p2m say {now.hfn:#x}"
        return f"{text} with {_named(held.rights)}; allowed is {_named(now.rights)}"

    # --- exits ---

    def _count_store(self, gfn: int, index: int) -> None:
        count = self.count
        count.writes += gfn in self.protected
        leaf = gfn in self._regions
        count.writes_needed += not leaf or gfn not in self._written
        self._written.add(gfn)
        changed = {base | index << 12 for base in self._regions.get(gfn, ())}
        for cr3, page in list(self._kept):
            if not leaf or page in changed:
                del self._kept[cr3, page]

    def _count_access(self, gva: int, flags: int, held: Translation | None) -> None:
        """A VMM that forgets nothing but what was stored to fills each page once, and once
        more at the first store to a clean one."""
        now, rights, _ = self.guest(gva)
        if not rights or not _permits(rights, flags):
            return
        key = (self.cr3, gva & ~4095)
        writable = self._kept.get(key)
        if writable is None or (flags & WRITE and not writable):
            self.count.fills_needed += 1
            self._kept[key] = bool(flags & WRITE or (now and now.rights & RW))


def _permits(rights: int, flags: int) -> bool:
    return not (
        (flags & WRITE and not rights & RW)
        or (flags & USER and not rights & US)
        or (flags & FETCH and rights & XD)
    )


def _named(rights: int) -> str:
    names = [name for bit, name in ((RW, "RW"), (US, "US"), (XD, "XD")) if rights & bit]
    return "+".join(names) or "none of RW, US, XD"


def describe(operation: tuple[int, int, int, int]) -> str:
    """An operation in words."""
    kind, a, b, value = operation
    if kind == CR3:
        return f"load CR3 with frame {a:#x}"
    if kind == STORE:
        return f"a store into entry {b} of table {a:#x}"
    if kind == INVLPG:
        return f"INVLPG {a:#x}"
    what = "store to" if b & WRITE else "fetch from" if b & FETCH else "load from"
    return f"{'user' if b & USER else 'kernel'} {what} {a:#x}"
