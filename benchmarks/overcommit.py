"""A crowded host: 16 VMs of 4 GiB on 16 GiB, 500 M accesses in all.

    python benchmarks/overcommit.py [ACCESSES] [--tiny]

Prints seconds and peak memory of the run, and what part of the time the services (balloon,
ksmd) took; kernels are compiled before, by a small run. The aim is 5 minutes, 3 GB, 20 %.
"""

from __future__ import annotations

import resource
import time
from typing import Any

from tiny import ARGUMENTS, TINY

from mmulab.mmu.host.system import System

SCENARIO = """
name = "sixteen on sixteen"
[host]
memory = "16G"
swap = "64G"
[[vm]]
name = "vm"
count = 16
memory = "4G"
disk = "8G"
workload = "zipf:keys=5M,value=256,accesses={accesses},read=0.8"
[balloon]
period = "50ms"
sample_period = "100ms"
[ksm]
pages_to_scan = 1000
sleep = "5ms"
"""


def timed(services: list[Any]) -> list[float]:
    """Makes each service's ticks add to a list of seconds."""
    spent: list[float] = []
    for service in services:

        def tick(system: System, inner: Any = service.tick) -> None:
            began = time.perf_counter()
            inner(system)
            spent.append(time.perf_counter() - began)

        service.tick = tick
    return spent


def main(accesses: int) -> None:
    """Runs the scenario, a small part of it first."""
    small = SCENARIO.replace('"16G"', '"96M"').replace('"4G"', '"24M"').replace("5M", "50k")
    run(small.format(accesses=accesses // 1600), say=TINY)
    if not TINY:
        run(SCENARIO.format(accesses=accesses // 16), say=True)


def run(text: str, say: bool) -> None:
    """Runs a scenario and prints what it took."""
    from mmulab.mmu.scenario import parsing
    from mmulab.mmu.scenario.run import build
    from mmulab.workloads import of_vm

    scenario = parsing.parse(text, "benchmark")
    began = time.perf_counter()
    system = build(scenario, of_vm)
    spent = timed(system.services)
    while system.step():
        pass
    seconds = time.perf_counter() - began
    done = sum(guest.accesses for guest in system.guests)
    if not say:
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done / 1e6:,.0f} M accesses in {seconds:,.1f} s, {done / seconds / 1e6:.1f} M/s")
    print(f"peak memory {peak:,.0f} MB; services {100 * sum(spent) / seconds:.1f} % of the time")
    print(f"simulated {system.now:.2f} s; host frames free {system.free:,} of {system.total:,}")


if __name__ == "__main__":
    main(int(ARGUMENTS[0]) if ARGUMENTS else 500_000_000)
