"""What an action of a scenario's events is, and the states of a VM that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest

#: What a VM can be: not made yet; on; on, and not running; its memory on disk; on, and never
#: running again; off; gone with its disk.
#: `host.vm.ELSEWHERE` is one that is on another host.
STATES = (DEFINED, RUNNING, SUSPENDED, SAVED, TEMPLATE, OFF, DELETED) = (
    "not started", "running", "suspended", "suspended to disk", "a template", "off", "deleted",
)  # fmt: skip


@dataclass(frozen=True)
class Action:
    """An action with its arguments, checked when it is made.

    name: what `do` calls it. needs: states of the VM in which it can happen. moves: it copies the
    VM's state, which not every technique allows. copies: pages of the VM, as multiples of its
    memory, that it may keep besides.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = (RUNNING,)
    moves: ClassVar[bool] = False
    copies: ClassVar[int] = 0

    def state_after(self, before: str) -> str:
        """What the VM is then."""
        return before

    def act(self, system: System, guest: Guest) -> float:
        """Carries it out. Returns how long it takes, in seconds."""
        raise NotImplementedError


@dataclass
class Planned:
    """An action on the agenda of a host."""

    at: float
    vm: str
    action: Action

    def act(self, system: System) -> None:
        here = system.where(self.vm)
        here.now = max(here.now, system.now)
        guest, system = here.guest(self.vm), here
        if guest.migration is not None:
            guest.waiting_events.append(self)
            return
        if guest.state == DEFINED:
            system.boot(guest)
        seconds = self.action.act(system, guest)
        guest.note(system.now, self.action.name, self.action.state_after(guest.state), seconds)


def snapshot_of(system: System, guest: Guest, name: str) -> Any:
    """The snapshot of a VM that has a name."""
    return system.snapshots[f"{guest.name}@{name}"]
