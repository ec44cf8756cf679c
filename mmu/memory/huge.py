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
        # Of Ingens.
        ("least", np.int64),  # gPTEs in use of a region that is worth it
        ("fair", np.int64),  # 1: processes take turns by what they have and need
        ("tau", np.int64),  # penalty of huge pages in use, percent of that of idle ones
        ("first", np.int64),  # of the regions that wait, in `VM.promotable`; it goes round
        ("waiting", np.int64),  # how many do
        # Of HawkEye.
        ("sample", np.int64),  # ticks from clearing A bits to looking at them
        ("sampling", np.int64),  # 1: they have been cleared
        ("samples", np.int64),
        ("warm_up", np.int64),  # samples before regions lie in buckets
        ("head", np.int64),  # the next places at both ends of all lists of regions
        ("tail", np.int64),
        ("last", np.int64),  # process that had the last promotion
        ("high", np.int64),  # percent of memory in use from which on zeros are given back
        ("low", np.int64),  # and down to which
        ("min_zeros", np.int64),  # pages of zeros of a page of 2 MiB that is split then
        ("recovering", np.int64),  # 1: between both
        ("zero_pages", np.int64),  # zeroed each period
        ("zeroed", np.int64),  # free frames that are
    ]
)

#: A region, by the gfn of its table of level 1.
REGION = np.dtype(
    [
        ("weight", np.int64),  # moving average of the pages used in a sample
        ("bucket", np.int64),  # + 1; 0: it is in none
        ("place", np.int64),  # in the list of its bucket, the least first
    ]
)

#: A region that waits for promotion.
PROMOTABLE = np.dtype([("process", np.int64), ("gva", np.int64)])
WAITING = 1 << 12  # regions that can wait; what comes then is found by the scan: an assumption
