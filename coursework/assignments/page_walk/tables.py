"""One student's page tables: made with mmu.by_hand.page_table, walked, moved to drawn frames.

Five addresses, each below its own PML4 entry. Around each, siblings that differ in one
index lead to pages of their own, so that whoever takes a wrong index ends somewhere too.
`PageTable` takes its frames in order; the tables are then moved, as an operating system's
lie anywhere in memory, and every address and pointer that leaves this file is of the
tables as they were moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmulab.coursework.draws import Draws

ENTRIES = ("PML4E", "PDPTE", "PDE", "PTE")
FLAGS = ("P", "RW", "US", "A", "D", "PS", "G", "XD")
_FLAG_BITS = dict(zip(FLAGS, (0, 1, 2, 5, 6, 7, 8, 63), strict=True))
LEVELS = 4
PT, PD = 1, 2  # levels

#: The accesses that a path of entries permits or not: (access, user).
ACCESSES = {
    "user load": ("load", True),
    "user store": ("store", True),
    "user fetch": ("fetch", True),
    "supervisor load": ("load", False),
    "supervisor store": ("store", False),
    "supervisor fetch": ("fetch", False),
}

ABSENT = "page not present"

#: What is refused: (access, user) that is tried, rights of the one entry that refuses it.
REFUSALS = {
    "write to a read-only page": ("store", True, "rxu"),
    "user access to a supervisor page": ("load", True, "rwx"),
    "fetch from an execute-disable page": ("fetch", True, "rwu"),
}

_FRAMES = 1 << 12  # for tables; pages that are mapped are numbers only
_TABLES = (0x100, 0x7FFFF)  # where tables are moved to: below 2 GiB
_PAGES = 0x80000  # where mapped pages lie: from 2 GiB on


def gva(indices: list[int], offset: int) -> int:
    """The canonical address of indices (PML4 first) and an offset into the page."""
    address = offset
    for level, index in zip((4, 3, 2, 1), indices, strict=True):
        address |= index << (12 + 9 * (level - 1))
    return address | (0xFFFF << 48 if indices[0] >= 256 else 0)


def draw(draws: Draws) -> dict[str, Any]:
    """cr3, tables {frame: {index: entry}}, walks by letter (what is tried, and found), and
    permitted: by letter, which of ACCESSES succeed."""
    from mmulab.mmu.by_hand.page_table import PageTable

    table = PageTable("x86", LEVELS, _FRAMES)
    tops = [*_different(draws, 1, 255, 4), draws.between(257, 510)]
    paths = {
        letter: [top, *(draws.between(1, 510) for _ in range(3))]
        for letter, top in zip("acdeb", tops, strict=True)
    }
    pages = iter(draws.shuffled(range(64)))
    for letter, path in paths.items():
        _map(table, draws, path, PD if letter == "c" else PT, pages)
    _restrict(table, draws, paths["a"], "rwxu")
    _restrict(table, draws, paths["b"], "rwxg")
    tried: dict[str, dict[str, Any]] = {
        "a": {"access": "load", "user": True},
        "b": {"access": "load", "user": False},
        "c": {"access": "store", "user": True},
    }
    tried.update(_make_faults(table, draws, paths))
    tried = dict(sorted(tried.items()))
    for letter in tried:
        tried[letter]["gva"] = gva(paths[letter], draws.between(2, 510) * 8)
    _touch_some(table, draws, paths)
    return _moved(table, draws, tried)


def _different(draws: Draws, low: int, high: int, count: int) -> list[int]:
    """count different numbers from low to high, where that is many."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[draws.between(low, high)] = None
    return list(found)


