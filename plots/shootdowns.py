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
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.run import run
from mmulab.plots.figures import MARKERS, SERIES, new_figure, save, tidy
from mmulab.workloads import generators

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESET = "skylake-sp"
CORES = (1, 2, 4, 8, 16)
ROUNDS = 100  # the first half of which warms up
UNMAPS = ("native", "shadow", "nested")
MERGES = ("shadow", "nested")

_LINES = ("-", "-", "--")  # what lies on another line shows
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
    """Of an unmap, INVLPG exits of a shadow-paged guest included."""
    points = []
    preset = presets.load(PRESET)
    for count in cores:
        spec = f"munmap:threads={count},work={_TURN - 1},accesses={count * _TURN * rounds + 1}"
        config = Config(memory=256 << 20, cores=count, caches="off")
        warmup = count * _TURN * (rounds // 2) + 1
        trace = generators.create(spec)
        comparison = simulate.compare(trace, preset, config, list(UNMAPS), warmup)
        for result in comparison.results:
            told = result.cycles.get(SHOOTDOWN, NOTHING)
            cycles = (told + result.cycles["exit_flush"]).over(rounds // 2)
            points.append(Point(result.technique, count, cycles))
    return points


def merges(cores: Sequence[int] = CORES, accesses: int = 200_000) -> list[Point]:
    """Of a page that is merged: what is told with KSM and not without, over what it merged."""
    points = []
    for technique in MERGES:
        for count in cores:
            text = _SCENARIO.format(
                preset=PRESET, cores=count, technique=technique, accesses=accesses
            )
            with_ksm, without = _run(text), _run(text.partition("[ksm]")[0])
            told = (b - a for a, b in zip(_told(without), _told(with_ksm), strict=True))
            merged = max(1, int(with_ksm.services["ksm"]["merges"]))
            points.append(Point(technique, count, Range(*told).over(merged)))
    return points


def _run(text: str) -> RunResult:
    scenario = parsing.parse(text, "merges")
    return run(scenario, lambda vm: generators.create(vm.workload, vm.seed))


def _told(result: RunResult) -> Range:
    return sum((vm.cycles.get(SHOOTDOWN, NOTHING) for vm in result.vms), NOTHING)


def draw(panels: Sequence[tuple[str, Sequence[Point]]]) -> Figure:
    """A panel a kind of change: likely cycles by cores, and their range as a band. One core tells
    nobody."""
    figure = new_figure(4.4 * len(panels), 3.2)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for each, (title, points) in zip(axes, panels, strict=True):
        for number, technique in enumerate(UNMAPS):
            mine = [p for p in points if p.technique == technique and p.cores > 1]
            if not mine:
                continue
            cores = [point.cores for point in mine]
            likely = [point.cycles.likely / 1000 for point in mine]
            low = [point.cycles.low / 1000 for point in mine]
            high = [point.cycles.high / 1000 for point in mine]
            colour = SERIES[number]
            style = {"color": colour, "marker": MARKERS[number], "linestyle": _LINES[number]}
            each.plot(cores, likely, label=technique, **style)
            each.fill_between(cores, low, high, color=colour, alpha=0.12, linewidth=0)
        each.set_title(title, fontsize=9, loc="left")
        each.set_xscale("log", base=2)
        each.set_xticks(CORES[1:], [str(count) for count in CORES[1:]])
        each.set_yscale("log")
        each.set_xlabel("cores", fontsize=8)
        each.legend(fontsize=8, frameon=False, loc="upper left")
        tidy(each)
    axes[0].set_ylabel("thousand cycles, of all cores", fontsize=8)
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
