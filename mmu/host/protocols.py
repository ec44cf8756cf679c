"""What a host asks of those that are plugged into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.vm import VM

if TYPE_CHECKING:
    from mmulab.mmu.host.system import System


class Service(Protocol):
    """The seam of a service: something that runs at times of its own beside the VMs.

    name: of its table in a scenario. next_tick: seconds of simulated time; `tick` sets the
    next one.
    """

    name: str
    next_tick: float

    def tick(self, system: System) -> None: ...

    def counters(self, system: System) -> dict[str, float]:
        """What it has done so far, by name."""
        ...

    def note(self, system: System) -> str:
        """Why it has done nothing, or less than it seems; empty otherwise."""
        ...


class Driver(Protocol):
    """Who drives the balloons of guests that cannot wait for the next tick."""

    def hold_to_limit(self, system: System, guest: Guest) -> None:
        """A guest is at its limit: its balloon grows, as far as it can."""
        ...

    def deflate_on_oom(self, guest: Guest) -> int:
        """A guest is out of memory: frames that its balloon gives back."""
        ...


class Due(Protocol):
    """Something that happens once: at, seconds of simulated time."""

    at: float

    def act(self, system: System) -> None: ...


class Frozen(Protocol):
    """A VM that never runs, and has frames all the same: see `host.life`."""

    name: str

    @property
    def vm(self) -> VM: ...
