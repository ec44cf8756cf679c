"""Random TLBs and walk caches, and runs of a machine that has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from mmulab.mmu import presets
from mmulab.mmu.hardware.clocks import LATE
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.machine.data import NO_LINES, Lines
from mmulab.mmu.machine.run import prepare
from mmulab.mmu.machine.simulator import Simulator
from mmulab.mmu.presets.preset import POLICIES, TLB, Preset, WalkCache
from mmulab.mmu.trace import EVENT, Chunk

SIZES = ("4k", "2m", "1g")

policies = st.sampled_from(POLICIES)


def way_counts(policy: str) -> st.SearchStrategy[int]:
    """Ways that a set may have: for each number of slots that is searched at once, and more."""
    if policy == "plru":
        return st.sampled_from([1, 2, 4, 8, 32])
    return st.one_of(st.integers(1, 9), st.integers(1, 9), st.integers(15, 40))


@st.composite
def arrays(draw: st.DrawFn, name: str, level: int, kinds: str, sizes: tuple[str, ...]) -> TLB:
    policy = draw(policies)
    ways = draw(way_counts(policy))
    return TLB(name, level, kinds, sizes, draw(st.sampled_from([1, 2, 4])), ways, "test", policy)


@st.composite
def hardware(draw: st.DrawFn) -> Preset:
    """Split or unified L1s, an L2 with fewer or all sizes or none, small walk caches."""
    tlbs = []
    for kinds in draw(st.sampled_from([("I", "D"), ("ID",)])):
        split = draw(st.booleans())
        held = draw(st.sampled_from([("4k",), ("4k", "2m"), SIZES]))
        for number, sizes in enumerate([(s,) for s in held] if split else [held]):
            tlbs.append(draw(arrays(f"l1-{kinds}-{number}", 1, kinds, sizes)))
    for kinds in draw(st.sampled_from([("ID",), ("I", "D"), ()])):
        sizes = draw(st.sampled_from([("4k",), ("4k", "2m"), SIZES]))
        tlbs.append(draw(arrays(f"l2-{kinds}", 2, kinds, sizes)))
    caches = tuple(
        WalkCache(name, 1, draw(st.integers(1, 5)), "test")
        for name in draw(st.sampled_from([(), ("pde",), ("pml4e", "pdpte", "pde")]))
    )
    base = presets.load("skylake-sp")
    return replace(base, tlbs=tuple(tlbs), walk_caches=caches)


def run(
    simulator: Simulator,
    accesses: list[tuple[int, int, int]],
    events: list[tuple[int, ...]],
    lines: Lines | None = None,
) -> int:
    """Runs a chunk. lines: finds what the program touches. Returns how many lines that were."""
    address = np.array([a for a, _, _ in accesses], np.int64)
    kind = np.array([k for _, k, _ in accesses], np.uint8)
    size = np.array([s for _, _, s in accesses], np.uint16)
    marks = np.empty(len(address), MARK)
    assert prepare(address, kind, size, marks, np.zeros(3, np.int64), 4) == -1
    chunk = Chunk(address, kind, size, np.array(events, EVENT))
    at, line, touched = lines.find(chunk, 0) if lines else (*NO_LINES, 0)
    simulator.run(chunk, marks, 0, len(address), 0, (at, line))
    return touched


def pages_of(address: int, size: int) -> list[int]:
    """An address in each page that an access touches."""
    straddles = (address & 4095) + size > 4096
    return [address, (address | 4095) + 1] if straddles else [address]


def make_late(core: Core, ticks: int) -> None:
    """Sets all clocks of a cold core to so many ticks before time stamps begin anew."""
    core.record[0]["clock"] = LATE - 2 * ticks
    core.unit["clock"][core.unit["base"] >= core.owner.size] = LATE - ticks
