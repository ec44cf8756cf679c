"""TLB and walk counts equal a brute-force model exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.geometries import SIZES, hardware, make_late, pages_of, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.brute_tlb import Hardware

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.hardware.assoc import PADDING_AGE, STAMP_SHIFT
from mmulab.mmu.hardware.clocks import LATE
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.machine.run import FAULT_LIMIT, STRETCH
from mmulab.mmu.machine.simulator import build
from mmulab.mmu.memory.entries import MAX_LEVELS
from mmulab.mmu.presets.geometry import MAX_ENTRIES
from mmulab.mmu.presets.preset import TLB, Preset
from mmulab.mmu.report.counts import read_structures, references_of
from mmulab.mmu.trace import MMAP, MUNMAP, SWITCH

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

#: Regions of virtual memory by the page size that they are mapped with.
REGIONS = {
    "4k": (0x1000_0000, 64 * 4096),
    "2m": (0x4000_0000, 16 << 21),
    "1g": (0x40_0000_0000, 3 << 30),
}


def size_at(_process: int, address: int) -> str:
    for size, (start, length) in REGIONS.items():
        if start <= address < start + length:
            return size
    raise AssertionError(hex(address))


@st.composite
def patterns(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(address, kind, size) of a burst: random, sequential or a loop, in one region."""
    start, length = REGIONS[draw(st.sampled_from(SIZES))]
    count = draw(st.integers(1, 40))
    kind = draw(st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)]))
    how = draw(st.sampled_from(["random", "sequential", "loop"]))
    step = draw(st.sampled_from([8, 4096, 1 << 21, 3 << 12]))
    pages = draw(st.lists(st.integers(0, length // 8 - 2), min_size=6, max_size=6))
    accesses = []
    for i in range(count):
        offset = {
            "random": 8 * ((pages[i % 6] * 7919 + i * 104729) % (length // 8 - 1)),
            "sequential": (8 * pages[0] + i * step) % (length - 8),
            "loop": 8 * pages[i % 5],
        }[how]
        accesses.append((start + offset, kind[i % len(kind)], 1))
        if draw(st.integers(0, 9)) == 0 and offset % 4096 and offset + 8192 < length:
            accesses.append((start + (offset | 4095) - 3, min(kind[0], 1), 8))
    return accesses


histories = st.lists(
    st.one_of(
        patterns(),
        patterns(),
        st.tuples(st.just("switch"), st.integers(1, 3)),
        st.tuples(st.just("remap"), st.integers(0, 63)),
    ),
    min_size=1,
    max_size=12,
)


class Both:
    """A machine and the model, side by side."""

    def __init__(self, preset: Preset, pcid: bool) -> None:
        self.preset = preset
        self.model = Hardware(preset, size_at, pcid)
        config = Config(memory=20 << 30, pcid=pcid)
        self.simulator = build("native", preset, config)
        self.process = 1
        self._map(1)

    def _event(self, *event: int) -> None:
        self._run([], [(0, *event)])

    def _run(self, accesses: list[tuple[int, int, int]], events: list[tuple[int, ...]]) -> None:
        run(self.simulator, accesses, events)

    def _map(self, process: int) -> None:
        for number, (start, length) in enumerate(REGIONS.values(), start=1):
            self._event(MMAP, process, start, length, 7 | number << 8)

    def play(self, step: object) -> None:
        if isinstance(step, list):
            self._run(step, [])
            for address, kind, size in step:
                self._access(address, kind, size)
        elif step[0] == "switch":  # type: ignore[index]
            self._switch(step[1])  # type: ignore[index]
        else:
            self._remap(REGIONS["4k"][0] + step[1] * 4096)  # type: ignore[index]

    def _access(self, address: int, kind: int, size: int) -> None:
        self.model.access(pages_of(address, size), kind)

    def _switch(self, process: int) -> None:
        fresh = process not in self.model.ran
        self._event(SWITCH, process, 0, 0, 0)
        self.model.switch(process)
        if fresh:
            self._map(process)
        self.process = process

    def _remap(self, page: int) -> None:
        """munmap of a page that is mapped (INVLPG), and mmap of it again."""
        process = self.model.process
        if self.model.tables.pop((process, "4k", page >> 12), None):
            self.model.invlpg(page)
        self._event(MUNMAP, process, page, 4096, 0)
        self._event(MMAP, process, page, 4096, 7 | 1 << 8)

    def compare(self) -> None:
        stats = self.simulator.machine.vcpu.stats[0]
        counts = self.model.counts
        assert stats["l1_misses"].tolist() == counts.l1_misses
        assert stats["l2_hits"].tolist() == counts.l2_hits
        assert stats["walks"].tolist() == counts.walks
        assert int(stats["dirty_walks"]) == counts.dirty_walks
        by_site = references_of(self.simulator.machine.vcpu).sum(axis=1).reshape(-1, STEP)
        assert by_site[:, 0].tolist() == counts.references
        for name in ("repeated_lookups", "repeated_l2_hits"):
            assert int(stats[name]) == getattr(counts, name)
        missed = sum(counts.l1_misses) - sum(counts.l2_hits) - int(stats["l2_denied"])
        assert missed == counts.l2_misses
        arrays = {f"TLB {tlb.name}": array for tlb, array in self.model.tlbs}
        for level, array in self.model.psc.items():
            arrays["walk cache " + {2: "pde", 3: "pdpte", 4: "pml4e"}[level]] = array
        machine = self.simulator.machine
        found = read_structures(
            machine.core, machine.vcpu, self.simulator.units, self.preset, self.model.by_kind
        )
        for name, array in arrays.items():
            expected = {"hits": array.hits, "misses": array.misses}
            assert found.get(name, {"hits": 0, "misses": 0}) == expected, name


def compared(preset: Preset, accesses: list[tuple[int, int, int]]) -> Both:
    """Accesses to 4 KiB pages anywhere, through both, which agree."""
    both = Both.__new__(Both)
    both.preset = preset
    both.model = Hardware(preset, lambda process, address: "4k", True)
    both.simulator = build("native", preset, Config(memory=1 << 30))
    run(both.simulator, accesses, [])
    for access in accesses:
        both._access(*access)
    both.compare()
    return both


@QUIET
@given(
    preset=hardware(), history=histories, pcid=st.booleans(),
    ticks=st.none() | st.integers(0, 100),
)  # fmt: skip
def test_any_geometry_policy_and_history(
    preset: Preset, history: list, pcid: bool, ticks: int | None
) -> None:
    both = Both(preset, pcid)
    if ticks is not None:
        make_late(both.simulator.machine.core, ticks)
    for step in history:
        both.play(step)
    both.compare()


@pytest.mark.parametrize("ways", [12, 48])
def test_time_stamps_begin_anew(ways: int) -> None:
    """Full sets keep their order of use."""
    tlbs = (
        TLB("l1", 1, "ID", ("4k",), 1, ways, "test", "lru"),
        TLB("l2", 2, "ID", ("4k",), 2, ways, "test", "lru"),
    )
    both = Both(replace(presets.load("skylake-sp"), tlbs=tlbs, walk_caches=()), pcid=True)
    core = both.simulator.machine.core
    make_late(core, 300)
    random = np.random.default_rng(4)
    for _ in range(8):
        pages = random.zipf(1.2, 500) % 64
        both.play([(REGIONS["4k"][0] + 4096 * int(page), 0, 1) for page in pages])
    both.compare()
    assert core.record[0]["clock"] < LATE // 2 and core.unit["clock"].max() < LATE // 2


def test_clocks_are_looked_at_within_a_run() -> None:
    both = Both(replace(presets.load("opteron-2008"), walk_caches=()), pcid=True)
    make_late(both.simulator.machine.core, STRETCH + 100)
    random = np.random.default_rng(6)
    pages = np.where(random.random(3 * STRETCH) < 0.01, random.integers(0, 64, 3 * STRETCH), 7)
    both.play([(REGIONS["4k"][0] + 4096 * int(page), 0, 1) for page in pages])
    both.compare()
    assert both.simulator.machine.core.record[0]["clock"] < LATE // 2


def test_an_age_has_room_for_two_halves_of_time_and_any_slot() -> None:
    assert (2 * LATE << STAMP_SHIFT) + MAX_ENTRIES < PADDING_AGE
    # Each walk may look into a unit and fill it for the five guest levels and for the page; of a
    # page walk cache, find or fill each of its entries.
    walks = STRETCH * FAULT_LIMIT * 2  # of two pages each
    assert walks * 2 * (MAX_LEVELS + 1) < LATE
    assert walks * ((MAX_LEVELS + 1) ** 2 - 1) < LATE


@pytest.mark.parametrize("ways", [8, 16, 32, 64])
def test_tags_with_one_digest_are_told_apart(ways: int) -> None:
    """Sets are searched by 31 bits of a tag, which pages 2**32 pages apart may share."""
    tlbs = (
        TLB("l1", 1, "ID", ("4k",), 1, ways, "test", "lru"),
        TLB("l2", 2, "ID", ("4k",), 1, 2 * ways, "test", "lru"),
    )
    preset = replace(presets.load("skylake-sp"), tlbs=tlbs, walk_caches=())
    random = np.random.default_rng(5)
    high, low = random.integers(0, 8, 3000), random.integers(0, ways // 2, 3000)
    accesses = [(int(h << 44 | (p ^ h) << 12), 0, 1) for h, p in zip(high, low + 64, strict=True)]
    assert compared(preset, accesses).model.counts.l2_hits[0] > 100


@pytest.mark.parametrize("name", presets.names())
def test_presets(name: str) -> None:
    preset = presets.load(name)
    linear = tuple(c for c in preset.walk_caches if c.name in ("pde", "pdpte", "pml4e"))
    both = Both(replace(preset, walk_caches=linear), pcid=True)
    random = np.random.default_rng(3)
    for start, length in REGIONS.values():
        offsets = random.integers(0, length // 8, 700) * 8
        kinds = random.integers(0, 3, 700)
        both.play([(int(start + o), int(k), 1) for o, k in zip(offsets, kinds, strict=True)])
    both.compare()


def test_a_real_trace() -> None:
    """The first accesses of the bundled trace, its own mappings left out."""
    chunk = next(iter(workloads.open_trace(workloads.bundled()).chunks()))
    accesses = [
        (int(a), int(k), int(s))
        for a, k, s in zip(
            chunk.address[:60_000], chunk.kind[:60_000], chunk.size[:60_000], strict=True
        )
    ]
    compared(presets.load("opteron-2008"), accesses)
