"""More or fewer VMs of a scenario's mix, with other mechanisms: what consolidation asks about.

A crowd of n is the scenario's VMs in turn, n of them; each further round has seeds of its own. A
set of mechanisms is their names with + between, "swap+ksm", or "nothing":

swap        the host pages
balloon, ksm, reporting    as the scenario has them, or with their defaults
vswapper    VMs' map_disk and emulate_writes, where the scenario has them
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.host.settings import MIB, VMSettings
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.services.reporting import ReportingSettings

_SERVICES: dict[str, type] = {
    "balloon": BalloonSettings,
    "ksm": KSMSettings,
    "reporting": ReportingSettings,
}
SWAP, VSWAPPER, NOTHING = "swap", "vswapper", "nothing"
MECHANISMS = (SWAP, *_SERVICES, VSWAPPER)


def sets_of(scenario: Scenario) -> tuple[str, ...]:
    """The sets that make sense for a scenario: none, the host's paging, that with each mechanism
    that the scenario has, and with all."""
    swap = [SWAP] if scenario.host.swap else []
    each = [name for name in _SERVICES if getattr(scenario, name)]
    each += [VSWAPPER] if any(map(_is_vswapper, scenario.vms)) else []
    several = [[*swap, name] for name in each] + ([[*swap, *each]] if len(each) > 1 else [])
    return (NOTHING, *("+".join(names) for names in (swap, *several) if names))


def read_set(scenario: Scenario, text: str) -> str:
    """A set as `sets_of` writes it. Raises InputError for an unknown mechanism, or one that the
    scenario has no place for."""
    names = [] if text.strip() == NOTHING else [name.strip() for name in text.split("+")]
    for name in names:
        if name not in MECHANISMS:
            raise unknown("mechanism", name, (NOTHING, *MECHANISMS))
    if SWAP in names and not scenario.host.swap:
        raise InputError(f"mechanisms {text}: the host has nowhere to page to; give [host] swap")
    if VSWAPPER in names and not any(map(_is_vswapper, scenario.vms)):
        raise InputError(f"mechanisms {text}: no VM has map_disk or emulate_writes")
    return "+".join(name for name in MECHANISMS if name in names) or NOTHING


def check_mix(scenario: Scenario) -> None:
    """Raises InputError where a scenario is none that can be had in any number."""
    if scenario.others:
        raise InputError(f"scenario {scenario.name}: {len(scenario.hosts)} hosts; expected one")
    if scenario.arrivals:
        raise InputError(f"scenario {scenario.name}: VMs come and go; expected a mix that stays")
    if scenario.events:
        raise InputError(
            f"scenario {scenario.name}: {scenario.events[0]}: expected VMs without events, of "
            f"which there can be any number"
        )
    for vm in scenario.vms:
        if vm.clone_of:
            raise InputError(f"vm {vm.name}: is a copy of {vm.clone_of}; expected VMs that boot")


def crowd(scenario: Scenario, count: int, mechanisms: str) -> Scenario:
    """So many VMs of a mix, under a set of mechanisms. Raises InputError."""
    on = set(read_set(scenario, mechanisms).split("+"))
    several = [_another(scenario, number, VSWAPPER in on) for number in range(count)]
    changes: dict[str, Any] = {
        name: (getattr(scenario, name) or kind()) if name in on else None
        for name, kind in _SERVICES.items()
    }
    host = scenario.host if SWAP in on else replace(scenario.host, swap=0)
    return replace(scenario, vms=tuple(several), host=host, **changes)


def alone(scenario: Scenario, number: int) -> Scenario:
    """A VM of the mix by itself, on a host that is never short: what slowdowns are against."""
    one = crowd(scenario, number + 1, NOTHING)
    vm = replace(one.vms[number], limit=0)
    memory = max(one.host.memory, vm.memory + vm.memory // 8 + 8 * MIB)
    return replace(one, vms=(vm,), host=replace(one.host, memory=memory))


def _another(scenario: Scenario, number: int, vswapper: bool) -> VMSettings:
    turn, at = divmod(number, len(scenario.vms))
    vm = scenario.vms[at]
    name = f"{vm.name}#{turn + 1}" if turn else vm.name
    vm = replace(vm, name=name, seed=vm.seed + turn * len(scenario.vms))
    return vm if vswapper else replace(vm, map_disk=False, emulate_writes=False)


def _is_vswapper(vm: VMSettings) -> bool:
    return vm.map_disk or vm.emulate_writes


def percentile(values: Iterable[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed (nearest rank)."""
    several = sorted(values)
    rank = -(-len(several) * percent // 100)
    return several[max(0, int(rank) - 1)]
