"""The public functions of mmulab, and what the commands share with them.

Arguments are what the command line takes, as texts, or the values that the texts stand for.
Everything is imported where it is used, so that importing this module is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.units import parse_bytes, parse_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from mmulab.mmu.by_hand.walkthrough import Walk
    from mmulab.mmu.config import Config
    from mmulab.mmu.presets.preset import Preset
    from mmulab.mmu.report.results import Comparison
    from mmulab.mmu.scenario.results import RunResult
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.mmu.trace import Trace
    from mmulab.plots.results import Result
    from mmulab.workloads.analysis.miss_ratio import MissRatios
    from mmulab.workloads.analysis.page_sharing import Report
    from mmulab.workloads.analysis.summary import TraceInfo

    PathLike = str | os.PathLike[str]
    Listed = str | Iterable[str]  # "a,b", or the names themselves
    Settings = Mapping[str, Any] | Iterable[str]  # {key: value}, nested or dotted, or "key=value"
    Progress = Callable[[int], None]

TECHNIQUES = "native,shadow,nested"
PAGE_SIZES = ("4k", "2m")  # of memory images
DEFAULT_TRACE = "@python"


class Machine(TypedDict, total=False):
    """What describes the simulated machine, beside the preset: the options of the commands.

    memory, host_memory: of the guest and the host, bytes or a text such as "16G", which is
    the guest's; the host has an eighth more unless told otherwise. page_size: of the guest,
    "4k", "2m", "1g", or "thp" (2m where a mapping allows it). host_page_size: what the VMM
    backs guest memory with. levels, host_levels: of the guest's and the nested page table, 4
    or 5. shadow_policy: on writes to guest tables, "unsync" or "trap". pcid, vpid, ept_ad:
    None: as the preset has it. walk_caches: paging-structure caches and nested TLB. seed: of
    generators and random replacement.
    """

    memory: int | str
    host_memory: int | str
    page_size: str
    host_page_size: str
    levels: int
    host_levels: int
    shadow_policy: str
    pcid: bool | None
    vpid: bool | None
    ept_ad: bool | None
    walk_caches: bool
    seed: int


def listed(names: Listed) -> list[str]:
    """The names of a list as the command line has it, comma-separated, or of any other."""
    parts = names.split(",") if isinstance(names, str) else names
    return [part.strip() for part in parts if part.strip()]


def pairs(settings: Settings, what: str = "set") -> list[tuple[str, str]]:
    """(key, value) of each setting, in order. what: to call one in an error.

    Raises InputError for a text that is no KEY=VALUE.
    """
    from mmulab.mmu.toml import dotted

    if isinstance(settings, Mapping):
        return [(key, str(value)) for key, value in dotted(settings)]
    found = []
    for item in [settings] if isinstance(settings, str) else settings:
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise InputError(f"{what} {item}: expected KEY=VALUE")
        found.append((key.strip(), value.strip()))
    return found


def machine(
    preset: str | Preset, changes: Iterable[tuple[str, str]], options: Machine
) -> tuple[Preset, Config]:
    """(preset with the changes, Config of the options). Raises InputError."""
    from mmulab.mmu import presets
    from mmulab.mmu.config import Config, override

    chosen = presets.load(preset) if isinstance(preset, str) else preset
    for key, value in changes:
        chosen = override(chosen, key, value)
    fields: dict[str, Any] = {**options}
    for name in fields:
        if name not in Machine.__annotations__:
            raise unknown("option", name, Machine.__annotations__)
    for name in ("memory", "host_memory"):
        if name in fields:
            fields[name] = _number(name, fields[name], parse_bytes)
    for name in ("levels", "host_levels", "seed"):
        if name in fields:
            fields[name] = _number(name, fields[name], parse_count)
    return chosen, Config(**fields)


def _number(name: str, value: Any, parse: Callable[[str], int]) -> int:
    """A whole number, or what a text with a unit stands for."""
    try:
        return parse(value) if isinstance(value, str) else index(value)
    except ValueError as error:
        raise InputError(f"{name.replace('_', ' ')} {error}") from None
    except TypeError:
        raise InputError(f"{name.replace('_', ' ')} {value!r}: expected a whole number") from None


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


def preset(name: str, *, set: Settings = ()) -> Preset:
    """A processor: its geometry, costs and features, each number with its source.

    name: one of `presets()`. set: numbers to change, {"cost.vm_exit": 2000},
    {"cost": {"vm_exit": 2000}} or ["cost.vm_exit=2000"].

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
    preset: str | Preset = "skylake-sp",
    set: Settings = (),
    warmup: int | str = 0,
    format: str | None = None,
    check: bool = False,
    progress: Progress | None = None,
    **options: Unpack[Machine],
) -> Comparison:
    """Runs a trace through translation techniques side by side: `mmulab compare`.

    trace, format: see `trace`. techniques: names, or a text with commas, in the order of the
    results. preset, set: see `preset`. warmup: accesses at the beginning that are simulated
    but not counted, a number or "1M". check: verify the simulator's invariants as it runs
    (slow). progress: called now and then with the number of accesses read so far. options:
    the machine, as the options of the command: memory, host_memory, page_size,
    host_page_size, levels, host_levels, shadow_policy, pcid, vpid, ept_ad, walk_caches, seed.

    Raises InputError for a bad trace or option, RunError where a run cannot go on.
    """
    from mmulab.mmu import simulate

    chosen, config = machine(preset, pairs(set), options)
    source = _trace(trace, format=format, seed=config.seed, levels=config.levels)
    skipped = _number("warmup", warmup, parse_count)
    return simulate.compare(source, chosen, config, listed(techniques), skipped, check, progress)


