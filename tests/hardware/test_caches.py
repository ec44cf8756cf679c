"""Caches that tables and data share: exact ones equal a brute-force model line for line, the
sample is near them, and no technique's tables are luckier than another's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.followed import Followed

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.results import TechniqueResult
from mmulab.mmu.simulate import compare
from mmulab.mmu.trace import Chunk, Trace


class Beginning:
    """The first accesses of a trace, in chunks of a size."""

    def __init__(self, spec: str, accesses: int, chunk: int = 1 << 20) -> None:
        self.name, self.length = spec, accesses
        self._spec, self._chunk = spec, chunk

    def chunks(self, columns=()):  # type: ignore[no-untyped-def]
        left = self.length
        for chunk in workloads.resolve(self._spec).chunks():
            for first in range(0, chunk.accesses, self._chunk):
                last = min(chunk.accesses, first + self._chunk, first + left)
                if not left:
                    return
                yield piece(chunk, first, last)
                left -= last - first


def piece(chunk: Chunk, first: int, last: int) -> Chunk:
    at = chunk.events["position"]
    events = chunk.events[(at >= first) & ((at < last) | (last == chunk.accesses))].copy()
    events["position"] -= first
    return chunk.part(slice(first, last), events)


#: Small caches, so that short traces fill them.
SMALL = Config(memory=256 << 20, caches="exact", llc=1 << 20)


def small(name: str) -> Preset:
    preset = presets.load(name)
    sizes = (8 << 10, 64 << 10, 0)
    caches = tuple(replace(c, size=s) for c, s in zip(preset.caches, sizes, strict=True))
    return replace(preset, caches=caches)


TRACES = {
    "@python": 20_000,
    "@xz": 20_000,
    "@shell": 60_000,
    "gups:size=8M,accesses=20K": 20_000,
    "triad:size=1M,accesses=20K": 20_000,
    "buildfarm:accesses=30K": 30_000,
}


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
@pytest.mark.parametrize("spec", TRACES)
def test_exact_caches_equal_a_brute_force_model(spec: str, technique: str) -> None:
    name, page_size = ("haswell", "4k") if technique == "nested" else ("opteron-2008", "thp")
    preset, config = small(name), replace(SMALL, page_size=page_size)
    (found,) = compare(Beginning(spec, TRACES[spec]), preset, config, technique).results
    model = Followed(Beginning(spec, TRACES[spec], 7777), preset, config, technique)
    levels = (*range(len(preset.caches)), 4)
    assert found.data["served_by"] == [model.data[level] for level in levels]
    sites = model.simulator.spec.technique.walk.sites
    expected = {}
    for (site, level), number in model.references.items():
        at = expected.setdefault(sites[site].label, [0] * len(levels))
        at[levels.index(level)] = number
    assert {each["site"]: each["served_by"] for each in found.references} == expected
    assert model.named and sum(found.data["served_by"][1:]) > 100
