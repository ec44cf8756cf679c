"""What telling other cores costs, by how many there are.

    python -m mmulab.plots.shootdowns docs/lives-shootdowns.svg

draws the figure of docs/lives.md and prints its numbers: an unmap by one of as many threads as
there are cores, and a page that KSM merges in a VM of as many vCPUs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.report.cost import NOTHING, SHOOTDOWN, Range
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import run
from mmulab.plots.figures import MARKERS, SERIES, new_figure, save, tidy
from mmulab.workloads import generators

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESET = "skylake-sp"
CORES = (1, 2, 4, 8, 16)
ROUNDS = 50
UNMAPS = ("native", "shadow", "nested")
MERGES = ("shadow", "nested")

#: munmap of a page on so many cores of a machine of two sockets, in microseconds, Linux 4.10: Kumar
#: et al., Latr, ASPLOS 2018, as recalled; the paper's abstract alone was read.
LATR = {16: 8.0}

_TURN = 101  # accesses of a thread, one of them to the page that is unmapped

_SCENARIO = """
[host]
memory = "128M"
preset = "{preset}"
cores = {cores}

[[vm]]
name = "vm"
count = 2
memory = "24M"
vcpus = {cores}
technique = "{technique}"
seed = 1
workload = "munmap:threads={cores},pages=1000,heap=4M,work=4000,accesses={accesses}"

[ksm]
pages_to_scan = 2000
sleep = "1ms"
smart_scan = false
"""


class Point(NamedTuple):
    """cycles: of all cores, what one change costs in telling and being told."""

    technique: str
    cores: int
    cycles: Range


def unmaps(cores: Sequence[int] = CORES, rounds: int = ROUNDS) -> list[Point]:
    """Of an unmap, the INVLPG exits of a shadow-paged guest's other vCPUs included."""
    points = []
    preset = presets.load(PRESET)
    for count in cores:
        spec = f"munmap:threads={count},work={_TURN - 1},accesses={count * _TURN * rounds + 1}"
        config = Config(memory=256 << 20, cores=count, caches="off")
        comparison = simulate.compare(generators.create(spec), preset, config, list(UNMAPS))
        for result in comparison.results:
            told = result.cycles.get(SHOOTDOWN, NOTHING)
            cycles = (told + result.cycles["exit_flush"]).over(rounds)
            points.append(Point(result.technique, count, cycles))
    return points


def merges(cores: Sequence[int] = CORES, accesses: int = 200_000) -> list[Point]:
    """Of a page that is merged: all that is told while KSM works, over the pages that it merged."""
    points = []
    for technique in MERGES:
        for count in cores:
            text = _SCENARIO.format(
                preset=PRESET, cores=count, technique=technique, accesses=accesses
            )
            result = run(
                parsing.parse(text, "merges"), lambda vm: generators.create(vm.workload, vm.seed)
            )
            told = sum((vm.cycles.get(SHOOTDOWN, NOTHING) for vm in result.vms), NOTHING)
            merged = max(1, int(result.services["ksm"]["pages_merged"]))
            points.append(Point(technique, count, told.over(merged)))
    return points


def draw(panels: Sequence[tuple[str, Sequence[Point]]]) -> Figure:
    """A panel a kind of change: likely cycles by cores, and their range as a band."""
    figure = new_figure(4.4 * len(panels), 3.2)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for each, (title, points) in zip(axes, panels, strict=True):
        for number, technique in enumerate(dict.fromkeys(point.technique for point in points)):
            mine = [point for point in points if point.technique == technique]
            cores = [point.cores for point in mine]
            likely = [point.cycles.likely / 1000 for point in mine]
            low = [point.cycles.low / 1000 for point in mine]
            high = [point.cycles.high / 1000 for point in mine]
            colour = SERIES[number]
            each.plot(cores, likely, color=colour, marker=MARKERS[number], label=technique)
            each.fill_between(cores, low, high, color=colour, alpha=0.12, linewidth=0)
        each.set_title(title, fontsize=9, loc="left")
        each.set_xscale("log", base=2)
        each.set_xticks(CORES, [str(count) for count in CORES])
        each.set_ylim(0)
        each.set_xlabel("cores", fontsize=8)
        each.set_ylabel("thousand cycles, of all cores", fontsize=8)
        each.legend(fontsize=8, frameon=False)
        tidy(each)
    return figure


def main() -> None:
    panels = [
        ("an unmap of a page that all cores have used", unmaps()),
        ("a page merged by KSM in a VM that uses all cores", merges()),
    ]
    for title, points in panels:
        print(title)
        for point in points:
            low, likely, high = point.cycles
            print(f"  {point.technique:<8}{point.cores:>3} cores{likely:>12,.0f} cycles"
                  f"   {low:,.0f} to {high:,.0f}")  # fmt: skip
    save(draw(panels), sys.argv[1])


if __name__ == "__main__":
    main()
