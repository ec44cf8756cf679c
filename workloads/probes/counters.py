"""`perf stat -x,`: what a processor counted of a real program, beside what is simulated of it.

Names of events, by maker, and what each stands for here:

- Intel: github.com/intel/perfmon, HSX, SKX, ICX and SPR core events (DTLB_LOAD_MISSES,
  DTLB_STORE_MISSES, ITLB_MISSES, PAGE_WALKER_LOADS);
- AMD: Linux, tools/perf/pmu-events/arch/x86/amdzen1 to amdzen5, memory.json and branch.json;
- Arm: Linux, tools/perf/pmu-events/arch/arm64/common-and-microarch.json.

Loads and stores of the kernel count too unless perf was told `:u`; the trace has the program's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report.results import Comparison, TechniqueResult

#: What is compared: how it is shown, and what of the simulation stands for it.
QUANTITIES = {
    "l2_tlb_hits": "L1 TLB misses that hit in the L2 TLB",
    "walks": "page walks",
    "walk_cycles": "cycles of page walks, all walkers added",
    "walk_active": "cycles in which a page walk went on",
}

_INTEL = {
    **{
        f"{unit}.{name}": quantity
        for unit in ("dtlb_load_misses", "dtlb_store_misses", "itlb_misses")
        for name, quantity in (
            ("stlb_hit", "l2_tlb_hits"),
            ("walk_completed", "walks"),
            ("walk_pending", "walk_cycles"),
            ("walk_active", "walk_active"),
            ("walk_duration", "walk_cycles"),  # until Haswell: one walker
        )
    }
}
_AMD = {
    "bp_l1_tlb_miss_l2_tlb_hit": "l2_tlb_hits",
    "bp_l1_tlb_miss_l2_hit": "l2_tlb_hits",
    "bp_l1_tlb_miss_l2_tlb_miss.all": "walks",
    "ls_tablewalker.dside": "walks",
    "ls_tablewalker.iside": "walks",
    "ls_l1_d_tlb_miss.all_l2_miss": "walks",
    **{
        f"ls_l1_d_tlb_miss.tlb_reload_{size}_l2_{end}": quantity
        for size in ("4k", "coalesced_page", "2m", "1g", "32k", "64k")
        for end, quantity in (("hit", "l2_tlb_hits"), ("miss", "walks"))
    },
    # Until Zen 4 some coalesced ones have names of their own.
    "ls_l1_d_tlb_miss.tlb_reload_coalesced_page_hit": "l2_tlb_hits",
    "ls_l1_d_tlb_miss.tlb_reload_coalesced_page_miss": "walks",
}
_ARM = {
    "dtlb_walk": "walks",
    "itlb_walk": "walks",
    # Refills of the L1 TLBs less those that walked: see `hardware`.
    "l1d_tlb_refill": "l1_tlb_misses",
    "l1i_tlb_refill": "l1_tlb_misses",
}

EVENTS = {**_INTEL, **_AMD, **_ARM}

#: Sums that perf or a processor counts beside their parts: left out where a part is there.
_SUMS = {
    "ls_l1_d_tlb_miss.all_l2_miss": re.compile(r"ls_l1_d_tlb_miss\.tlb_reload_.*miss"),
    "ls_tablewalker.dside": re.compile(r"ls_l1_d_tlb_miss\..*miss"),
    "ls_tablewalker.iside": re.compile(r"bp_l1_tlb_miss_l2_tlb_miss\.all"),
}

_NOT_COUNTED = ("<not counted>", "<not supported>", "<not found>")


@dataclass(frozen=True)
class Counted:
    """An event of `perf stat`. count: None where perf has none. share: of the time in which it
    was counted, in percent; perf scales by it."""

    name: str
    count: float | None
    share: float = 100.0


@dataclass(frozen=True)
class Row:
    """One quantity. hardware: what the events add up to; None where none of them was counted.
    simulated: by technique."""

    quantity: str
    events: tuple[str, ...]
    hardware: float | None
    simulated: dict[str, float]

    @property
    def label(self) -> str:
        return QUANTITIES[self.quantity]


def read(path: str) -> list[Counted]:
    """The events of a file that `perf stat -x, -o FILE` wrote. Raises InputError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"perf {printable(path)}: {reason}") from None
    return parse(text, printable(path))


