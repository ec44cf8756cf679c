"""Results of a scenario: dataclasses that turn into plain dicts with a versioned schema.

The schema is described in docs/results.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.host.accounts import Moment
from mmulab.mmu.host.arrivals import LIFE, Arrivals
from mmulab.mmu.host.migration_report import Report, Round
from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.measured import Measured
from mmulab.mmu.report.shown import Shown

SCHEMA = "mmulab.scenario"
SCHEMA_VERSION = 2

#: Counters of blocks that paging moves.
IN_AND_OUT = (
    "host_swap_ins", "host_swap_outs", "host_refetches", "guest_swap_ins", "guest_swap_outs",
)  # fmt: skip


@dataclass(frozen=True)
class VCPUResult:
    """One vCPU.

    pcpu: that it was on last. moves: from one pCPU to another. Seconds: busy, that it ran, its
    waits included; steal, that it could run and its pCPU ran another's; waits, for vCPUs that did
    not run to take an IPI. A guest whose clock counts the ticks that come while it runs has fallen
    behind by its steal. shootdowns: as of `mmu.report.measured.Measured`; empty where its VM has
    one vCPU.
    """

    number: int
    pcpu: int
    accesses: int
    busy: float
    steal: float
    waits: float
    moves: int
    shootdowns: dict[str, int]


@dataclass(frozen=True)
class CoreResult:
    """One pCPU. busy: seconds that vCPUs ran on it. switches: from one vCPU to another. host: its
    name, of several."""

    core: int
    busy: float
    switches: int
    host: str = ""


@dataclass(frozen=True)
class VMResult:
    """One VM.

    measured: what its vCPU did and what that cost. series: int64[n] by name, at the run's times:
    frames by what became of them, then counters since its start. seconds: from its start to
    its end. stalled: seconds that it waited for storage. life: what it came to, the run's end
    last. slowdown: its `busy` time as a multiple
    of that in the baseline; None without one. vcpus: of a host of several cores; empty else.
    """

    name: str
    measured: Measured
    accesses: int
    seconds: float
    stalled: float
    busy: float
    series: dict[str, np.ndarray]
    life: tuple[Moment, ...] = ()
    slowdown: float | None = None
    vcpus: tuple[VCPUResult, ...] = ()

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> VMResult:
        """Of a run's plain data, one VM's."""
        kept = ("name", "accesses", "seconds", "stalled", "busy", "slowdown")
        technique = Measured.fields({**plain, "name": plain["technique"].partition(":")[0]})
        return cls(
            **{name: plain[name] for name in kept},
            measured=Measured(**technique),
            series={name: np.array(values, np.int64) for name, values in plain["series"].items()},
            life=tuple(Moment(**moment) for moment in plain["life"]),
            vcpus=tuple(VCPUResult(**vcpu) for vcpu in plain.get("vcpus", ())),
        )

    @property
    def technique(self) -> str:
        """Its spec."""
        return self.measured.technique

    @property
    def counts(self) -> dict[str, int]:
        """Events by name."""
        return self.measured.counts

    @property
    def exits(self) -> dict[str, int]:
        """VM exits by reason."""
        return self.measured.exits

    @property
    def cycles(self) -> dict[str, Range]:
        """By category."""
        return self.measured.cycles


@dataclass(frozen=True)
class Came:
    """VMs of a kind that came and went.

    came, turned_away: VMs; the others found a place. most_at_once: that were there. lives: a
    column for each of `host.arrivals.LIFE`, a row for each that has gone, in that order.
    """

    name: str
    came: int
    turned_away: int
    most_at_once: int
    lives: dict[str, np.ndarray]

    @classmethod
    def of(cls, kind: Arrivals) -> Came:
        """What has become of a kind by now."""
        rows = kind.lives[: kind.ended]
        lives = {name: rows[name].copy() for name in LIFE.names or ()}
        return cls(kind.name, kind.number, kind.turned_away, kind.most_at_once, lives)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Came:
        """What `to_dict` made plain."""
        lives = {name: np.array(of, LIFE[name]) for name, of in plain["lives"].items()}
        return cls(**{**plain, "lives": lives})

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; see docs/results.md."""
        return {**vars(self), "lives": {name: of.tolist() for name, of in self.lives.items()}}