def _map(table: Any, draws: Draws, path: list[int], leaf: int, pages: Iterator[int]) -> None:
    """Maps the page of a path and siblings that differ from it in one index each."""
    size, frames = {PT: ("4k", 1), PD: ("2m", 512)}[leaf]
    lowest = LEVELS - leaf  # place in the path of the leaf's index
    paths = [path]
    for place in range(1, lowest + 1):
        others = [path[place] - 1, path[place] + 1, *_different(draws, 1, 510, 3)]
        others = [other for other in dict.fromkeys(others) if other != path[place]]
        for other in others[: 5 if place == lowest else 2]:
            paths.append([*path[:place], other, *path[place + 1 :]])
    for each in paths:
        frame = _PAGES + (next(pages) << 17) + draws.below(1 << 17) // frames * frames
        rights = "rwx" if each is path else "r" + draws.choice(["w", "x", "wx", ""])
        rights += "u" if path[0] < 256 else draws.choice(["", "g"])
        indices = each if leaf == PT else [*each[:3], 0]
        table.map(gva(indices, 0), frame, size, rights)


def _restrict(table: Any, draws: Draws, path: list[int], rights: str) -> None:
    """Gives the leaf of a path all rights, and takes w or x or both away further up."""
    at = gva(path, 0)
    table.protect(at, rights)
    taken = draws.choice(["w", "x", "wx"])
    for level, letter in zip(draws.shuffled([2, 3, 4]), taken, strict=False):
        table.protect(at, "rwxu".replace(letter, ""), level)


def _make_faults(table: Any, draws: Draws, paths: dict[str, list[int]]) -> dict[str, Any]:
    """Walks d and e: in a drawn order, one that finds an entry not present, and one that
    an entry on its path refuses."""
    from mmulab.mmu.memory import entries as bits

    absent, refused = draws.shuffled(["d", "e"])
    level = draws.between(1, 3)
    at = gva(paths[absent], 0)
    reference = table.lookup(at).references[LEVELS - level]
    entries = table.entries(reference.hpa >> 12)
    entries[reference.index] &= ~bits.P  # what else stands there is the software's
    access, user = draws.choice([("load", True), ("store", True), ("fetch", True), ("load", False)])
    faults = {absent: {"access": access, "user": user, "reason": ABSENT, "level": level}}
    reason = draws.choice(list(REFUSALS))
    access, user, rights = REFUSALS[reason]
    level = draws.between(1, 4)
    table.protect(gva(paths[refused], 0), rights, level)
    faults[refused] = {"access": access, "user": user, "reason": reason, "level": level}
    return faults


def _touch_some(table: Any, draws: Draws, paths: dict[str, list[int]]) -> None:
    """Sets A and D bits as earlier accesses would have; c keeps its own for the store."""
    from mmulab.mmu.memory import entries as bits

    for letter in "abde":
        if letter == "a" or draws.below(2):
            table.walk(gva(paths[letter], 0), "load", user=False)
    if draws.below(2):
        leaf = table.lookup(gva(paths["a"], 0)).references[-1]
        table.entries(leaf.hpa >> 12)[leaf.index] |= bits.D  # before w was taken away


def _moved(table: Any, draws: Draws, walks: dict[str, Any]) -> dict[str, Any]:
    """The tables and the walks over them, with every table in a drawn frame."""
    from mmulab.mmu.memory import entries as bits

    before: dict[int, dict[int, int]] = {}
    pointers: set[tuple[int, int]] = set()
    _collect(table, table.root, LEVELS, before, pointers)
    frames = dict(zip(before, _different(draws, *_TABLES, len(before)), strict=True))

    def moved(frame: int, index: int, entry: int) -> int:
        if (frame, index) not in pointers:
            return entry
        return entry & ~bits.FRAME | frames[(entry & bits.FRAME) >> 12] << 12

    for walk in walks.values():
        found = table.walk(walk["gva"], walk["access"], walk["user"])
        steps = []
        for reference in found.references:
            frame, index = reference.hpa >> 12, reference.index
            entry = moved(frame, index, reference.entry)
            steps.append({"at": frames[frame] << 12 | index << 3, "entry": entry})
        walk.update(steps=steps, physical=found.physical, code=found.code)
        last = found.references[-1]
        after = int(table.entries(last.hpa >> 12)[last.index]) & (1 << 64) - 1
        walk["after"] = moved(last.hpa >> 12, last.index, after)
    permitted = {
        letter: [
            name
            for name, (access, user) in ACCESSES.items()
            if table.walk(walks[letter]["gva"], access, user).fault is None
        ]
        for letter in "ab"
    }
    tables = {
        frames[frame]: {i: moved(frame, i, entry) for i, entry in entries.items()}
        for frame, entries in before.items()
    }
    return {
        "cr3": frames[table.root] << 12,
        "tables": dict(sorted(tables.items())),
        "walks": walks,
        "permitted": permitted,
    }


