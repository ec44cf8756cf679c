"""The storage that the host's swap device and the guests' disks lie on, in time.

One request after another: a request costs its latency and its bytes' transfer; a block
that follows the one before belongs to the same request. Writes wait for nobody.
"""

from __future__ import annotations

from mmulab.mmu.memory.entries import PAGE_BYTES
from mmulab.mmu.memory.state import Disk

#: Counters of a disk that its time follows from.
_COUNTERS = ("reads", "writes", "sequential")


class Storage:
    """latency: seconds a request. bandwidth: bytes a second."""

    def __init__(self, latency: float, bandwidth: float) -> None:
        self.latency = latency
        self.bandwidth = bandwidth
        self.busy_until = 0.0
        self.busy = 0.0  # seconds in all

    def transfer(self, now: float, disks: list[Disk]) -> float:
        """Accounts for what the disks have moved since the last call, begun now. Returns the
        time at which the reads among it are done; now, where there are none."""
        reads = 0
        seconds = 0.0
        for disk in disks:
            record = disk.record[0]
            read, written, sequential = (
                int(record[name] - record[f"timed_{name}"]) for name in _COUNTERS
            )
            moved = read + written
            if not moved:
                continue
            reads += read
            seconds += (moved - sequential) * self.latency + moved * PAGE_BYTES / self.bandwidth
            for name in _COUNTERS:
                record[f"timed_{name}"] = record[name]
        if not seconds:
            return now
        self.busy_until = max(now, self.busy_until) + seconds
        self.busy += seconds
        return self.busy_until if reads else now
