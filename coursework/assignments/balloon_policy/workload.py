"""Four VMs whose programs need much memory at times and little at others, on one small host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from mmulab.coursework.draws import Draws
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.policies.files import Targets
from mmulab.mmu.trace import EVENT, LOAD, MMAP, PROT_READ, PROT_WRITE, STORE, Chunk, Trace
from mmulab.workloads.generators.parameters import ARENA

PAGE = 4096
MIB = 1 << 20
VMS, PHASES = 4, 4

#: Bytes: of each guest, its disk, the host and its swap device.
GUEST, DISK, HOST, SWAP = 8 * MIB, 64 * MIB, 20 * MIB, 128 * MIB

#: Bytes of hosts that have room for all guests and their tables, and for no shortage ever.
ROOMY, AMPLE = 40 * MIB, 64 * MIB

#: Pages that each program touches at first; the guest's kernel needs some of the rest.
TOUCHED = 1900

#: Pages that a program works on in a phase, from and to, where it needs much and where little:
#: three that need much at once, as can happen where phases overlap, still fit.
BUSY, QUIET = (1250, 1400), (200, 400)

#: Cycles of an access: each stands for 9.5 us of a program's work, so that seconds of it can be
#: simulated at once.
WORK = 20_000
GHZ = 2.1
QUANTUM = 200

PERIOD, SAMPLE_PERIOD = 0.020, 0.100  # seconds

#: Part of a program's accesses that store: an assumption.
STORES = 0.3


def draw_phases(draws: Draws) -> list[list[dict[str, int]]]:
    """For each VM its phases: pages that it works on, and accesses. Plain data.

    In each phase at least one VM needs much memory and at most two do; each does at least
    once. All together need less than the host has.
    """
    busy = [{vm} for vm in draws.shuffled(range(VMS))]
    for phase in draws.sample(range(PHASES), 2):
        others = [vm for vm in range(VMS) if vm not in busy[phase]]
        busy[phase].add(draws.choice(others))
    return [
        [
            {
                "pages": draws.between(*(BUSY if vm in busy[phase] else QUIET)),
                "accesses": 100 * draws.between(400, 500),
            }
            for phase in range(PHASES)
        ]
        for vm in range(VMS)
    ]


class Phases:
    """The workload of one VM: it touches all its pages, and then works on the first so many of
    them, each as likely as any other, phase by phase."""

    def __init__(self, name: str, phases: Sequence[Mapping[str, int]], seed: int) -> None:
        self.name = name
        self.phases = phases
        self.seed = seed
        self.length: int | None = TOUCHED + sum(phase["accesses"] for phase in phases)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        rng = np.random.default_rng(self.seed)
        pages = [np.arange(TOUCHED)]
        pages += [rng.integers(0, phase["pages"], phase["accesses"]) for phase in self.phases]
        page = np.concatenate(pages).astype(np.int64)
        kind = np.where(rng.random(len(page)) < STORES, STORE, LOAD).astype(np.uint8)
        kind[:TOUCHED] = STORE
        mapping = np.zeros(1, EVENT)
        mapping["kind"], mapping["pid"], mapping["start"] = MMAP, 1, ARENA
        mapping["length"], mapping["value"] = TOUCHED * PAGE, PROT_READ | PROT_WRITE
        yield Chunk(ARENA + page * PAGE, kind, np.full(len(page), 8, np.uint16), mapping)


def run(
    phases: Sequence[Sequence[Mapping[str, int]]],
    seed: int,
    balloon: BalloonSettings | None = None,
    policy: Targets | None = None,
    host: int = HOST,
) -> RunResult:
    """Runs the VMs on a host of so many bytes."""
    from mmulab.mmu.scenario import run as runner

    traces: dict[str, Trace] = {
        f"vm{number}": Phases(f"vm{number}", each, seed + number)
        for number, each in enumerate(phases, start=1)
    }
    vms = tuple(VMSettings(name=name, workload=name, memory=GUEST, disk=DISK) for name in traces)
    settings = HostSettings(
        memory=host,
        preset="skylake-sp",
        ghz=GHZ,
        swap=SWAP,
        quantum=QUANTUM,
        victims="random",  # Waldspurger, OSDI 2002, section 3: random, as nothing better is known
        set=(("cost.work_per_access", str(WORK)),),
    )
    scenario = Scenario("balloon-policy", settings, vms, balloon=balloon, seed=seed)
    return runner.run(scenario, lambda vm: traces[vm.workload], balloon_policy=policy)


def settings(policy: str) -> BalloonSettings:
    return BalloonSettings(policy, period=PERIOD, sample_period=SAMPLE_PERIOD)