@dataclass(frozen=True, repr=False)
class RunResult(Shown):
    """One run of a scenario.

    variant: which mechanisms were on. seconds: float64[n], when the samples were taken.
    host: int64[n] by name, frames. services: counters by service. end: "finished", or why the
    run ended before its VMs had; report: who held what then. notes: settings and mechanisms
    that did nothing, a sentence each. migrations: one for each. cores: of hosts that have several.
    arrivals: a kind each.
    """

    scenario: str
    variant: str
    seconds: np.ndarray
    host: dict[str, np.ndarray]
    vms: tuple[VMResult, ...]
    services: dict[str, dict[str, float]]
    end: str = "finished"
    report: str = ""
    notes: tuple[str, ...] = ()
    migrations: tuple[Report, ...] = ()
    cores: tuple[CoreResult, ...] = ()
    arrivals: tuple[Came, ...] = ()
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The whole scenario, as plain data."""
        found: dict[str, Any] = self.input["scenario"]
        return found

    def __repr__(self) -> str:
        return f"<run of {self.scenario}, {self.variant}: {len(self.vms)} VMs, {self.end}>"

    def __getitem__(self, name: str) -> VMResult:
        for vm in self.vms:
            if vm.name == name:
                return vm
        raise KeyError(name)

    def total(self, *counters: str) -> int:
        """Events of these names, of all VMs."""
        return sum(int(vm.counts[name]) for vm in self.vms for name in counters)

    @property
    def blocks_moved(self) -> int:
        """Blocks of 4 KiB that paging has read and written, the host's and the guests'."""
        return self.total(*IN_AND_OUT)

    @property
    def saved(self) -> np.ndarray:
        """Frames that merging saves: sites less the frames that they share. int64[n]."""
        sites: np.ndarray = sum(vm.series["merged"] for vm in self.vms) - self.host["merged"]
        return sites

    def mean(self, series: np.ndarray) -> float:
        """Mean of a series over the run's time."""
        steps = np.diff(self.seconds, prepend=0.0)
        whole = float(steps.sum())
        return float((series * steps).sum() / whole) if whole else float(series[-1])

    @property
    def slowdowns(self) -> list[float]:
        """Those of the VMs that have one."""
        return [vm.slowdown for vm in self.vms if vm.slowdown is not None]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> RunResult:
        """What `to_dict` made plain."""
        kept = ("scenario", "variant", "services", "end", "report", "input", "made")
        return cls(
            **{name: plain[name] for name in kept},
            seconds=np.array(plain["seconds"], float),
            host={name: np.array(values, np.int64) for name, values in plain["host"].items()},
            vms=tuple(map(VMResult.from_dict, plain["vms"])),
            notes=tuple(plain["notes"]),
            migrations=tuple(
                Report(**{**one, "rounds": [Round(**each) for each in one["rounds"]]})
                for one in plain["migrations"]
            ),
            cores=tuple(CoreResult(**core) for core in plain.get("cores", ())),
            arrivals=tuple(map(Came.from_dict, plain.get("arrivals", ()))),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; see docs/results.md."""
        vms = []
        for vm in self.vms:
            left_out = ("series", "measured", "life", "vcpus")
            row = {name: value for name, value in vars(vm).items() if name not in left_out}
            row = vm.measured.to_dict() | row
            row["series"] = {name: values.tolist() for name, values in vm.series.items()}
            row["life"] = [asdict(moment) for moment in vm.life]
            if vm.vcpus:
                row["vcpus"] = [asdict(vcpu) for vcpu in vm.vcpus]
            vms.append(row)
        came = {"arrivals": [kind.to_dict() for kind in self.arrivals]} if self.arrivals else {}
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "made": self.made,
            "input": self.input,
            "scenario": self.scenario,
            "variant": self.variant,
            "end": self.end,
            "report": self.report,
            "notes": list(self.notes),
            "seconds": self.seconds.tolist(),
            "host": {name: values.tolist() for name, values in self.host.items()},
            "vms": vms,
            "services": self.services,
            "migrations": [asdict(report) for report in self.migrations],
            **({"cores": [asdict(core) for core in self.cores]} if self.cores else {}),
            **came,
        }


def to_json(results: list[RunResult]) -> str:
    """A list with one object for each variant."""
    return json.dumps([result.to_dict() for result in results], indent=1) + "\n"
