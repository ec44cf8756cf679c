"""Runs scenarios: one, or the same one with each mechanism alone and all together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mmulab.mmu.config import guest_thp, python_files
from mmulab.mmu.errors import InputError
from mmulab.mmu.host import cluster
from mmulab.mmu.host.arrivals import Arrivals
from mmulab.mmu.host.settings import HostSettings
from mmulab.mmu.host.system import OpenTrace, OutOfMemory, System
from mmulab.mmu.host.vm import ELSEWHERE, Guest
from mmulab.mmu.machine.parts import compile_parts
from mmulab.mmu.presets.listing import described
from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.scenario import cores, idle
from mmulab.mmu.scenario.checkpoints import Checkpoints
from mmulab.mmu.scenario.lives import (
    Copied,
    image_pages,
    logs_by_d_bits,
    planned,
    remote_pages,
    visits,
)
from mmulab.mmu.scenario.results import Came, RunResult, VMResult
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.scenario.timeline import Timeline
from mmulab.mmu.scenario.variants import UNPRESSED, variants
from mmulab.mmu.services.balloon import Balloon
from mmulab.mmu.services.events.balloon import Balloon as BalloonEvent
from mmulab.mmu.services.ksm import KSM
from mmulab.mmu.services.policies.files import Targets
from mmulab.mmu.services.reporting import Reporting
from mmulab.mmu.techniques.specs import costs, parse

#: Of the host's swap device: blocks moved, blocks in use, and how many followed the last one.
SWAP_COUNTERS = ("reads", "writes", "used", "sequential")

Progress = Callable[[int], None]


def build(
    scenario: Scenario, open_trace: OpenTrace, balloon_policy: Targets | None = None
) -> System:
    """The host with its VMs, and the services that the scenario asks for plugged in: the first
    of several.

    open_trace, balloon_policy: as in `run`. Raises InputError for a bad preset or trace.
    """
    return build_hosts(scenario, open_trace, balloon_policy)[0]


def build_hosts(
    scenario: Scenario, open_trace: OpenTrace, balloon_policy: Targets | None = None
) -> list[System]:
    """`build`, of all hosts."""
    compile_parts(parse(vm.technique) for vm in scenario.kinds)
    systems = [_host(scenario, host, open_trace) for host in scenario.hosts]
    cluster.join(systems)
    for system in systems:
        if system.guests:
            _plug_in(scenario, system, balloon_policy)
    return systems


def _host(scenario: Scenario, host: HostSettings, open_trace: OpenTrace) -> System:
    """One host, with the VMs that are on it at some time, and what is to happen to those that
    begin there."""
    events = scenario.events
    homes = {vm.name: scenario.home(vm) for vm in scenario.vms}
    vms = [vm for vm in scenario.vms if host.name in visits(vm, homes[vm.name].name, events)]
    images, remote = image_pages(events, vms), remote_pages(host.name, events, vms)
    kinds = [kind for kind in scenario.arrivals if scenario.home(kind.vm) == host]
    places = [kind.place(at) for kind in kinds for at in range(1, kind.places + 1)]
    system = System(host, [*vms, *places], scenario.seed, open_trace, images, remote)
    for kind in kinds:
        mine = [system.guest(kind.place(at).name) for at in range(1, kind.places + 1)]
        system.arrivals.append(Arrivals(kind, mine, scenario.seed, open_trace))
        system.plan(system.arrivals[-1])
    for event in events:
        if logs_by_d_bits(event) and not system.preset.ept_ad:
            raise InputError(
                f"{event}: preset {system.preset.name} has no A and D bits in EPT; set log = "
                f"'write-protection'"
            )
    for guest in system.guests:
        if homes.get(guest.name, host) != host:
            guest.state, guest.paused = ELSEWHERE, True
    for due in planned(events):
        if homes[due.vm] == host:
            system.plan(due)
    for vm in vms:
        if vm.clone_of and homes[vm.name] == host:
            system.plan(Copied(vm.start, vm.name))
    return system


def _plug_in(scenario: Scenario, system: System, balloon_policy: Targets | None) -> None:
    if scenario.balloon:
        events = [
            (event.at, event.vm, event.action.size)
            for event in scenario.events
            if isinstance(event.action, BalloonEvent) and system.has(event.vm)
        ]
        system.services.append(Balloon(scenario.balloon, system, events, balloon_policy))
    if scenario.ksm:
        system.services.append(KSM(scenario.ksm, system))
    if scenario.reporting:
        system.services.append(Reporting(scenario.reporting))


def run(
    scenario: Scenario,
    open_trace: OpenTrace,
    variant: str = "together",
    check: bool = False,
    progress: Progress | None = None,
    balloon_policy: Targets | None = None,
    checkpoints: Checkpoints | None = None,
) -> RunResult:
    """Runs a scenario to the end of its VMs.

    open_trace: makes the trace that a VM's workload names. check: verify the invariants of
    `mmu.check.host` after every turn. progress: called with the accesses made so far.
    balloon_policy: chooses the balloons' targets in place of the scenario's policy. checkpoints:
    are kept of the run, which goes on from the one that they have of it.

    Raises InputError for a bad scenario or trace, RunError where a guest cannot go on. A host
    that runs out of memory ends the run, with a report in the result.
    """
    if checkpoints and (known := checkpoints.begin(scenario, variant)):
        return known
    systems = build_hosts(scenario, open_trace, balloon_policy)
    traces = (guest.trace for system in systems for guest in system.guests)
    making = Making(files_of(traces) | code_of(scenario))
    timeline = Timeline(systems)
    if checkpoints:
        systems, timeline = checkpoints.restored(systems, timeline)
    end, report = "finished", ""
    try:
        while cluster.step(systems):
            timeline.turn()
            if checkpoints:
                checkpoints.turn(systems, timeline, making)
            if check:
                from mmulab.mmu.check.host import check_system

                for system in systems:
                    check_system(system)
            if progress:
                progress(sum(guest.accesses for _, guest in cluster.present(systems)))
    except OutOfMemory as error:
        end, report = "out of memory", str(error)
    timeline.sample()
    result = _result(scenario, systems, timeline, variant, end, report)
    result = replace(result, input=_input(scenario, variant, systems, making), made=making.made())
    if checkpoints:
        checkpoints.end(result)
    return result


def code_of(scenario: Scenario) -> dict[str, str]:
    """Python files of the user's that take part: techniques, a balloon policy."""
    named = [parse(vm.technique).origin for vm in scenario.kinds]
    named += [scenario.balloon.policy] if scenario.balloon else []
    return {name: name for name in named if python_files.is_file(name)}