def parse(text: str, name: str = "perf stat") -> list[Counted]:
    """The events of such a text: count, unit, event, time counted, percent of the time, and what
    perf adds. Of several lines of an event (`-r`, `--per-core`, hybrid cores) the counts add up.

    Raises InputError where a line is none of perf's, or no event is there.
    """
    found: dict[str, Counted] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(",")
        if not fields[0].strip():
            continue  # a metric, which goes with the event above
        at = _place(fields)
        if at is None:
            raise InputError(
                f"{name}, line {number}: {printable(line[:60])!r}: expected COUNT,UNIT,EVENT,... "
                "as perf stat -x, writes"
            )
        event = plain_name(fields[at + 2])
        count = None if fields[at] in _NOT_COUNTED else float(fields[at])
        share = fields[at + 4] if len(fields) > at + 4 else ""
        one = Counted(event, count, float(share) if _is_number(share) else 100.0)
        found[event] = _sum(found[event], one) if event in found else one
    if not found:
        raise InputError(f"{name}: no events; expected the output of perf stat -x,")
    return list(found.values())


def _sum(one: Counted, other: Counted) -> Counted:
    counts = [each.count for each in (one, other) if each.count is not None]
    return Counted(one.name, sum(counts) if counts else None, min(one.share, other.share))


def _place(fields: list[str]) -> int | None:
    """Where the count stands: behind it a unit, which is no number, and the event. Before it can
    be a time (-I), a processor (-A), or a core and how many it has (--per-core)."""
    for at in range(min(4, len(fields) - 2)):
        unit, event = fields[at + 1], fields[at + 2]
        if _is_count(fields[at]) and event.strip() and not (_is_count(unit) or _is_number(event)):
            return at
    return None


def _is_count(text: str) -> bool:
    return text in _NOT_COUNTED or _is_number(text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def plain_name(event: str) -> str:
    """An event without its PMU, as in cpu_core/NAME/, and modifiers, as in NAME:u; lower case."""
    inner = re.fullmatch(r"[\w.-]+/([^/]*)/\w*", event.strip())
    name = inner[1] if inner else event.strip()
    return name.partition(":")[0].lower()


def compare(counted: Iterable[Counted], simulated: Comparison) -> list[Row]:
    """Hardware's counts beside simulated ones, a row for each of QUANTITIES that is there.

    Raises InputError where no event is one of EVENTS.
    """
    sums, names = hardware(counted)
    rows = []
    for quantity in QUANTITIES:
        if quantity in names:
            each = {one.technique: _simulated(one, quantity) for one in simulated.results}
            rows.append(Row(quantity, tuple(names[quantity]), sums.get(quantity), each))
    if not rows:
        raise InputError(
            "perf: none of its events is of TLBs or page walks; count some of "
            "dtlb_load_misses.walk_completed, dtlb_load_misses.stlb_hit (Intel), "
            "ls_l1_d_tlb_miss.all_l2_miss (AMD), dtlb_walk, l1d_tlb_refill (Arm)"
        )
    return rows


def hardware(counted: Iterable[Counted]) -> tuple[dict[str, float], dict[str, list[str]]]:
    """(counts, names of the events that they are made of), by quantity. A quantity none of whose
    events has a count is missing from the counts."""
    events = {each.name: each for each in counted}
    sums: dict[str, float] = {}
    names: dict[str, list[str]] = {}
    for name, one in events.items():
        quantity = EVENTS.get(name)
        parts = _SUMS.get(name)
        if quantity is None or (parts and any(map(parts.fullmatch, events))):
            continue
        names.setdefault(quantity, []).append(name)
        if one.count is not None:
            sums[quantity] = sums.get(quantity, 0.0) + one.count
    refills = names.pop("l1_tlb_misses", [])
    missed = sums.pop("l1_tlb_misses", None)
    if refills and "walks" in names:
        names["l2_tlb_hits"] = [*refills, *(f"less {each}" for each in names["walks"])]
        if missed is not None and "walks" in sums:
            sums["l2_tlb_hits"] = max(0.0, missed - sums["walks"])
    return sums, names


def _simulated(result: TechniqueResult, quantity: str) -> float:
    if quantity in ("walk_cycles", "walk_active"):
        # One walk at a time: cycles of walks are cycles in which one goes on.
        walks = (result.cycles[name].likely for name in ("guest_walk", "nested_walk"))
        return float(sum(walks))
    return float(result.counts[quantity])


def to_dict(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Plain data."""
    return [{**vars(row), "events": list(row.events)} for row in rows]
