"""State of a guest kernel's policy of huge pages: see `mmu.guest.huge`.

Times are in ticks: accesses, or where a host tells a VM the time, nanoseconds.
"""

from __future__ import annotations

import numpy as np

#: Policies, in the order of `mmu.config.guest_thp.POLICIES`.
FAULT, NEVER, LINUX, INGENS, HAWKEYE = 0, 1, 2, 3, 4

#: Which mappings have huge pages: none, those that ask for 2 MiB, all that ask for nothing else.
NOWHERE, ASKED, EVERYWHERE = 0, 1, 2

#: Timers of the kernel's threads: which looks for regions to promote, which looks at A bits, which
#: zeroes free frames.
SCAN, SAMPLE, ZERO = 0, 1, 2
TIMERS = 3

#: Parameters and scalars of a policy.
HUGE = np.dtype(
    [
        ("policy", np.int64),
        ("at_fault", np.int64),  # 1: a first touch may get 2 MiB
        ("enabled", np.int64),  # NOWHERE, ASKED or EVERYWHERE
        ("ticking", np.int64),  # 1: each access is a tick
        ("alarm", np.int64),  # ticks until the next thread wakes up
        ("slept", np.int64),  # what it was when they all went to sleep
        ("due", np.int64),  # 1: one is awake, or should be
        ("awake", np.int64),  # of timers that have rung, as bits
        ("left", np.int64, TIMERS),  # ticks of each timer when all went to sleep; 0: it is off
        ("period", np.int64, TIMERS),
        ("alloc_sleep", np.int64),
        ("pages_to_scan", np.int64),
        ("max_none", np.int64),
        ("max_swap", np.int64),
        ("max_shared", np.int64),
        # The scan: where it goes on, and how far it has got in this batch.
        ("process", np.int64),
        ("address", np.int64),
        ("progress", np.int64),
        ("heads", np.int64),  # times that it has begun at the first process
        ("failed", np.int64),  # 1: no block was free, once
    ]
)