def _input(
    scenario: Scenario, variant: str, systems: list[System], making: Making
) -> dict[str, Any]:
    """All that a run is made of: `mmulab rerun` goes by it."""
    guests = [guest for _, guest in cluster.present(systems)]
    techniques = [guest.spec.technique for guest in guests]
    of_vcpus = SHOOTDOWNS if any(len(guest.vcpus) > 1 for guest in guests) else {}
    return {
        "call": "run",
        "scenario": asdict(scenario),
        "variant": variant,
        "traces": {guest.name: of_trace(guest.trace) for guest in guests},
        "files": making.files(),
        "preset": described(systems[0].preset, costs(techniques) | of_vcpus),
    }


def compare(
    scenario: Scenario,
    open_trace: OpenTrace,
    check: bool = False,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[RunResult]:
    """Runs every variant of a scenario, and gives each VM's slowdown against the baseline."""
    done = 0
    results: list[RunResult] = []

    def report(count: int) -> None:
        if progress:
            progress(done + count)

    for variant, each in variants(scenario).items():
        results.append(run(each, open_trace, variant, check, report, checkpoints=checkpoints))
        done += sum(vm.accesses for vm in results[-1].vms)
    baseline = results[0]  # `variants` begins with it
    return [with_slowdown(result, baseline) for result in results]


def with_slowdown(result: RunResult, baseline: RunResult) -> RunResult:
    """The result with each VM's time an access as a multiple of the baseline's."""
    vms = (slowed(vm, baseline[vm.name]) for vm in result.vms)
    return replace(result, vms=tuple(vms))


def slowed(vm: VMResult, base: VMResult) -> VMResult:
    """A VM with its time an access as a multiple of another's."""
    if not (vm.accesses and base.accesses and base.busy):
        return vm
    return replace(vm, slowdown=(vm.busy / vm.accesses) / (base.busy / base.accesses))


def _result(
    scenario: Scenario,
    systems: list[System],
    timeline: Timeline,
    variant: str,
    end: str,
    report: str,
) -> RunResult:
    vms = []
    there = {guest.name: (system, guest) for system, guest in cluster.present(systems)}
    names = [vm.name for vm in scenario.vms]
    names += [place.name for s in systems for kind in s.arrivals for place in kind.places]
    for system, guest in (there[name] for name in names):
        guest.note(system.now, "end", guest.state)
        measured = guest.measured()
        vms.append(
            VMResult(
                name=guest.name,
                measured=measured,
                accesses=guest.accesses,
                seconds=max(0.0, guest.ended_at - guest.settings.start),
                stalled=guest.stalled,
                busy=measured.total_cycles.likely / system.hertz + guest.stalled,
                series=timeline.vm_series(guest.name),
                life=tuple(guest.life),
                vcpus=cores.vcpus_of(system, guest),
            )
        )
    services: dict[str, dict[str, float]] = {}
    for system in systems:
        at = f"@{system.settings.name}" if len(systems) > 1 else ""
        services |= {f"{name}{at}": counters for name, counters in _services(system).items()}
    return RunResult(
        scenario=scenario.name,
        variant=variant,
        seconds=np.array(timeline.seconds),
        host=timeline.host_series(),
        vms=tuple(vms),
        services=services,
        end=end,
        report=report,
        notes=tuple(note for system in systems for note in _notes(scenario, system, variant)),
        migrations=tuple(report for system in systems for report in system.migrations),
        cores=cores.cores_of(systems),
        arrivals=tuple(Came.of(kind) for system in systems for kind in system.arrivals),
    )


def _services(system: System) -> dict[str, dict[str, float]]:
    """What each service has done, and the storage."""
    services = {}
    for service in system.services:
        services[service.name] = {
            **service.counters(system),
            "cycles": system.cycles_of.get(service.name, 0.0),
        }
    services["storage"] = {
        "busy_seconds": system.storage.busy,
        **{name: int(system.host.swap.record[0][name]) for name in SWAP_COUNTERS},
    }
    return services


def _notes(scenario: Scenario, system: System, variant: str) -> tuple[str, ...]:
    """What did nothing, and why."""
    said = [(service.name, service.note(system)) for service in system.services]
    if variant not in UNPRESSED:
        if system.settings.swap:
            said.append(("host paging", system.paging.note()))
        said += [(f"vm {guest.name}", _vswapper_note(guest)) for guest in system.guests]
    said += [(f"vm {guest.name}", _thp_note(guest)) for guest in system.guests]
    several = bool(scenario.others)
    first = () if several and system.settings != scenario.host else idle.notes(scenario)
    at = f"host {system.settings.name}: " if several else ""
    return (*first, *(f"{at}{name}: {note}" for name, note in said if note))


def _vswapper_note(guest: Guest) -> str:
    stats, vm = guest.counted.stats[0], guest.settings
    on = [key for key in ("map_disk", "emulate_writes") if getattr(vm, key)]
    if on and not stats["host_swap_outs"] + stats["host_drops"]:
        return f"{' and '.join(on)} never acted: the host paged nothing of it out"
    if vm.map_disk and not stats["host_drops"]:
        return "map_disk never acted: the guest's disk held no page that the host paged out"
    return ""


def _thp_note(guest: Guest) -> str:
    policy = guest_thp.parse(guest.settings.guest_thp)
    stats = guest.vcpu.stats[0]
    if not policy.scans or stats["thp_scanned"] + stats["thp_collapse_alloc"]:
        return ""
    sleep = float(policy.values["scan_sleep_millisecs"])
    return (
        f"guest_thp never acted: it looks for regions every {sleep:g} ms, when the VM has its "
        f"turn; set a shorter scan_sleep_millisecs"
    )
