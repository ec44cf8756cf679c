"""Settings that do nothing, because of what another setting is."""

from __future__ import annotations

from collections.abc import Iterable

from mmulab.mmu.errors import InputError
from mmulab.mmu.host.settings import CREDIT, PINNED, WEIGHTED, HostSettings, VMSettings
from mmulab.mmu.scenario.lives import image_pages
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.techniques.specs import parse


def check_given(scenario: Scenario, given: Iterable[str]) -> None:
    """Raises InputError where a key that was given does nothing. given: as in `idle`."""
    found = idle(scenario)
    for key in given:
        if key in found:
            raise InputError(f"{key} does nothing: {found[key]}")


def idle(scenario: Scenario) -> dict[str, str]:
    """host.KEY, vm.NAME.KEY, balloon.KEY or ksm.KEY -> why it does nothing, and the cure. A
    setting of a VM that is off is none."""
    found = _of_host(scenario)
    for vm in scenario.vms:
        for key, why in _of_vm(scenario, vm).items():
            found[f"vm.{vm.name}.{key}"] = why
    if scenario.balloon:
        for key, why in _of_balloon(scenario.balloon).items():
            found[f"balloon.{key}"] = why
    ksm = scenario.ksm
    if ksm and ksm.method == "hints":
        found["ksm.smart_scan"] = (
            "method 'hints' shares pages at first sight; set [ksm] method = 'ksm'"
        )
    return found


def notes(scenario: Scenario) -> list[str]:
    """A sentence for each setting that is not at its default and does nothing; and for those
    that are no error, because they say what a VM is due whoever asks."""
    found = {key: why for key, why in idle(scenario).items() if _is_changed(scenario, key)}
    weighted = scenario.host.scheduler in (WEIGHTED, CREDIT)
    by_shares = scenario.balloon and scenario.balloon.by_shares
    for vm in scenario.vms:
        if vm.shares != VMSettings.shares and not weighted and not by_shares:
            found[f"vm.{vm.name}.shares"] = (
                "neither the balloon's policy nor the scheduler goes by shares; set [balloon] "
                "policy = 'esx' or [host] scheduler = 'weighted'"
            )
        if not vm.mergeable and not scenario.ksm:
            found[f"vm.{vm.name}.mergeable"] = "nothing merges pages; add [ksm]"
    idle_keys = [f"{key} does nothing: {why}" for key, why in found.items()]
    spared = (_spared(scenario, vm) for vm in scenario.vms if vm.in_hugetlbfs)
    return idle_keys + [text for text in spared if text]


def _spared(scenario: Scenario, vm: VMSettings) -> str:
    """Which mechanisms pass a VM in hugetlbfs over; empty where none would not."""
    found = []
    if scenario.host.swap:
        found.append("the host does not page it out")
    if scenario.ksm:
        found.append("ksm does not merge it")
    frees = [("balloon", "its balloon takes"), ("reporting", "free-page reporting tells")]
    on = [text for name, text in frees if getattr(scenario, name)]
    if on:
        found.append(f"what {' and '.join(on)} frees nothing")
    return f"vm {vm.name} lies in hugetlbfs: {', '.join(found)}" if found else ""


def _is_changed(scenario: Scenario, key: str) -> bool:
    group, name = key.split(".", 1)
    if group == "vm":
        return True  # what is off is not in `idle`
    kind = {"host": HostSettings, "balloon": BalloonSettings, "ksm": KSMSettings}[group]
    return bool(getattr(getattr(scenario, group), name) != getattr(kind, name))


def _of_balloon(balloon: BalloonSettings) -> dict[str, str]:
    policy, found = balloon.policy, {}
    of_vmware = policy in ("esx", "esxi")
    if policy in ("fixed", "proxmox"):
        why = f"policy {policy!r} estimates no use of memory; set [balloon] policy = 'esx'"
        found = dict.fromkeys(("tax", "sample", "sample_period"), why)
    elif not of_vmware:
        found["tax"] = f"policy {policy!r} is not taxed; set [balloon] policy = 'esx'"
    if policy != "proxmox":
        why = f"policy {policy!r} has none; set [balloon] policy = 'proxmox'"
        found.update(dict.fromkeys(("target", "step"), why))
    return found


def _has_shadow_policy(vm: VMSettings) -> bool:
    parameters = parse(vm.technique).technique.parameters
    return any(parameter.option == "shadow_policy" for parameter in parameters)


def _pages(scenario: Scenario) -> bool:
    """True where the host can page anything out."""
    return scenario.host.swap > 0 or any(vm.map_disk and vm.disk for vm in scenario.vms)


def _of_host(scenario: Scenario) -> dict[str, str]:
    found = {}
    saves = image_pages(scenario.events, scenario.vms) > 0
    if not scenario.host.swap and not saves and not any(vm.disk for vm in scenario.vms):
        for key in ("latency", "bandwidth"):
            found[f"host.{key}"] = "nothing is stored; give [host] swap or a [[vm]] disk"
    if not _pages(scenario):
        found["host.victims"] = "the host has nowhere to page to; give [host] swap"
    elif scenario.host.victims == "shares" and not scenario.balloon:
        found["host.victims"] = (
            "no policy says what a VM is due, and pages are taken at random; add [balloon]"
        )
    return found


def _of_hugetlbfs(vm: VMSettings) -> dict[str, str]:
    cure = "; set backing = 'anonymous'"
    found = {
        key: f"the host never pages out what lies in hugetlbfs{cure}"
        for key in ("map_disk", "emulate_writes")
        if getattr(vm, key)
    }
    if vm.reservation:
        found["reservation"] = f"all of what lies in hugetlbfs is the VM's own{cure}"
    return found


def _of_vm(scenario: Scenario, vm: VMSettings) -> dict[str, str]:
    found = {}
    if vm.balloon and not scenario.balloon:
        found["balloon"] = "ballooning is off; add [balloon] with policy = 'fixed'"
    elif vm.balloon and scenario.balloon and scenario.balloon.policy != "fixed":
        found["balloon"] = (
            f"policy {scenario.balloon.policy!r} chooses targets by itself; set [balloon] "
            f"policy = 'fixed'"
        )
    if vm.shadow_policy != VMSettings.shadow_policy and not _has_shadow_policy(vm):
        found["shadow_policy"] = f"technique {vm.technique!r} has none; set technique = 'shadow'"
    if vm.pin and scenario.home(vm).scheduler != PINNED:
        found["pin"] = "vCPUs are not pinned; set [host] scheduler = 'pinned'"
    if vm.remote_flush != VMSettings.remote_flush and vm.vcpus == 1:
        found["remote_flush"] = "the VM has one vCPU, and tells no other; give it more vcpus"
    if vm.map_disk and not vm.disk:
        found["map_disk"] = "the VM has no disk that could hold its pages; give it a disk"
    if vm.in_hugetlbfs:
        found.update(_of_hugetlbfs(vm))
    elif vm.emulate_writes and not _pages(scenario):
        found["emulate_writes"] = "the host has nowhere to page to; give [host] swap"
    return found
