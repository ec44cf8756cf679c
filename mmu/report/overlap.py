"""Overlap: how much of the cycles of page walks and cache misses a program waits for.

Counts are exact, and are priced as if each walk and each miss were waited for alone. A core that
executes out of order hides part of that. How much is not known from a trace, so there are three
values, as of every cost; each is the part of those cycles that is waited for:

high    1. Nothing is hidden: the model of Basu et al., Efficient Virtual Memory for Big Memory
        Servers, ISCA 2013, by which each cycle of a walk is a cycle of the run.
likely  1 / n, where n walks go on at once. Intel's top-down formula for loads that miss the DTLB,
        min(Mem_STLB_Hit_Cost * STLB_HIT + WALK_ACTIVE, CYCLES_MEM_ANY - CYCLES_L1D_MISS)
        (TMA_Metrics, DTLB_Load), takes cycles with at least one walk, however many, as lost;
        and WALK_PENDING / WALK_ACTIVE is n.
low     1 / m, where m walks go on at once as they come in bursts, less the program's own work
        that goes on meanwhile: a long miss costs its latency less what the reorder window
        holds behind it, and those that overlap are paid for once (Karkhanis and Smith, A
        First-Order Superscalar Processor Model, ISCA 2004).

    n = walks of an access * independent accesses of a window   } both at least 1, at most
    m = independent accesses of a window                        } walkers, miss_registers
    low = 1 / m - work of min(a window, what lies between two walks) / cycles of a walk

Independent accesses of a window: its accesses over the length of its longest chain of accesses of
which each makes the next one's address, by the trace's column `depends`. Accesses of which that
is not known are taken once as independent and once as a chain; the likely value is half way
between the two, which is a choice. The program's own misses of L1D are treated as walks are, with
miss_registers alone.

Walks of TLB prefetches (`hardware.tlb_prefetch`) are waited for by nobody, but keep walkers: of
those, the others have as many as they have of all cycles of walks, and one at least.

Not modelled: that walks come in bursts, but for low; that a walk waits for a prefetch's to end;
that walks for instruction fetches stop the front end; what bandwidth does to many misses at once;
branches that are predicted wrongly, beyond which nothing useful is in the window.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.cost import Charges, Range
from mmulab.mmu.trace import FETCH, INDEPENDENT, UNKNOWN, Trace, origin

#: Data accesses of an instruction, as the source of `work_per_access` has them.
PER_INSTRUCTION = 0.4

#: Chunks that are read to look at windows, and windows that are: enough for a mean, at little cost.
CHUNKS = 2
WINDOWS = 256

#: What is hidden together, and the categories of cycles that it takes.
GROUPS = {"walks": ("guest_walk", "nested_walk"), "data": ("data",)}

NOTHING_HIDDEN = Range(1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Independence:
    """How many accesses of a trace can go on at once.

    window: data accesses in flight, as instructions in flight have them. least, most: those of
    them that are independent, where what is not known is a chain, and where it is independent.
    """

    window: int
    least: float
    most: float


@dataclass(frozen=True)
class Overlap:
    """The part of the cycles of walks and misses that is waited for, by group of GROUPS.

    independence: by which; None: nothing is hidden.
    """

    independence: Independence | None = None
    waited: dict[str, Range] = field(default_factory=dict)

    def of(self, group: str) -> Range:
        return self.waited.get(group, NOTHING_HIDDEN)

    @property
    def by_category(self) -> dict[str, Range]:
        """What cycles of each category are multiplied by; those left out by 1."""
        return {each: part for group, part in self.waited.items() for each in GROUPS[group]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Overlap:
        """What `to_dict` made plain."""
        known = plain.get("independent")
        return cls(
            Independence(plain["window"], known["least"], known["most"]) if known else None,
            {group: Range(**plain[group]) for group in GROUPS if group in plain},
        )

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {group: part._asdict() for group, part in self.waited.items()}
        if self.independence:
            found["window"] = self.independence.window
            found["independent"] = {
                "least": self.independence.least, "most": self.independence.most,
            }  # fmt: skip
        return found


def in_window(preset: Preset) -> int:
    """Data accesses among a window of instructions."""
    return max(1, round(preset.window.value * PER_INSTRUCTION))


def unknown(preset: Preset) -> Independence:
    """That of a trace of which nothing is known."""
    window = in_window(preset)
    return Independence(window, 1.0, float(window))


def independence(trace: Trace, preset: Preset, warmup: int = 0) -> Independence:
    """Of a sample of windows of a chunk: the first where accesses are measured, or the last of
    CHUNKS where the warm-up is longer than those.

    They are read beforehand, as a run itself needs no column. Nothing is known of a trace that
    can be read once only, that is an object of Python's, or has no `depends`.
    """
    window = in_window(preset)
    known = origin(trace)
    if not known or known.spec == "-" or (known.path and not os.path.isfile(known.path)):
        return unknown(preset)
    left = warmup
    for number, chunk in enumerate(trace.chunks(("depends",)), 1):
        if chunk.depends is None:
            break
        if left < chunk.accesses or number == CHUNKS:
            begin = left if left < chunk.accesses else 0
            accesses, chains = _chains(chunk.depends[begin:], chunk.kind[begin:], window)
            if not accesses:
                break
            most, least = accesses / chains
            return Independence(window, float(least), float(most))
        left -= chunk.accesses
    return unknown(preset)


def _chains(depends: np.ndarray, kind: np.ndarray, window: int) -> tuple[int, np.ndarray]:
    """(accesses, [longest chains where what is not known is independent, where it is a chain]),
    summed over WINDOWS windows. Fetches are left out: prediction makes their addresses."""
    data = kind != FETCH
    place = np.cumsum(data) - 1  # among data accesses
    at = np.flatnonzero(data)
    if not len(at):
        return 0, np.zeros(2, np.int64)
    window = min(window, len(at))
    starts = np.unique(np.linspace(0, len(at) - window, WINDOWS).astype(np.int64))
    chosen = starts[:, None] + np.arange(window)
    source = depends[at[chosen]].astype(np.int64)
    known = (source != UNKNOWN) & (source != INDEPENDENT)
    before = at[chosen] - source
    back = chosen - place[np.where(known & (before >= 0), before, 0)]
    back = np.where(known & (before >= 0), back, window)
    longest = [
        _longest(np.where(source == UNKNOWN, assumed, back)).sum() for assumed in (window, 1)
    ]
    return chosen.size, np.array(longest)


def _longest(back: np.ndarray) -> np.ndarray:
    """Accesses in the longest chain of each window. back: [window, access], how many accesses
    back the one lies that made its address; beyond the window's beginning: none."""
    rows = np.arange(len(back))
    depth = np.zeros_like(back)
    for number in range(back.shape[1]):
        source = number - back[:, number]
        depth[:, number] = 1 + np.where(source >= 0, depth[rows, np.maximum(source, 0)], 0)
    return np.asarray(depth.max(axis=1))


