"""What a VM has come to, done and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mmulab.mmu.hardware.state import VCPU
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.counts import read_counts, read_dimensions, shootdowns_of
from mmulab.mmu.report.measured import Measured, measured
from mmulab.mmu.techniques.specs import Spec


class Counted(Protocol):
    """What of a VM counts: its `host.vm.Guest`."""

    spec: Spec
    preset: Preset
    vm: VM
    vcpus: list[VCPU]
    costs: dict[str, Cited]
    turns: Any

    @property
    def counted(self) -> VCPU: ...


@dataclass(frozen=True)
class Moment:
    """What a VM came to. at, seconds: when that began, and how long it took. state: what it is
    then. Frames of 4 KiB: private, shared (with another VM, or a snapshot), page_tables (the
    VMM's), elsewhere (on swap, in an image); storage: blocks of its disk and of its images."""

    at: float
    what: str
    state: str
    seconds: float = 0.0
    private: int = 0
    shared: int = 0
    page_tables: int = 0
    elsewhere: int = 0
    storage: int = 0


def measured_of(guest: Counted) -> Measured:
    """What a VM has done so far, and what that cost."""
    told = shootdowns_of(guest.vm) if len(guest.vcpus) > 1 else None
    kinds = guest.turns.kinds.sum(axis=0).tolist()
    return Measured(**measured(guest.spec, guest.counted, kinds, guest.preset, shootdowns=told))


def spent(guest: Counted) -> list[float]:
    """Likely cycles of everything so far, of each vCPU."""
    return [_of_one(guest, number) for number in range(len(guest.vcpus))]


def _of_one(guest: Counted, number: int) -> float:
    technique, vcpu = guest.spec.technique, guest.vcpus[number]
    told = shootdowns_of(guest.vm, number) if len(guest.vcpus) > 1 else None
    counted = read_counts(vcpu, technique, guest.turns.kinds[number].tolist())
    references = read_dimensions(vcpu, technique.walk, len(guest.preset.caches))
    charged = cost.charges(counted, references, guest.preset, technique, cores=told)
    return cost.likely(charged, guest.costs)
