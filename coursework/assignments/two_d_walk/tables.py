"""The tables of one student's guest and host, and the walk through both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmulab.coursework.draws import Draws
from mmulab.mmu.memory.entries import EPT_A, EPT_D, EPT_R, EPT_W, EPT_WB, EPT_X, RW, US, A, D, P

_GUEST_FLAGS = P | RW | US | A
_GUEST_LEAF = _GUEST_FLAGS | D
_NESTED_FLAGS = EPT_R | EPT_W | EPT_X | EPT_A
_NESTED_LEAF = _NESTED_FLAGS | EPT_WB | EPT_D

LEVELS = (4, 3, 2, 1)
#: (levels of the guest's table, of the host's, levels that a large leaf ends early in each).
_MACHINES = [
    (g, h, ge, he)
    for g in (4, 5) for h in (4, 5) for ge in (0, 1, 2) for he in (0, 1, 2)
]  # fmt: skip


def indices(address: int) -> list[int]:
    """Of a 48-bit address, level 4 to 1."""
    return [address >> (12 + 9 * (level - 1)) & 511 for level in LEVELS]


def draw(draws: Draws) -> dict[str, Any]:
    """A virtual address; the gfns of the guest's tables, level 4 to 1, and of its page; and the
    nested tables and frames behind them, all in different frames."""
    gva = draws.between(1 << 34, (1 << 35) - 1) << 12 | draws.between(8, 4095)
    # In different 2 MiB regions, so that each nested walk has a leaf table of its own; three in
    # one GiB and two in another, so that upper tables are shared.
    regions = draws.sample(range(1, 511), 5)
    gibs = draws.sample(range(1, 400), 2)
    gfns = [
        (gibs[place >= 3] << 18) | (region << 9) | draws.between(1, 511)
        for place, region in enumerate(regions)
    ]
    used: set[int] = set()

    def frame() -> int:
        while True:
            number = draws.between(1 << 16, (1 << 23) - 1)
            if number not in used:
                used.add(number)
                return number

    tables: dict[str, int] = {}
    for gfn in gfns:
        for level in LEVELS:
            tables.setdefault(_table_key(gfn, level), frame())
    return {
        "gva": gva,
        "gfns": gfns,
        "hfns": [frame() for _ in gfns],
        "nested": tables,
        "ntlb": sorted(draws.sample(range(4), draws.between(1, 2))),
        "psc": draws.between(2, 4),
        "epde": sorted(draws.sample(range(5), draws.between(2, 3))),
        "machines": [list(one) for one in draws.sample(_MACHINES, 3)],
    }


def _table_key(gfn: int, level: int) -> str:
    """Name of the nested table of a level on the way to a gfn: the address bits above it."""
    return f"{level}:{gfn >> (9 * level)}"


def _nested_walk(p: Mapping[str, Any], place: int) -> list[tuple[int, int]]:
    """(address, entry) of the nested references that locate gfn number `place`."""
    gfn = p["gfns"][place]
    found = []
    for level, index in zip(LEVELS, indices(gfn << 12), strict=True):
        table = p["nested"][_table_key(gfn, level)]
        if level > 1:
            entry = p["nested"][_table_key(gfn, level - 1)] << 12 | _NESTED_FLAGS
        else:
            entry = p["hfns"][place] << 12 | _NESTED_LEAF
        found.append((table << 12 | index << 3, entry))
    return found


def walk(p: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(address, entry) of all 24 references, in order."""
    found = []
    for place, index in enumerate(indices(p["gva"])):
        found += _nested_walk(p, place)
        flags = _GUEST_FLAGS if place < 3 else _GUEST_LEAF
        found.append((p["hfns"][place] << 12 | index << 3, p["gfns"][place + 1] << 12 | flags))
    return found + _nested_walk(p, 4)


def _numbers(place: int) -> list[int]:
    """Numbers of the nested references that locate gfn number `place`."""
    return list(range(5 * place + 1, 5 * place + 5))


