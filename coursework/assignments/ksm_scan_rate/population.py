"""The pages of one student's VMs, and what ksmd makes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmulab.coursework.draws import Draws

if TYPE_CHECKING:
    from mmulab.mmu.trace import Chunk

BASE = 0x7F00_0000_0000
PAGE = 4096

#: The real ksmd's default, which no content of the first part reaches.
DEFAULT_LIMIT = 256


def draw(draws: Draws) -> dict[str, Any]:
    """Pages by kind in each of some VMs; rates for the questions on time and cost."""
    vms = draws.between(3, 6)
    batch = draws.between(2, 9) * 50
    return {
        "vms": vms,
        "shared": draws.between(20, 60),  # equal in all VMs, all different in one
        "zeros": draws.between(5, 30),  # in each VM
        "twins": draws.between(4, 15),  # contents of which each VM has two pages of its own
        "unique": draws.between(30, 90),
        "limit": draws.between(3, 7),
        "copies": draws.between(20, 90),  # of one content, in the part on the limit
        "pages": draws.between(200, 900) * 1000,
        "batch": batch,
        "sleep_ms": draws.choice([10, 20, 25, 40, 50]),
        "cycles": draws.between(8, 30) * 100,
        "ghz_tenths": draws.between(20, 40),
        "budget_percent": draws.between(2, 9),
        "saved": draws.between(40, 120) * 1000,
        "breaks": draws.between(5, 40),
        "break_cycles": draws.between(30, 70) * 100,
    }


def contents(p: Mapping[str, Any]) -> list[list[int]]:
    """What the pages of each VM hold, as tags."""
    shared, twins, unique = p["shared"], p["twins"], p["unique"]
    vms = []
    for vm in range(p["vms"]):
        own = 1_000_000 * (vm + 1)
        vms.append(
            list(range(1, shared + 1))
            + [0] * p["zeros"]
            + [own + number // 2 for number in range(2 * twins)]
            + [own + 500_000 + number for number in range(unique)]
        )
    return vms


class _Filled:
    """A guest that fills its pages and then does nothing."""

    name = "filled pages"
    length = 0

    def __init__(self, tags: list[int]) -> None:
        self.tags = tags

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        import numpy as np

        from mmulab.mmu.trace import CONTENT, EVENT, Chunk

        events = np.zeros(len(self.tags), EVENT)
        events["kind"], events["pid"], events["length"] = CONTENT, 1, PAGE
        events["start"] = BASE + PAGE * np.arange(len(self.tags))
        events["value"] = self.tags
        nothing = np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint16)
        yield Chunk(*nothing, events)


def scanned(vms: list[list[int]], limit: int, scans: int) -> dict[str, float]:
    """ksmd's counters after some full scans of VMs that hold these tags, by the simulator."""
    from mmulab.mmu.host.settings import HostSettings, VMSettings
    from mmulab.mmu.host.system import System
    from mmulab.mmu.services.ksm import KSM, KSMSettings

    names = [f"vm{number}" for number in range(len(vms))]
    tags = dict(zip(names, vms, strict=True))
    settings = KSMSettings(max_page_sharing=limit, smart_scan=False)
    machines = tuple(VMSettings(name=name, workload="-", memory=4 << 20) for name in names)
    host = HostSettings(memory=64 << 20)
    system = System(host, machines, 1, lambda vm: _Filled(tags[vm.name]))
    while system.step():
        pass
    ksm = KSM(settings, system)
    while ksm.full_scans < scans:
        ksm.scan(system, 1 << 20)
    return ksm.counters(system)


def converged(vms: list[list[int]], limit: int) -> tuple[int, dict[str, float]]:
    """(full scans after which nothing changes any more, the counters then)."""
    names = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
    final = scanned(vms, limit, 8)
    for scans in range(1, 8):
        counters = scanned(vms, limit, scans)
        if all(counters[name] == final[name] for name in names):
            return scans, counters
    return 8, final


def answer(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The right answers, as [part][key]; counters are the simulator's."""
    vms = contents(p)
    scans, counters = converged(vms, DEFAULT_LIMIT)
    _, limited = converged([[7] * p["copies"]], p["limit"])
    hertz = p["ghz_tenths"] * 1e8
    sleep = p["sleep_ms"] / 1000
    batches = -(-p["pages"] // p["batch"])
    share = p["batch"] * p["cycles"] / hertz / sleep
    largest = int(p["budget_percent"] / 100 * hertz * sleep / p["cycles"])
    return {
        "counters": {
            name: int(counters[f"pages_{name}"]) for name in ("shared", "sharing", "unshared")
        },
        "scans": {
            "first": int(scanned(vms, DEFAULT_LIMIT, 1)["pages_sharing"]),
            "needed": scans,
        },
        "limit": {
            "shared": int(limited["pages_shared"]),
            "sharing": int(limited["pages_sharing"]),
        },
        "time": {"scan": batches * sleep, "merge": 2 * batches * sleep},
        "cost": {
            "cpu": 100 * share,
            "largest": largest,
            "breaks": 100 * p["breaks"] * 1000 * p["break_cycles"] / hertz,
        },
    }
