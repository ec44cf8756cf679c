"""What a balloon policy is asked, and what it answers: an array of one element a VM each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmulab.mmu.services.esx import State, Thresholds

Frames = NDArray[np.int64]
Fractions = NDArray[np.float64]

UNKNOWN = -1  # of `Plan.due`


@dataclass(frozen=True)
class VMs:
    """The VMs that are on.

    name: of each. memory: frames that the guest believes it has. held: those that the host holds
    for it. balloon: frames in its balloon. free: guest frames that it has not in use. shares:
    as set. reservation, limit: of host frames, as set. active: the part of its memory that it
    uses, 0 to 1, float64; 1 as long as nothing is known. guest_swap_ins, host_swap_ins: pages that
    the guest and the host have read back from disk since the last look. All int64 unless it
    says otherwise.
    """

    name: tuple[str, ...]
    memory: Frames
    held: Frames
    balloon: Frames
    free: Frames
    shares: Frames
    reservation: Frames
    limit: Frames
    active: Fractions
    guest_swap_ins: Frames
    host_swap_ins: Frames

    def __len__(self) -> int:
        return len(self.name)

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> VMs:
        """Columns of rows, one a VM."""
        columns: dict[str, Any] = {}
        for field in fields(cls):
            values = [row[field.name] for row in rows]
            kind = np.float64 if field.name == "active" else np.int64
            columns[field.name] = tuple(values) if field.name == "name" else np.array(values, kind)
        return cls(**columns)

    def rows(self, *names: str) -> list[dict[str, Any]]:
        """A dict of plain values for each VM, with the columns of these names."""
        plain = [list(getattr(self, name)) for name in names]
        values = (
            [each.item() if isinstance(each, np.generic) else each for each in row]
            for row in zip(*plain, strict=True)
        )
        return [dict(zip(names, row, strict=True)) for row in values]


@dataclass(frozen=True)
class HostMemory:
    """The host: free and total frames; seconds of simulated time; how short it is, by the
    policy's thresholds."""

    free: int
    total: int
    now: float
    state: State = State.HIGH


@dataclass(frozen=True)
class Plan:
    """What is to be done now, an element a VM, in frames.

    balloon: the size that each balloon should get. page: what the host pages out in its place.
    blocked: VMs that wait until the next look. due: what each VM deserves, for a host that
    picks victims by shares; UNKNOWN: what its balloon leaves it.
    """

    balloon: Frames
    page: Frames
    blocked: NDArray[np.bool_]
    due: Frames

    @classmethod
    def of_balloons(cls, balloon: Any) -> Plan:
        """Balloons, and nothing else."""
        sizes = np.asarray(balloon, np.int64)
        return cls(
            sizes, np.zeros_like(sizes), np.zeros(sizes.shape, np.bool_),
            np.full_like(sizes, UNKNOWN),
        )  # fmt: skip


class BalloonPolicy(Protocol):
    """The seam of a policy. watches: whether it goes by how much of its memory a VM uses, so that
    pages are sampled for it. thresholds: of the states that the host is in."""

    watches: bool
    thresholds: Thresholds

    def plan(self, vms: VMs, host: HostMemory) -> Plan: ...

    def note(self) -> str:
        """Why it has asked for nothing."""
        ...
