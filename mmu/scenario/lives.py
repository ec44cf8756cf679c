"""What happens to VMs in a scenario: events, and the check that each can, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from mmulab.mmu.errors import InputError, check_choice, check_range, unknown
from mmulab.mmu.host import life
from mmulab.mmu.host.migration_report import POST_COPY
from mmulab.mmu.host.settings import HostSettings, VMSettings, refuse_unmovable
from mmulab.mmu.host.system import System
from mmulab.mmu.services.events import ACTIONS, Action
from mmulab.mmu.services.events.action import (
    DEFINED,
    OFF,
    RUNNING,
    SAVED,
    SUSPENDED,
    TEMPLATE,
    Planned,
)
from mmulab.mmu.services.events.balloon import Balloon
from mmulab.mmu.services.events.migrate import Migrate
from mmulab.mmu.services.events.restore import Restore
from mmulab.mmu.services.events.snapshot import Snapshot
from mmulab.mmu.techniques.specs import parse
from mmulab.mmu.vmm.dirty_log import LOGS, WRITE_PROTECTION


@dataclass(frozen=True)
class Event:
    """At a time, something is done to a VM. arguments: of the action that `do` names."""

    at: float
    vm: str
    do: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_range("[[event]] at", self.at, 0, 1e9, " s")
        if self.do not in ACTIONS:
            raise unknown("do of an event", self.do, ACTIONS)
        try:
            self.action  # noqa: B018  (it is checked when it is made)
        except TypeError:
            known = ", ".join(field.name for field in fields(ACTIONS[self.do])) or "no argument"
            raise InputError(f"{self}: expected {known}") from None

    @property
    def action(self) -> Action:
        return ACTIONS[self.do](**dict(self.arguments))

    def __str__(self) -> str:
        return f"[[event]] {self.do} of {self.vm} at {self.at:g} s"


def planned(events: Sequence[Event]) -> list[Planned]:
    """Those that the host carries out: a balloon's are its service's own."""
    return [Planned(e.at, e.vm, e.action) for e in events if e.do != Balloon.name]


def source_of(vm: VMSettings) -> tuple[str, str]:
    """(VM, snapshot) that a VM is a copy of; the snapshot is "" where it is the VM itself."""
    name, _, snapshot = vm.clone_of.partition("@")
    return name, snapshot


def image_pages(events: Sequence[Event], vms: Sequence[VMSettings]) -> int:
    """Pages that saved memory may take, at most."""
    memory = {vm.name: vm.memory >> 12 for vm in vms}
    return sum(memory[event.vm] * event.action.copies for event in events)


def visits(vm: VMSettings, home: str, events: Sequence[Event]) -> set[str]:
    """The hosts that a VM is on at some time."""
    moves = (e.action for e in events if e.vm == vm.name)
    return {home} | {action.to for action in moves if isinstance(action, Migrate)}


def remote_pages(host: str, events: Sequence[Event], vms: Sequence[VMSettings]) -> int:
    """Pages that a host may have to fetch from another, at most."""
    memory = {vm.name: vm.memory >> 12 for vm in vms}
    moves = ((event.vm, event.action) for event in events)
    return sum(memory[vm] for vm, move in moves if isinstance(move, Migrate) and move.to == host)


def check_hosts(hosts: Sequence[HostSettings], vms: Sequence[VMSettings]) -> None:
    """Raises InputError where hosts cannot be told apart, or a VM is on none of them."""
    names = [host.name for host in hosts]
    for name in names:
        if len(names) > 1 and (not name or names.count(name) > 1):
            raise InputError(f"[[host]] name = {name!r}: expected a name of its own for each host")
    for vm in vms:
        if vm.host and vm.host not in names:
            raise InputError(f"vm {vm.name}: host: {unknown('host', vm.host, names)}")


def check_lives(
    vms: Sequence[VMSettings], events: Sequence[Event], hosts: Sequence[HostSettings]
) -> None:
    """Raises InputError where a VM cannot be what an event or a clone needs it to be: goes through
    all of them in the order of their times."""
    by_name = {vm.name: vm for vm in vms}
    for event in events:
        check_choice("vm of an event", event.vm, tuple(by_name))
        if event.action.moves:
            refuse_unmovable(by_name[event.vm], f"{event.do}")
        if logs_by_d_bits(event):
            _check_d_bits(event, by_name[event.vm])
    for vm in vms:
        if vm.clone_of:
            _check_copy(vm, by_name)
    _Course(vms, events, [host.name for host in hosts]).check()


def logs_by_d_bits(event: Event) -> bool:
    """Whether an event is a migration that needs D bits of the nested table."""
    action = event.action
    if not isinstance(action, Migrate) or action.method == POST_COPY:
        return False
    return LOGS.index(action.log) != WRITE_PROTECTION


def _check_d_bits(event: Event, vm: VMSettings) -> None:
    if "test_dirty" not in parse(vm.technique).technique.hooks:
        raise InputError(
            f"{event}: technique {vm.technique} has no nested table whose D bits could be read; "
            f"set log = 'write-protection'"
        )


#: What a copy must have as its source has it.
_SAME = (
    "memory", "disk", "technique", "page_size", "host_page_size", "levels", "shadow_policy",
    "guest_thp",
)  # fmt: skip


def _check_copy(vm: VMSettings, by_name: dict[str, VMSettings]) -> None:
    name, _ = source_of(vm)
    if name not in by_name or name == vm.name:
        others = [other for other in by_name if other != vm.name]
        raise InputError(f"vm {vm.name}: clone_of: {unknown('vm', name, others)}")
    source = by_name[name]
    refuse_unmovable(source, "be copied")
    for key in _SAME:
        if getattr(vm, key) != getattr(source, key):
            raise InputError(
                f"vm {vm.name}: {key} = {getattr(vm, key)!r}, and it is a copy of {name}, whose "
                f"{key} is {getattr(source, key)!r}; leave it out"
            )


class _Course:
    """The states of VMs as time goes on."""

    def __init__(
        self, vms: Sequence[VMSettings], events: Sequence[Event], hosts: Sequence[str]
    ) -> None:
        self.state = {vm.name: DEFINED for vm in vms}
        self.hosts = hosts
        self.host = {vm.name: vm.host or hosts[0] for vm in vms}
        self.limited = {vm.name for vm in vms if 0 < vm.limit < vm.memory}
        self.snapshots: set[tuple[str, str]] = set()
        self.steps: list[tuple[float, int, Any]] = []
        for vm in vms:  # at one time: those that begin, events, copies, those that end
            self.steps.append((vm.start, 2 if vm.clone_of else 0, vm))
            if vm.stop:
                self.steps.append((vm.stop, 3, vm))
        self.steps += [(event.at, 1, event) for event in events]

    def check(self) -> None:
        for _, order, step in sorted(self.steps, key=lambda each: each[:2]):
            if isinstance(step, Event):
                self._check_event(step)
            elif order == 3:
                self.state[step.name] = OFF
            else:
                if step.clone_of:
                    self._check_source(step)
                self.state[step.name] = RUNNING

    def _check_event(self, event: Event) -> None:
        action, state = event.action, self.state[event.vm]
        if state not in action.needs:
            raise InputError(f"{event}: it is {state} then; expected {' or '.join(action.needs)}")
        if isinstance(action, Snapshot):
            if (event.vm, action.snapshot) in self.snapshots:
                raise InputError(f"{event}: it has a snapshot {action.snapshot!r} already")
            self.snapshots.add((event.vm, action.snapshot))
        if isinstance(action, Restore) and (event.vm, action.snapshot) not in self.snapshots:
            raise InputError(f"{event}: it has no snapshot {action.snapshot!r} then")
        if isinstance(action, Migrate):
            self._check_move(event, action)
        self.state[event.vm] = action.state_after(state)
        if event.do == "delete":
            self.snapshots = {pair for pair in self.snapshots if pair[0] != event.vm}

    def _check_move(self, event: Event, action: Migrate) -> None:
        if action.to not in self.hosts or action.to == self.host[event.vm]:
            others = [host for host in self.hosts if host and host != self.host[event.vm]]
            if not others:
                raise InputError(
                    f"{event}: there is one host; give [[host]] name = for each of two"
                )
            raise InputError(f"{event}: to: {unknown('other host', action.to, others)}")
        if event.vm in self.limited:
            raise InputError(f"{event}: it has a limit below its memory, that shared pages pass")
        if any(vm == event.vm for vm, _ in self.snapshots):
            raise InputError(f"{event}: it has snapshots, which stay where they are")
        self.host[event.vm] = action.to

    def _check_source(self, vm: VMSettings) -> None:
        name, snapshot = source_of(vm)
        if snapshot and (name, snapshot) not in self.snapshots:
            raise InputError(
                f"vm {vm.name}: it is a copy of {vm.clone_of} at {vm.start:g} s, and {name} has no "
                f"snapshot {snapshot!r} then"
            )
        if self.host[name] != self.host[vm.name]:
            raise InputError(
                f"vm {vm.name}: it is a copy of {name}, which is on host {self.host[name]!r} then; "
                f"set host to that"
            )
        state = self.state[name]
        if not snapshot and state not in (RUNNING, SUSPENDED, TEMPLATE):
            cure = "; take a snapshot of it before" if state == SAVED else ""
            raise InputError(
                f"vm {vm.name}: it is a copy of {name} at {vm.start:g} s, and {name} is {state} "
                f"then{cure}"
            )


@dataclass
class Copied:
    """A VM that is made as a copy, on the agenda of a host."""

    at: float
    vm: str

    def act(self, system: System) -> None:
        guest = system.guest(self.vm)
        name, snapshot = source_of(guest.settings)
        source = system.guest(name)
        if source.state == DEFINED:
            system.boot(source)
        seconds = life.clone(
            system, system.snapshots[guest.settings.clone_of] if snapshot else source, guest
        )
        guest.note(system.now, "clone", RUNNING, seconds)
