"""The cores of one host: each has its own, and the last cache is the host's."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import INVALID
from mmulab.mmu.hardware.build import aligned, build_core, cache_model
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.presets.preset import Preset


def build_cores(
    count: int, preset: Preset, seed: int = 1, *, walk_caches: bool = True, log_size: int = 0,
    caches: str = "off", llc: str | int = "socket",
) -> tuple[list[Core], list[str]]:  # fmt: skip
    """Cold cores of one host, and the names of the units of each: each has all but the last cache
    to itself, and that is the host's. A cache that is the only one is a core's.

    The lines of all lie in one array, in which each core finds its own caches and, at the same
    place, the host's. The rest is as of `build_core`.
    """
    slices = count * preset.caches[-1].size if llc == "slice" and preset.caches else llc
    cache, line = cache_model(preset, slices if count > 1 else llc)
    last = len(preset.caches) - 1
    own = int(cache[last]["base"]) if last > 0 else len(line)
    shared = len(line) - own
    lines = line if count == 1 else aligned(own * count + shared, np.int32)
    lines[:] = INVALID
    cores: list[Core] = []
    units: list[str] = []
    for number in range(count):
        mine = cache.copy()
        mine["base"][: max(last, 1)] += own * number
        if last > 0:
            mine["base"][last] = own * count
        core, units = build_core(preset, seed, walk_caches, log_size, caches, llc, (mine, lines))
        cores.append(core)
    return cores, units