_trace = trace  # where a parameter has the name


def walk(
    gva: int | str,
    technique: str = "nested",
    *,
    preset: str | Preset = "skylake-sp",
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

    chosen, config = machine(preset, pairs(set), {"walk_caches": False, **options})
    return walkthrough.walk(address(gva), technique, chosen, config, store)


def address(gva: int | str) -> int:
    """An address of 64 bits, of a number or a text. Raises InputError."""
    try:
        number = int(gva, 0) if isinstance(gva, str) else index(gva)
    except (TypeError, ValueError):
        raise InputError(f"{gva!r}: expected an address such as 0x7f1234567000") from None
    if not 0 <= number < 1 << 64:
        raise InputError(f"{gva!r}: expected an address of 64 bits")
    return number


@overload
def run(
    scenario: PathLike | Scenario,
    *,
    compare: Literal[False] = False,
    technique: str | None = None,
    set: Settings = (),
    check: bool = False,
    progress: Progress | None = None,
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
) -> list[RunResult]: ...
def run(
    scenario: PathLike | Scenario,
    *,
    compare: bool = False,
    technique: str | None = None,
    set: Settings = (),
    check: bool = False,
    progress: Progress | None = None,
) -> RunResult | list[RunResult]:
    """Runs several VMs on one host with less memory than they believe: `mmulab run`.

    scenario: a TOML file (docs/overcommit.md), "@name" for one that comes with the package,
    or a Scenario. compare: also without mechanisms, with each alone, with guests fitted to
    the host, and on a host with memory for all; gives a list of the results. technique: for
    every VM, "shadow" or "nested". set: settings to change, as {"host.memory": "8G"} or
    ["vm.NAME.shares=2000"]. check: verify the invariants after every turn; slow. progress:
    called with the accesses made so far.

    Raises InputError for a bad scenario, setting or trace, RunError where a guest cannot go
    on. A host that runs out of memory ends the run: the result's `end` says so.
    """
    from mmulab.mmu.scenario import run as runner
    from mmulab.workloads.scenario_file import open_trace

    settled = settle(scenario, pairs(set), technique)
    if compare:
        return runner.compare(settled, open_trace, check, progress)
    return runner.run(settled, open_trace, "as given", check, progress)


def settle(
    scenario: PathLike | Scenario,
    changes: Iterable[tuple[str, str]] = (),
    technique: str | None = None,
) -> Scenario:
    """The scenario with its settings changed. Raises InputError."""
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.workloads import scenario_file

    loaded = scenario if isinstance(scenario, Scenario) else scenario_file.load(os.fspath(scenario))
    for key, value in changes:
        loaded = scenario_file.override(loaded, key, value)
    if technique:
        loaded = scenario_file.override(loaded, "vm.technique", technique)
    return loaded


def miss_ratio(
    trace: PathLike | Trace,
    *,
    page_sizes: Listed = "4k,2m,1g",
    sample: float = 1.0,
    warmup: int | str = 0,
    max: int | str | None = None,
    format: str | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> MissRatios:
    """Miss ratio of a fully associative LRU TLB of every size, in one pass: `mmulab mrc`.

    trace, format, seed: see `trace`. page_sizes: names, or a text with commas. sample: part
    of the pages that is followed (SHARDS); 1 is exact. warmup: accesses to leave out at the
    beginning. max: accesses to take, all unless given. progress: called with the accesses
    taken so far.

    Raises InputError for a bad trace, page size or rate.
    """
    from mmulab.workloads.analysis import miss_ratio as analysis

    skipped = _number("warmup", warmup, parse_count)
    most = None if max is None else _number("max", max, parse_count)
    source = _trace(trace, format=format, seed=seed, levels=5)
    return analysis.measure(source, listed(page_sizes), sample, skipped, most, progress)


def trace_info(
    trace: PathLike | Trace,
    *,
    format: str | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> TraceInfo:
    """What a trace is like: footprint, reuse, working set, regions: `mmulab trace info`.

    trace, format, seed: see `trace`. progress: called with the accesses read so far. Raises
    InputError for a bad trace.
    """
    from mmulab.workloads.analysis import summary

    return summary.summarise(_trace(trace, format=format, seed=seed, levels=5), progress)


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


def table(result: Result | Sequence[Result]) -> str:
    """A result as the command prints it, in plain text.

    result: of `compare`, `walk`, `run`, `miss_ratio`, `trace_info`, `dedup` or `preset`, or a
    list of one kind. Raises InputError for anything else.
    """
    from mmulab.plots import results

    return results.table(result)


def plot(result: Result | Sequence[Result], path: PathLike | None = None) -> Figure:
    """Draws a result as the command does.

    result: of `compare`, `walk`, `run`, `miss_ratio`, `trace_info` or `dedup`, or a list of
    one kind. path: also written there: .svg, .png or .pdf. The figure is matplotlib's and
    shows itself where it is the value of a notebook's cell.

    Raises InputError for anything else, or a path that cannot be written.
    """
    from mmulab.plots import results

    return results.plot(result, path)
