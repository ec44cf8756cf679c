"""Runs of scenarios that end before they are over, and go on from their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

from mmulab import workloads
from mmulab.mmu.scenario import parsing, run
from mmulab.mmu.scenario.checkpoints import Checkpoints
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.settings import Scenario

#: Two VMs that a balloon, merging and both levels' paging act on, and what the file is called.
PAGING = """
name = "resumed"
[host]
memory = "24M"
swap = "64M"
quantum = 2000
preset = "skylake-sp"
[[vm]]
name = "paging"
memory = "16M"
disk = "64M"
workload = "zipf:keys=20k,accesses=60k"
[[vm]]
name = "shadowed"
technique = "shadow:policy=trap"
memory = "16M"
workload = "microchurn:accesses=40k"
[balloon]
period = "1ms"
[ksm]
sleep = "1ms"
"""

#: A VM that is frozen, saved and resumed, and clones: one of the VM, one of its snapshot.
COPIED = """
name = "copied"
[host]
memory = "32M"
swap = "32M"
quantum = 1000
preset = "skylake-sp"
[[vm]]
name = "a"
memory = "8M"
workload = "zipf:keys=8k,accesses=60k"
[[vm]]
name = "b"
clone_of = "a@first"
start = "3ms"
[[vm]]
name = "c"
clone_of = "a"
start = "3ms"
workload = "zipf:keys=4k,accesses=20k"
[[event]]
at = "1ms"
vm = "a"
do = "snapshot"
snapshot = "first"
to = "disk"
[[event]]
at = "4ms"
vm = "a"
do = "suspend"
to = "disk"
[[event]]
at = "6ms"
vm = "a"
do = "resume"
restore = "lazy"
[[event]]
at = "8ms"
vm = "a"
do = "restore"
snapshot = "first"
"""

#: A VM that moves to another host while it runs.
MOVED = """
name = "moved"
[[host]]
name = "left"
memory = "24M"
preset = "skylake-sp"
quantum = 1000
[[host]]
name = "right"
memory = "24M"
preset = "skylake-sp"
quantum = 1000
[[vm]]
name = "web"
host = "left"
memory = "16M"
workload = "guest:size=8M,accesses=400k,write=0.02"
[[vm]]
name = "other"
host = "right"
memory = "8M"
technique = "shadow"
workload = "gups:size=2M,accesses=40k"
[[event]]
at = "2ms"
vm = "web"
do = "migrate"
to = "right"
method = "METHOD"
bandwidth = "2G"
"""

#: VMs that come and go: some boot, some are copies of a template.
COMING = """
name = "coming"
[host]
memory = "48M"
preset = "skylake-sp"
quantum = 1000
[[vm]]
name = "base"
memory = "8M"
workload = "guest:size=4M,accesses=4k"
[[event]]
at = "2ms"
vm = "base"
do = "template"
[[arrivals]]
name = "boots"
memory = "8M"
disk = "8M"
workload = "zipf:keys=4k,accesses=4k"
pattern = "diurnal"
day = "10ms"
rate = 2000
count = 30
lifetime = "2ms"
places = 4
[[arrivals]]
name = "copies"
clone_of = "base"
start = "3ms"
workload = "zipf:keys=2k,accesses=2k"
rate = 2000
count = 30
lifetime = "2ms"
places = 3
"""

#: Three VMs of two vCPUs on three cores, whose threads unmap what all have used.
CORES = """
name = "cores"
[host]
memory = "64M"
cores = 3
quantum = 700
scheduler = "credit"
preset = "skylake-sp"
[[vm]]
count = 3
memory = "8M"
vcpus = 2
remote_flush = "preempted"
workload = "munmap:threads=2,work=200,accesses=20K"
"""

#: By name.
SCENARIOS = {
    "cores": CORES,
    "paging": PAGING,
    "two cores that page": PAGING.replace("[host]", "[host]\ncores = 2").replace(
        "disk =", "vcpus = 2\ndisk ="
    ),
    "copied": COPIED,
    "coming": COMING,
    "pre-copy": MOVED.replace("METHOD", "pre-copy"),
    "post-copy": MOVED.replace("METHOD", "post-copy"),
}


AS_GIVEN = "as given"  # the variant of `mmulab run`


class Broken(BaseException):
    """A run is ended here."""


def scenario(name: str) -> Scenario:
    return parsing.parse(SCENARIOS[name], f"{name}.toml")


def plain(result: RunResult) -> str:
    """All of a result but when it was made."""
    found = result.to_dict()
    del found["made"]
    return json.dumps(found)


def whole(of: Scenario) -> tuple[str, int]:
    """(what a run comes to, its turns)."""
    turns = []
    return plain(run.run(of, workloads.of_vm, AS_GIVEN, progress=turns.append)), len(turns)


def broken_off(of: Scenario, turn: int, path: Path, resume: Path | None = None) -> bool:
    """A run whose last checkpoint is of its turn of a number, counted from where it begins. False
    where it ends before."""
    left = [turn]

    def count(_accesses: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            kept.soon()
        if left[0] < 0:
            raise Broken

    kept = Checkpoints(path, 1e9, resume)
    try:
        run.run(of, workloads.of_vm, AS_GIVEN, progress=count, checkpoints=kept)
    except Broken:
        return True
    return False


def resumed(of: Scenario, path: Path) -> str:
    """What a run comes to that goes on from a checkpoint."""
    kept = Checkpoints(path, 1e9, path)
    return plain(run.run(of, workloads.of_vm, AS_GIVEN, checkpoints=kept))
