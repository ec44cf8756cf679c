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
from mmulab.workloads.cut import cut


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
