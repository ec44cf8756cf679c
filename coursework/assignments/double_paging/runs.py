"""The host and guest of one student, and what their paging moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmulab.coursework.draws import Draws

if TYPE_CHECKING:
    from mmulab.mmu.scenario.results import RunResult
    from mmulab.mmu.scenario.settings import Scenario

MIB = 1 << 20

#: What may move the additional pages; the first does.
CAUSES = (
    "the guest writes to its disk what the host must first read from its own",
    "the host swaps out the guest's page tables",
    "the guest's pages are too large to be paged by the host",
    "both devices are busy at the same time",
)


def draw(draws: Draws) -> dict[str, Any]:
    """Host memory in MiB, a workload that writes, and the seed of its accesses."""
    host = draws.between(22, 30)
    return {
        "host": host,
        "keys": host * 1700 + draws.between(0, 900),
        "seed": draws.between(1, 10**6),
        "victims": draws.choice(["clock", "random"]),
    }


def scenario(p: Mapping[str, Any]) -> str:
    """The scenario as the student gets it; the guest's memory and balloon are theirs to set."""
    return f"""\
name = "double paging"
seed = {p["seed"]}

[host]
memory = "{p["host"]}M"
preset = "skylake-sp"
ghz = 2.1
swap = "512M"
quantum = 20_000
victims = "{p["victims"]}"

[[vm]]
name = "guest"
memory = "{p["host"] + 6}M"
disk = "512M"
workload = "zipf:keys={p["keys"]},accesses=2M,read=0.5,theta=0.9"
balloon = 0

[balloon]
policy = "fixed"
period = "1ms"
"""


@lru_cache(maxsize=256)
def _run(text: str, memory: int, balloon: int, fitted: bool) -> RunResult:
    from mmulab.mmu.scenario import parsing
    from mmulab.mmu.scenario.run import run
    from mmulab.mmu.scenario.variants import variants
    from mmulab.workloads import of_vm

    loaded: Scenario = parsing.parse(text, "scenario.toml")
    vm = replace(loaded.vms[0], memory=memory * MIB, balloon=balloon * MIB)
    loaded = replace(loaded, vms=(vm,))
    if fitted:
        loaded = variants(loaded)["fitted"]
    elif not balloon:
        loaded = replace(loaded, balloon=None)
    return run(loaded, of_vm)


def moved(p: Mapping[str, Any], memory: int, balloon: int = 0) -> int:
    """Pages that paging moves with a guest of so many MiB and a balloon of so many."""
    return _run(scenario(p), memory, balloon, False).blocks_moved


def double_faults(p: Mapping[str, Any], memory: int) -> int:
    return _run(scenario(p), memory, 0, False).total("double_faults")


def fitted(p: Mapping[str, Any]) -> int:
    """Pages moved by a guest that knows how little there is."""
    return _run(scenario(p), p["host"] + 6, 0, True).blocks_moved


def trigger(p: Mapping[str, Any]) -> int:
    """The guest's memory, of some above the host's, with which paging moves most."""
    return max(range(p["host"] + 2, p["host"] + 15, 2), key=lambda memory: moved(p, memory))


def cure(p: Mapping[str, Any]) -> int:
    """The balloon, of some that leave the guest less than the host has, that moves least."""
    guest = p["host"] + 6
    return min(range(6, 13), key=lambda balloon: moved(p, guest, balloon))


def measured(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The answers that are read off runs of what the student gets."""
    guest = p["host"] + 6
    return {
        "measure": {
            "fitted": fitted(p),
            "none": moved(p, guest),
            "double_faults": double_faults(p, guest),
        },
        "cause": {"why": CAUSES[0], "large": "no"},
    }


def answer(p: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Answers that score full marks, as [part][key]; others may do so too."""
    return {**measured(p), "trigger": {"memory": trigger(p)}, "cure": {"balloon": cure(p)}}
