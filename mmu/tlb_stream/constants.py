"""What the stream's kernels and the arrays that they run over agree on."""

from __future__ import annotations

from mmulab.mmu.presets.preset import POLICIES

LRU, FIFO, RANDOM = (POLICIES.index(name) for name in ("lru", "fifo", "random"))

GROUP = 4  # tags that are searched together: sets are padded to a multiple of it
PREDICTIONS = 1024