def overlap(
    known: Independence,
    accesses: int,
    walks: int,
    charged: Charges,
    costs: Mapping[str, Cited],
    preset: Preset,
    ahead: float = 0.0,
) -> Overlap:
    """What of a technique's walks, and of the program's misses, is waited for.

    accesses: of data, over which `walks` and what is charged were counted. ahead: cycles of walks
    that nobody waits for, which have their part of the walkers.
    """
    registers = preset.miss_registers.value
    spent = sum(
        times * costs[key].value
        for category in GROUPS["walks"]
        for key, times in charged.get(category, {}).items()
    )
    left = preset.walkers.value * (spent / (spent + ahead) if ahead else 1.0)
    units = {"walks": min(left, registers), "data": registers}
    # A miss is charged where it is served, less the first level.
    misses = sum(max(0, times) for times in charged.get("data", {}).values())
    number = {"walks": walks, "data": misses}
    work = costs["cost.work_per_access"].value
    waited = {}
    for group, categories in GROUPS.items():
        cycles = sum(
            times * costs[key].value
            for category in categories
            for key, times in charged.get(category, {}).items()
        )
        if cycles and number[group] and accesses:
            rate = number[group] / accesses
            waited[group] = _waited(known, rate, cycles / number[group], units[group], work)
    return Overlap(known, waited)


def _waited(known: Independence, rate: float, latency: float, units: float, work: float) -> Range:
    """rate: walks an access. latency: cycles of one. units: of them at once, at most. work:
    cycles an access."""

    def alone(independent: float) -> float:
        return 1 / max(1.0, min(units, independent))

    several = min(1.0, rate)
    likely = (alone(several * known.least) + alone(several * known.most)) / 2
    covered = work * min(known.window, 1 / rate) / latency
    return Range(max(0.0, alone(known.most) - covered), likely, 1.0)
