"""The public functions of mmulab: what the commands do.

Arguments are what the command line takes, as texts, or the values that the texts stand for.
Everything is imported where it is used, so that importing this module is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mmulab.arguments import (
    PAGE_SIZES,
    Machine,
    address,
    checkpoints,
    geometry,
    listed,
    machine,
    number,
    pairs,
    settle,
)
from mmulab.mmu.config import TECHNIQUES
from mmulab.mmu.config.units import parse_bytes, parse_count
from mmulab.mmu.errors import InputError, check_choice, unknown
from mmulab.mmu.presets import DEFAULT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from mmulab.arguments import Listed, PathLike, Settings
    from mmulab.mmu.by_hand.walkthrough import Walk
    from mmulab.mmu.presets.preset import Preset
    from mmulab.mmu.report.results import Comparison
    from mmulab.mmu.sampling.results import Estimates
    from mmulab.mmu.scenario.checkpoints import Checkpoints
    from mmulab.mmu.scenario.results import RunResult
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.mmu.tlb_stream.levels import Geometry
    from mmulab.mmu.trace import Trace
    from mmulab.plots.results import Result
    from mmulab.workloads.analysis.blame import Blame
    from mmulab.workloads.analysis.geometries import Geometries
    from mmulab.workloads.analysis.miss_ratio import MissRatios
    from mmulab.workloads.analysis.page_sharing import Report
    from mmulab.workloads.analysis.summary import TraceInfo
    from mmulab.workloads.probes.calibrated import Calibrated
    from mmulab.workloads.probes.validation import Validation

    Progress = Callable[[int], None]


def trace(
    source: PathLike | Trace, *, format: str | None = None, seed: int = 1, levels: int = 4
) -> Trace:
    """The trace that a TRACE of the command line stands for.

    source: a generator such as "gups:size=1G,accesses=20M", a file, "-" for standard input,
    "@name" for a trace that comes with the package, a path, or a trace: any object with a
    name, a length (None: not known) and chunks (see `mmulab.Trace`), which is returned as it
    is. format: of the file; told by its content unless given. seed: of a generator. levels:
    of the page table in whose address space the addresses must lie, 4 or 5.

    Raises InputError where there is neither a file nor a generator of that name.
    """
    from mmulab import workloads

    va_bits = 12 + 9 * levels
    if isinstance(source, str):
        return workloads.resolve(source, format=format, seed=seed, va_bits=va_bits)
    if isinstance(source, os.PathLike):
        return workloads.open_trace(os.fspath(source), format, va_bits)
    if not callable(getattr(source, "chunks", None)):
        raise InputError(
            f"a trace of type {type(source).__name__}: expected a text such as gups:size=1G, "
            "a path, or an object with name, length and chunks"
        )
    return source


def preset(name: PathLike, *, set: Settings = ()) -> Preset:
    """A processor: its geometry, costs and features, each number with its source.

    name: one of `presets()`, or a preset file, NAME.toml. set: what to change,
    {"cost.vm_exit": 2000}, {"cost": {"vm_exit": 2000}} or ["cost.vm_exit=2000"].

    Raises InputError for an unknown name or key, with the nearest, or a bad value.
    """
    return machine(name, pairs(set), {})[0]


def presets() -> tuple[str, ...]:
    """Names of the processors, oldest first."""
    from mmulab.mmu import presets as known

    return known.names()


def compare(
    trace: PathLike | Trace,
    *,
    techniques: Listed = TECHNIQUES,
    preset: PathLike | Preset = DEFAULT,
    set: Settings = (),
    warmup: int | str = 0,
    format: str | None = None,
    check: bool = False,
    progress: Progress | None = None,
    **options: Unpack[Machine],
) -> Comparison:
    """Runs a trace through translation techniques side by side: `mmulab compare`.

    trace, format: see `trace`. techniques: specs such as "shadow:policy=trap", or a text of
    some with commas, in the order of the results. preset, set: see `preset`. warmup: accesses
    at the beginning that are simulated but not counted, a number or "1M"; "auto": as many as go by
    until all but a twentieth of memory's first touches are over, at most half. check: verify the
    simulator's invariants as it runs (slow). progress: called now and then with the number of
    accesses read so far. options: the machine, as the options of the command: memory,
    host_memory, page_size, host_page_size, levels, host_levels, shadow_policy,
    guest_allocator, guest_thp, pcid, vpid, ept_ad, walk_caches, caches, llc, seed, guest_tables,
    host_tables, cores.

    Raises InputError for a bad trace or option, RunError where a run cannot go on.
    """
    from mmulab.mmu import simulate

    specs = techniques if isinstance(techniques, str) else list(techniques)
    chosen, config = machine(preset, pairs(set), options, specs)
    source = _trace(trace, format=format, seed=config.seed, levels=config.levels)
    skipped: Any = warmup if warmup == "auto" else number("warmup", warmup, parse_count)
    return simulate.compare(source, chosen, config, specs, skipped, check, progress)


def estimate(
    trace: PathLike | Trace,
    intervals: str = "smarts",
    *,
    techniques: Listed = TECHNIQUES,
    preset: PathLike | Preset = DEFAULT,
    set: Settings = (),
    warmup: int | str = 0,
    jobs: int | None = None,
    format: str | None = None,
    check: bool = False,
    progress: Progress | None = None,
    **options: Unpack[Machine],
) -> Estimates:
    """What `compare` would count, from a sample of a long trace: `mmulab compare --intervals`.

    intervals: how to sample, "smarts:units=200" or "simpoint:each=3" (docs/studies.md). warmup:
    accesses at the beginning that the estimates leave out. jobs: processes that share the sample's
    parts, as many as there are cores unless given; in a script, several need the caller to stand
    below `if __name__ == "__main__":`. The others: as for `compare`.

    Raises InputError for a bad trace or option, RunError where a run cannot go on.
    """
    from mmulab.mmu.sampling import sampled

    specs = techniques if isinstance(techniques, str) else list(techniques)
    chosen, config = machine(preset, pairs(set), options, specs)
    source = _trace(trace, format=format, seed=config.seed, levels=config.levels)
    skipped: Any = warmup if warmup == "auto" else number("warmup", warmup, parse_count)
    return sampled.estimate(
        source, chosen, config, specs, intervals, skipped, jobs, check, progress
    )


_trace = trace  # where a parameter has the name


def walk(
    gva: int | str,
    technique: str = "nested",
    *,
    preset: PathLike | Preset = DEFAULT,
    set: Settings = (),
    store: bool = False,
    **options: Unpack[Machine],
) -> Walk:
    """Every memory reference of one page walk, in order: `mmulab walk`.

    gva: a guest-virtual address, a number or a text such as "0x7f1234567000". preset, set,
    options: as for `compare`, but there are no walk caches unless walk_caches=True. store:
    walk for a store, which sets D bits.

    The page has been touched once; nothing is cached but, with walk caches, what the walk
    itself caches. Raises InputError for an address that is not canonical or a bad option.
    """
    from mmulab.mmu.by_hand import walkthrough

    chosen, config = machine(preset, pairs(set), {"walk_caches": False, **options}, [technique])
    return walkthrough.walk(address(gva), technique, chosen, config, store)


@overload
def run(
    scenario: PathLike | Scenario,
    *,
    compare: Literal[False] = False,
    technique: str | None = None,
    set: Settings = (),
    check: bool = False,
    progress: Progress | None = None,
    checkpoint: PathLike | Checkpoints | None = None,
    every: float | str = "10min",
    resume: PathLike | None = None,
) -> RunResult: ...
@overload
def run(
    scenario: PathLike | Scenario,
    *,
    compare: Literal[True],
    technique: str | None = None,
    set: Settings = (),
    check: bool = False,
    progress: Progress | None = None,
    checkpoint: PathLike | Checkpoints | None = None,
    every: float | str = "10min",
    resume: PathLike | None = None,
) -> list[RunResult]: ...
def run(
    scenario: PathLike | Scenario,
    *,
    compare: bool = False,
    technique: str | None = None,
    set: Settings = (),
    check: bool = False,
    progress: Progress | None = None,
    checkpoint: PathLike | Checkpoints | None = None,
    every: float | str = "10min",
    resume: PathLike | None = None,
) -> RunResult | list[RunResult]:
    """Runs several VMs on one host with less memory than they believe: `mmulab run`.

    scenario: a TOML file (docs/overcommit.md), "@name" for one that comes with the package,
    or a Scenario. compare: also without mechanisms, with each alone, with guests fitted to
    the host, and on a host with memory for all; gives a list of the results. technique: for
    every VM, "shadow" or "nested". set: settings to change, as {"host.memory": "8G"} or
    ["vm.NAME.shares=2000"]. check: verify the invariants after every turn; slow. progress:
    called with the accesses made so far. checkpoint: a file that keeps the state of the run as
    it goes on, or `arguments.checkpoints` for several runs; every: of this machine's time,
    between two. resume: a checkpoint of the same run to go on from.

    Raises InputError for a bad scenario, setting, trace or checkpoint, RunError where a guest
    cannot go on. A host that runs out of memory ends the run: the result's `end` says so.
    """
    from mmulab.mmu.scenario import run as runner
    from mmulab.workloads import of_vm

    settled = settle(scenario, pairs(set), technique)
    kept = checkpoints(checkpoint, every, resume)
    if compare:
        return runner.compare(settled, of_vm, check, progress, kept)
    return runner.run(settled, of_vm, "as given", check, progress, checkpoints=kept)


def miss_ratio(
    trace: PathLike | Trace,
    *,
    page_sizes: Listed = "4k,2m,1g",
    sample: float = 1.0,
    warmup: int | str = 0,
    max: int | str | None = None,
    format: str | None = None,
    seed: int = 1,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> MissRatios:
    """Miss ratio of a fully associative LRU TLB of every size, in one pass: `mmulab mrc`.

    trace, format, seed: see `trace`. page_sizes: names, or a text with commas. sample: part
    of the pages that is followed (SHARDS); 1 is exact. warmup: accesses to leave out at the
    beginning. max: accesses to take, all unless given. jobs: cores to use, those that there
    are unless given; results are the same. progress: called with the accesses read so far.

    Raises InputError for a bad trace, page size or rate.
    """
    from mmulab.workloads.analysis import miss_ratio as analysis

    skipped = number("warmup", warmup, parse_count)
    most = None if max is None else number("max", max, parse_count)
    source = _trace(trace, format=format, seed=seed, levels=5)
    return analysis.measure(source, listed(page_sizes), sample, skipped, most, progress, jobs)


def geometries(
    trace: PathLike | Trace,
    *,
    sets: int = 4096,
    ways: int = 16,
    l1: str | Geometry | None = None,
    page_sizes: Listed = "4k",
    warmup: int | str = 0,
    max: int | str | None = None,
    ignore_invalidations: bool = False,
    format: str | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> Geometries:
    """Misses of every LRU TLB of up to so many sets and ways, in one pass: `mmulab mrc --sets`.

    sets: a power of two. l1: an LRU TLB in front, "16x4" for 16 sets of 4 ways; what it serves is
    not looked up. ignore_invalidations: take the trace as though no event took translations away.
    The others: as for `miss_ratio`.

    Raises InputError for a bad trace, page size or geometry, and for a trace with such events.
    """
    from mmulab.workloads.analysis import geometries as analysis

    skipped = number("warmup", warmup, parse_count)
    most = None if max is None else number("max", max, parse_count)
    front = geometry(l1) if isinstance(l1, str) else l1
    source = _trace(trace, format=format, seed=seed, levels=5)
    return analysis.measure(
        source, listed(page_sizes), sets, ways, front, skipped, most, ignore_invalidations, progress
    )


def blame(
    trace: PathLike | Trace,
    by: str = "region",
    *,
    technique: str = "nested",
    range: int | str = "2M",
    preset: PathLike | Preset = DEFAULT,
    set: Settings = (),
    warmup: int | str = 0,
    max: int | str | None = None,
    format: str | None = None,
    progress: Progress | None = None,
    **options: Unpack[Machine],
) -> Blame:
    """Which data or instructions TLB misses and page walks come from: `mmulab blame`.

    by: "region" (heap, stack, mapped code and so on, by the trace's events), "range" (of so many
    bytes, `range`) or "ip" (instructions, where the trace has them). technique: its spec. warmup:
    accesses at the beginning that are not counted. max: accesses that are. The others: as for
    `compare`.

    Raises InputError for a bad trace or option, RunError where the run cannot go on.
    """
    from mmulab.workloads.analysis import blame as analysis

    check_choice("by", by, analysis.BY)
    chosen, config = machine(preset, pairs(set), options, [technique])
    source = _trace(trace, format=format, seed=config.seed, levels=config.levels)
    size = number("range", range, parse_bytes)
    skipped = number("warmup", warmup, parse_count)
    most = None if max is None else number("max", max, parse_count)
    return analysis.measure(source, chosen, config, technique, by, size, skipped, most, progress)


def trace_info(
    trace: PathLike | Trace,
    *,
    format: str | None = None,
    seed: int = 1,
    window: int | None = None,
    progress: Progress | None = None,
) -> TraceInfo:
    """What a trace is like: footprint, reuse, working set, regions: `mmulab trace info`.

    trace, format, seed: see `trace`. window: accesses of an interval of the working set; by the
    trace's length unless given. progress: called with the accesses read so far. Raises
    InputError for a bad trace.
    """
    from mmulab.workloads.analysis import summary

    source = _trace(trace, format=format, seed=seed, levels=5)
    return summary.summarise(source, progress, window)


def dedup(
    files: PathLike | Sequence[PathLike],
    *,
    page_sizes: Listed = "4k,2m",
    progress: Progress | None = None,
) -> Report:
    """Equal pages in memory images, within each and in all of them: `mmulab dedup`.

    files: ELF cores, LiME dumps, or any files as they are; each is a VM. page_sizes: "4k",
    "2m" or both. progress: called with the pages read so far.

    Raises InputError for a bad file or page size.
    """
    sizes = [size.lower() for size in listed(page_sizes)]
    for size in sizes:
        if size not in PAGE_SIZES:
            raise unknown("page size", size, PAGE_SIZES)
    if not sizes:
        raise InputError("no page size; expected 4k, 2m or both")
    from mmulab.workloads.analysis import page_sharing

    several = [files] if isinstance(files, (str, os.PathLike)) else files
    return page_sharing.measure([os.fspath(file) for file in several], sizes, progress)


def calibrate(
    *, seconds: float = 90, base: PathLike | None = None, progress: Progress | None = None
) -> Calibrated:
    """Measures the machine that this runs on, as a preset: `mmulab calibrate`.

    seconds: for the probes, 1 to 150; below 20 there are fewer and smaller sizes. base: the
    preset that what can't be measured is taken from; the nearest to the processor unless given.
    progress: called with the percent that are over.

    Raises InputError for bad seconds or an unknown base, RunError where the machine can't be
    measured: it is no Linux, or has too little memory free.
    """
    from mmulab.workloads.probes import calibrated

    return calibrated.calibrate(seconds, os.fspath(base) if base else None, progress)


def validate(
    *, preset: PathLike | Preset = DEFAULT, set: Settings = (), seconds: float = 60,
    progress: Progress | None = None,
) -> Validation:  # fmt: skip
    """Runs workloads for real and simulated, and compares their times: `mmulab validate`.

    preset, set: see `preset`. seconds: for what is measured, 1 to 600; below 20 with fewer
    accesses. progress: called with the percent that are over.

    Raises what `calibrate` does.
    """
    from mmulab.workloads.probes import validation

    chosen, _ = machine(preset, pairs(set), {})
    return validation.Measured(seconds, progress).against(chosen)


def table(result: Result | Sequence[Result]) -> str:
    """A result as the command prints it, in plain text.

    result: of `compare`, `walk`, `run`, `miss_ratio`, `trace_info`, `dedup`, `preset`, `calibrate`
    or `validate`, or a list of one kind. Raises InputError for anything else.
    """
    from mmulab.plots import results

    return results.table(result)


def plot(result: Result | Sequence[Result], path: PathLike | None = None) -> Figure:
    """Draws a result as the command does.

    result: of `compare`, `walk`, `run`, `miss_ratio`, `trace_info`, `dedup`, `calibrate` or
    `validate`, or a list of one kind. path: also written there: .svg, .png or .pdf. The figure is
    matplotlib's and shows itself where it is the value of a notebook's cell.

    Raises InputError for anything else, or a path that cannot be written.
    """
    from mmulab.plots import results

    return results.plot(result, path)
