"""The seam of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mmulab.mmu.host.system import System


class Service(Protocol):
    """Something that runs at times of its own beside the VMs.

    name: of its table in a scenario. next_tick: seconds of simulated time; `tick` sets the
    next one.
    """

    name: str
    next_tick: float

    def tick(self, system: System) -> None: ...

    def counters(self, system: System) -> dict[str, float]:
        """What it has done so far, by name."""
        ...