def answer(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The right answers, as [part][key]."""
    addresses = [address for address, _ in walk(p)]
    every = range(1, 25)
    saved_a = {number for place in p["ntlb"] for number in _numbers(place)}
    first = 5 * (4 - (p["psc"] - 1)) + 5  # the guest entry below the one that is cached
    # With an nPDE cached, the nested walk reads its last entry only.
    saved_c = {number for place in p["epde"] for number in _numbers(place)[:3]}
    counts = [(g - ge + 1) * (h - he + 1) - 1 for g, h, ge, he in p["machines"]]
    return {
        "split": {"guest": indices(p["gva"]), "nested": indices(p["gfns"][0] << 12)},
        "walk": {
            **{f"level_{4 - place}": addresses[5 * place : 5 * place + 5] for place in range(4)},
            "page": addresses[20:],
        },
        "final": {"hpa": p["hfns"][4] << 12 | p["gva"] & 4095},
        "cached": {
            "ntlb": [n for n in every if n not in saved_a],
            "psc": [n for n in every if n >= first],
            "ept": [n for n in every if n not in saved_c],
        },
        "counts": dict(zip(("first", "second", "third"), counts, strict=True)),
    }


_GUEST_NAMES = ("PML4", "PDPT", "page directory", "page table", "page")


def _dump(p: Mapping[str, Any]) -> str:
    """The frames of all tables with the entries that are present, in order of address."""
    cells: dict[int, dict[int, int]] = {}
    for address, entry in walk(p):
        cells.setdefault(address >> 12, {})[address >> 3 & 511] = entry
    lines = []
    for frame in sorted(cells):
        for index, entry in sorted(cells[frame].items()):
            lines.append(f"    {frame << 12 | index << 3:#013x}: {entry:#018x}")
        lines.append("    ...")
    return "\n".join(lines[:-1])


def show(p: Mapping[str, Any]) -> dict[str, object]:
    """The numbers as the handout prints them."""
    names = [_GUEST_NAMES[place] for place in p["ntlb"]]
    behind = [_GUEST_NAMES[place] for place in p["epde"]]
    psc = {2: "PDE", 3: "PDPTE", 4: "PML4E"}[p["psc"]]
    root = p["nested"][_table_key(p["gfns"][0], 4)]
    return {
        "gva": f"{p['gva']:#x}",
        "cr3": f"{p['gfns'][0] << 12:#x}",
        "eptp": f"{root << 12:#x}",
        "dump": _dump(p),
        "ntlb": " and the ".join(names),
        "psc": psc,
        "epde": ", the ".join(behind),
        **{f"machine_{number}": _machine(one) for number, one in enumerate(p["machines"], start=1)},
    }


def _machine(one: list[int]) -> str:
    g, h, ge, he = one
    sizes = ("4 KiB", "2 MiB", "1 GiB")
    return (
        f"{g} guest levels, {h} host levels, guest pages of {sizes[ge]}, host pages of {sizes[he]}"
    )


def explain(p: Mapping[str, Any]) -> str:
    """The walk as a table, and what each cache saves."""
    right = answer(p)
    lines = ["# The two-dimensional page walk: worked solution", "",
             "| # | reference | address | entry |", "|---:|---|---|---|"]  # fmt: skip
    for number, (address, entry) in enumerate(walk(p), start=1):
        place, step = divmod(number - 1, 5)
        what = f"gPT level {4 - place}" if step == 4 else (
            f"nPT level {4 - step}, to locate the guest's {_GUEST_NAMES[place]}")  # fmt: skip
        lines.append(f"| {number} | {what} | {address:#x} | {entry:#x} |")
    left = right["cached"]
    lines += [
        "", f"The byte lies at {right['final']['hpa']:#x}.", "",
        f"A: each nested-TLB hit saves four references; left are {left['ntlb']}.", "",
        f"B: the cached entry leads to the guest's next table; left are {left['psc']}.", "",
        f"C: a nested walk whose nPDE is cached reads its nPTE only; left are {left['ept']}.", "",
        f"Counts by (g + 1)(h + 1) - 1 with the levels that are walked: {right['counts']}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
