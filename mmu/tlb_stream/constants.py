"""What the stream's kernels and the arrays that they run over agree on."""

from __future__ import annotations

from mmulab.mmu.presets.preset import POLICIES

LRU, FIFO, RANDOM = (POLICIES.index(name) for name in ("lru", "fifo", "random"))

GROUP = 4  # tags that are searched together: sets are padded to a multiple of it
PREDICTION_BITS = 10

# Of a long stream, what predictions are placed by: assumptions.
LONG = 1 << 18
SAMPLES, WINDOWS = 1024, 8
CROWDED = SAMPLES // 16

#: Tag of an invalid slot and of padding. No address shifted right has it.
NO_PAGE = -(1 << 63)

#: Ways from which on sets are `wide`: fewer are searched as fast. Only time depends on it.
WIDE_WAYS = 65

# Of `in_parallel`, assumptions: accesses of a piece at most; pieces that each core takes before
# they are settled, so that what misses fits in memory; accesses before a piece that may fill its
# L1, a few at first; of a level, entries and steps of a search through all stacks, few beside a
# piece of LONG.
PIECE = 1 << 22
ROUND = 4
LOOK_BACK = 1 << 12, 1 << 15
SLOTS = LONG >> 2
STEPS = 1 << 22
