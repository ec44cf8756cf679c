"""Entries to the kernel at a rate, for any generator: system calls, interrupts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmulab.mmu.trace import EVENT, KERNEL, Chunk
from mmulab.workloads.generators.parameters import Parameter
from mmulab.workloads.slices import owners

KERNEL_EVERY = Parameter(
    0, "accesses from one entry to the kernel to the next, as of system calls and interrupts; "
    "0: none", least=0,
)  # fmt: skip


def with_entries(chunks: Iterable[Chunk], every: int) -> Iterator[Chunk]:
    """The chunks with a KERNEL of the process that runs before access `every`, 2 * `every`, ...

    It comes after the other events before that access.
    """
    made, last = 0, (1, 0)
    for chunk in chunks:
        pid, _, last = owners(chunk, last)
        start = -made % every if made else every
        position = np.arange(start, chunk.accesses, every)
        entries = np.zeros(len(position), EVENT)
        entries["position"], entries["kind"], entries["pid"] = position, KERNEL, pid[position]
        events = np.concatenate([chunk.events, entries])
        order = np.argsort(events["position"], kind="stable")
        yield chunk._replace(events=events[order])
        made += chunk.accesses
