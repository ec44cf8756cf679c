"""The same scenario with other mechanisms: what each does alone, and all together.

ample       a host with memory for every VM: what slowdowns are measured against
fitted      guests that know how little there is: the host's memory divided among them by
            what they were promised, so that only they page. The single level with the
            same memory that double paging is compared with
none        the host pages, and nothing else is done
balloon, ksm, reporting, vswapper    with that alone; vswapper: VMs' map_disk and
            emulate_writes, where the scenario has them
together    the scenario as it is

A VM's limit is part of the VM, and so is what happens in its life; both are in all of them.
"""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu.host.settings import MIB, VMSettings
from mmulab.mmu.scenario.settings import Scenario

MECHANISMS = ("balloon", "ksm", "reporting")

#: Those in which the host is not meant to be short.
UNPRESSED = ("ample", "fitted")

#: Part of the host's memory that guests are fitted into: the rest is for the tables of the
#: VMM and for the watermarks; an assumption.
FITTED_SHARE = 0.94


def variants(scenario: Scenario) -> dict[str, Scenario]:
    """The variants that make sense for a scenario, by name, the baseline first."""
    plain = replace(
        scenario,
        vms=tuple(replace(vm, map_disk=False, emulate_writes=False) for vm in scenario.vms),
    )
    lives = tuple(event for event in scenario.events if event.do != "balloon")
    nothing = replace(plain, balloon=None, ksm=None, reporting=None, events=lives)
    found = {"ample": _ample(nothing)}
    if all(vm.disk for vm in scenario.vms) and not scenario.arrivals:
        found["fitted"] = _fitted(nothing)
    found["none"] = nothing
    alone = 0
    for name in MECHANISMS:
        if getattr(scenario, name):
            events = scenario.events if name == "balloon" else lives
            found[name] = replace(nothing, events=events, **{name: getattr(scenario, name)})
            alone += 1
    if plain.vms != scenario.vms:
        found["vswapper"] = replace(nothing, vms=scenario.vms)
        alone += 1
    if alone > 1:
        found["together"] = scenario
    return found


def _ample(scenario: Scenario) -> Scenario:
    """An eighth more than the guests' memory: their tables, and some to spare."""
    places = [kind.vm for kind in scenario.arrivals for _ in range(kind.places)]
    needed = sum(vm.memory + vm.memory // 8 for vm in (*scenario.vms, *places)) + 8 * MIB
    host, *others = (replace(host, memory=max(needed, host.memory)) for host in scenario.hosts)
    return replace(scenario, host=host, others=tuple(others))


def _fitted(scenario: Scenario) -> Scenario:
    """What lies in hugetlbfs fits: the others share what it leaves."""
    taken = sum(vm.memory for vm in scenario.vms if vm.in_hugetlbfs)
    promised = sum(_promised(vm) for vm in scenario.vms) - taken
    share = min(1.0, max(0.0, FITTED_SHARE * scenario.host.memory - taken) / max(1, promised))
    vms = []
    for vm in scenario.vms:
        part = 1.0 if vm.in_hugetlbfs else share
        memory = max(MIB, int(_promised(vm) * part) >> 12 << 12)
        vms.append(
            replace(
                vm, memory=memory, reservation=min(vm.reservation, memory),
                limit=min(vm.limit, memory), balloon=0,
            )
        )  # fmt: skip
    return replace(scenario, vms=tuple(vms))


def _promised(vm: VMSettings) -> int:
    """What a VM may have of the host, in bytes."""
    return min(vm.memory, vm.limit or vm.memory)