def _collect(
    table: Any,
    frame: int,
    level: int,
    found: dict[int, dict[int, int]],
    pointers: set[tuple[int, int]],
) -> None:
    """Every table from `frame` down: {index: entry} where it is not 0, and which entries
    point to tables. An entry that is not present still counts: its table stays, too."""
    from mmulab.mmu.memory import entries as bits

    raw = {i: int(e) & (1 << 64) - 1 for i, e in enumerate(table.entries(frame)) if e}
    found[frame] = raw
    if level == PT:
        return
    for index, entry in raw.items():
        if not entry & bits.PS:
            pointers.add((frame, index))
            _collect(table, (entry & bits.FRAME) >> 12, level - 1, found, pointers)


def dump(tables: dict[int, dict[int, int]]) -> str:
    """Memory as `xxd -e -g 8 -c 32` shows it: 64-bit little-endian words, four a line.
    A line of * stands for lines of zeros."""
    lines = []
    for frame, entries in tables.items():
        lines.append(f"page {frame << 12:#011x}")
        skipping = False
        for row in range(0, 512, 4):
            words = [entries.get(index, 0) for index in range(row, row + 4)]
            if any(words):
                text = " ".join(f"{word:016x}" for word in words)
                lines.append(f"{(frame << 12) + 8 * row:09x}: {text}")
            elif not skipping:
                lines.append("*")
            skipping = not any(words)
        lines.append("")
    return "\n".join(lines)


def answer(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The right answers, as [part][key]."""
    walks = p["walks"]
    steps = dict(zip(ENTRIES, walks["a"]["steps"], strict=True))
    walk = {}
    for name, step in steps.items():
        walk[f"{name.lower()}_at"] = step["at"]
        walk[name.lower()] = step["entry"]
    leaf = steps["PTE"]["entry"]
    return {
        "split": {
            f"{letter}_{name}": value
            for letter in "ab"
            for name, value in _split(walks[letter]["gva"]).items()
        },
        "walk": {**walk, "physical": walks["a"]["physical"]},
        "rights": {
            "flags": [name for name, bit in _FLAG_BITS.items() if leaf >> bit & 1],
            "permitted_a": p["permitted"]["a"],
            "permitted_b": p["permitted"]["b"],
        },
        "kernel": {
            "pte": walks["b"]["steps"][-1]["entry"],
            "physical": walks["b"]["physical"],
        },
        "large": {
            "leaf": "PDE",
            "offset": walks["c"]["gva"] & 0x1FFFFF,
            "physical": walks["c"]["physical"],
            "after": walks["c"]["after"],
        },
        **{f"fault-{letter}": _fault(walks[letter]) for letter in "de"},
    }


def _split(address: int) -> dict[str, int]:
    fields = {name: address >> shift & 511 for name, shift in
              (("pml4", 39), ("pdpt", 30), ("pd", 21), ("pt", 12))}  # fmt: skip
    return {**fields, "offset": address & 0xFFF}


def _fault(walk: Mapping[str, Any]) -> dict[str, Any]:
    return {"reason": walk["reason"], "entry": ENTRIES[4 - walk["level"]], "code": walk["code"]}
