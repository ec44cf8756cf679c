"""Sections of a report, one kind of result each."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report.consolidation import Consolidation
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.study_results import StudyResults
from mmulab.mmu.sampling.results import Estimates
from mmulab.mmu.scenario.results import RunResult
from mmulab.plots import (
    compare,
    consolidation,
    dedup,
    estimates,
    geometries,
    info,
    mrc,
    scenario,
    study,
)
from mmulab.plots.pages.document import Document, Picture, Section, Table
from mmulab.plots.pages.saved import WRONG, Blamed, Saved
from mmulab.plots.terminal import compare as words
from mmulab.plots.terminal import compare_table, verdict
from mmulab.plots.terminal import consolidation as consolidation_text
from mmulab.plots.terminal import dedup as dedup_text
from mmulab.plots.terminal import estimates as estimates_text
from mmulab.plots.terminal import geometries as geometries_text
from mmulab.plots.terminal import info as info_text
from mmulab.plots.terminal import scenario as scenario_text
from mmulab.plots.terminal import study as study_text
from mmulab.workloads.analysis.geometries import Geometries
from mmulab.workloads.analysis.miss_ratio import HIT_RATIOS, MissRatios
from mmulab.workloads.analysis.page_sharing import Report
from mmulab.workloads.analysis.summary import TraceInfo

Plain = Mapping[str, Any]

#: Metrics of a study that have a figure.
MOST_METRICS = 6

#: Parts of a blame that are shown.
MOST_PARTS = 50


def document(saved: Sequence[Saved], title: str = "", metrics: Sequence[str] = ()) -> Document:
    """All of these results, in their order. title: what they are of unless given. metrics: of
    studies, as `StudyResults.chosen` takes them. Raises InputError for an unknown one, or a result
    that lacks something."""
    sections = [section for one in saved for section in _sections(one, metrics)]
    of = ", ".join(dict.fromkeys(section.title for section in sections))
    return Document(title or of, sections, {one.path: one.digest for one in saved})


def _sections(saved: Saved, metrics: Sequence[str]) -> list[Section]:
    try:
        return _of(saved, metrics)
    except WRONG as error:
        raise InputError(f"{printable(saved.path)}: lacks or misnames {error}") from None


def _of(saved: Saved, metrics: Sequence[str]) -> list[Section]:
    if isinstance(saved.results[0], StudyResults):
        return [_study(saved.results[0], saved.plain[0], metrics)]
    if isinstance(saved.results[0], RunResult):  # variants of one scenario belong together
        return [_scenario(saved.results, saved.plain, saved.path)]
    return [
        _KINDS[type(one)](one, plain, saved.path)
        for one, plain in zip(saved.results, saved.plain, strict=True)
    ]


def _comparison(one: Comparison, plain: Plain, path: str) -> Section:
    tables = [_compared(one)]
    pairs = one.verdict[:1]
    for pair in pairs:
        rows = [verdict.row(each) for each in verdict.matter(pair)]
        caption = (
            f"What each cost does to the cycles of {pair.of} over those of {pair.to}, which are "
            f"{pair.ratio.likely:.3f}, all others as likely"
        )
        tables.append(Table(caption, verdict.HEAD, rows))
    tables.append(_numbers(plain["input"]["preset"]))
    drawn = (
        "Left, cycles an access by what they are spent on, with whiskers from every cost at its "
        "lowest to every cost at its highest; right, misses of the second-level TLB."
    )
    if pairs:
        drawn += " Below, what each cost does to the ratio of two techniques."
    figure = Picture(f"Cycles an access, {one.trace}", drawn,
                     lambda: compare.draw([one], pairs))  # fmt: skip
    return Section(
        one.trace,
        words.title(one).removeprefix(f"{one.trace}: "),
        one.warnings,
        verdict.sentences(one),
        tables,
        [figure],
        facts=_facts(plain) | {"machine simulated": words.machine(one)},
        commands=_commands(plain, path),
        files=_files(plain),
    )


def _compared(one: Comparison) -> Table:
    """As the command has it: a column a technique, or where they are many a row."""
    caption = f"Techniques over {one.trace}"
    if len(one.results) > compare_table.MOST_COLUMNS:
        return Table(caption, compare_table.HEADS, compare_table.by_row(one))
    return _grouped(caption, [each.technique for each in one.results],
                    compare_table.by_column(one))  # fmt: skip


def _grouped(
    caption: str, names: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]
) -> Table:
    """A table whose rows stand in groups, below a heading each."""
    made = []
    for label, cells in rows:
        if label:
            made.append([label, *cells] if any(cells) else [label])
    return Table(caption, ["", *names], made)


def _numbers(preset: Plain) -> Table:
    """Every number of the preset, with its source."""
    rows = [
        [key, str(each["value"]), str(each.get("low", "")), str(each.get("high", "")),
         str(each.get("source", ""))]
        for key, each in preset["numbers"].items()
    ]  # fmt: skip
    caption = f"Every number of {preset['name']}, with its source"
    return Table(caption, ("key", "value", "low", "high", "source"), rows, folded=True)


def _scenario(runs: Sequence[RunResult], plain: Sequence[Plain], path: str) -> Section:
    caption = f"Each variant of {runs[0].scenario}"
    table = _grouped(caption, [run.variant for run in runs], scenario_text.rows_of(runs))
    texts = {f"Each VM, {run.variant}": scenario_text.vm_table(run) for run in runs}
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    ends = [f"{run.variant}: {run.end}: {run.report}" for run in runs if run.end != "finished"]
    figure = Picture(
        f"Memory and paging of {runs[0].scenario}",
        "What the host's memory holds over time, and what paging moves.",
        lambda: scenario.draw(runs),
    )
    return Section(
        runs[0].scenario,
        f"{len(runs)} run{_s(runs)} of {len(runs[-1].vms)} VM{_s(runs[-1].vms)}",
        [*ends, *notes],
        tables=[table],
        pictures=[figure],
        texts=texts,
        facts=_facts(plain[-1]),
        commands=_commands(plain[-1], path),
        files=_files(plain[-1]),
    )


def _s(several: Sequence[Any]) -> str:
    return "s" if len(several) != 1 else ""


def _miss_ratio(one: MissRatios, plain: Plain, path: str) -> Section:
    curves = plain["curves"]
    rows: list[list[str]] = [
        [f"{count:,}", *(f"{100 * curve['miss_ratio'][at]:.4f} %" for curve in curves)]
        for at, count in enumerate(plain["entries"])
    ]
    rows.append(["entries for hits of"])
    for ratio in map(str, HIT_RATIOS):
        needed = (curve["entries_for_hit_ratio"][ratio] for curve in curves)
        rows.append([f"{100 * float(ratio):g} %", *(f"{n:,}" if n else "never" for n in needed)])
    head = ["entries", *(f"{curve['page_size']} pages" for curve in curves)]
    figure = Picture(
        f"Miss ratio of {one.trace}",
        "Misses a page touched of a fully associative LRU TLB against its entries, a line for each "
        "page size. Between two sizes of the table the line is that of the smaller.",
        lambda: mrc.draw([one]),
    )
    sampled = [curve["sampled"] for curve in curves if curve["sampled"] < 1]
    warned = [f"{100 * sampled[0]:g} % of the pages were followed: an estimate"] if sampled else []
    return Section(
        one.trace,
        f"{one.accesses:,} accesses; misses of a fully associative LRU TLB",
        warned,
        tables=[Table(f"Miss ratio of {one.trace}", head, rows)],
        pictures=[figure],
        facts=_facts(plain),
        commands=_commands(plain, path),
        files=_files(plain),
    )


def _geometries(one: Geometries, plain: Plain, path: str) -> Section:
    ignored = ", ".join(f"{count:,} {name}" for name, count in one.ignored.items())
    warned = [f"ignored, though they take translations away: {ignored}"] if ignored else []
    figure = Picture(
        f"Misses of every geometry, {one.trace}",
        "Misses a page touched of an LRU TLB against its entries, a line for each number of ways.",
        lambda: geometries.draw([one]),
    )
    text = {"Misses a page touched": geometries_text.table(one)}
    return _of_text(one.trace, f"{one.accesses:,} accesses", plain, path, text, figure, warned)


def _trace_info(one: TraceInfo, plain: Plain, path: str) -> Section:
    figure = Picture(
        f"Working set of {one.trace}",
        f"Distinct pages of 4 KiB touched in each {one.interval:,} accesses.",
        lambda: info.draw(one),
    )
    text = {"What the trace is like": info_text.report(one)}
    return _of_text(one.trace, f"{one.accesses:,} accesses", plain, path, text, figure)


def _dedup(one: Report, plain: Plain, path: str) -> Section:
    figure = Picture("Equal pages", "What sharing would do with each image's memory.",
                     lambda: dedup.draw(one))  # fmt: skip
    names = ", ".join(dict.fromkeys(each.name for each in one.files))
    text = {"Equal pages": dedup_text.table(one)}
    return _of_text("memory images", names, plain, path, text, figure)


def _blamed(one: Blamed, plain: Plain, path: str) -> Section:
    counted = ("accesses", "l1_tlb_misses", "l2_tlb_misses", "walks", "references", "guest_faults",
               "exits")  # fmt: skip
    rows = [
        [part["name"], f"{part['cycles']:,.0f}", f"{part['walk_cycles']:,.0f}",
         *(f"{part[name]:,}" for name in counted)]
        for part in plain["parts"][:MOST_PARTS]
    ]  # fmt: skip
    head = [plain["by"], "cycles", "of walks", *(name.replace("_", " ") for name in counted)]
    left = len(plain["parts"]) - len(rows)
    caption = "Cycles of translation, and what they come from" + f"; {left:,} more" * bool(left)
    return Section(
        plain["trace"],
        f"{plain['accesses']:,} accesses under {plain['technique']}, {plain['preset']}",
        tables=[Table(caption, head, rows)],
        facts=_facts(plain),
        commands=_commands(plain, path),
        files=_files(plain),
    )


def _estimates(one: Estimates, plain: Plain, path: str) -> Section:
    figure = Picture(
        f"Cycles an access, {one.trace}, estimated",
        "Left, cycles an access; right, misses of the second-level TLB; whiskers are confidence "
        "intervals of 95 %.",
        lambda: estimates.draw([one]),
    )
    lead = f"{one.accesses:,} accesses, estimated from {one.units:,} units ({one.intervals})"
    text = {"Estimates with intervals of 95 %": estimates_text.table(one)}
    return _of_text(one.trace, lead, plain, path, text, figure, one.warnings)


def _consolidation(one: Consolidation, plain: Plain, path: str) -> Section:
    figure = Picture(
        f"VMs that fit, {one.scenario}",
        "Left, slowdown by number of VMs, a line for each set of mechanisms; right, how many fit.",
        lambda: consolidation.draw(one),
    )
    text = {"How many VMs fit": consolidation_text.table(one)}
    lead = f"at {one.slowdown:g} times the time alone"
    return _of_text(one.scenario, lead, plain, path, text, figure)


def _of_text(
    title: str, lead: str, plain: Plain, path: str, texts: Mapping[str, str], figure: Picture,
    warned: Sequence[str] = (),
) -> Section:  # fmt: skip
    """A section whose table is as the command prints it."""
    return Section(title, lead, warned, texts=texts, pictures=[figure], facts=_facts(plain),
                   commands=_commands(plain, path), files=_files(plain))  # fmt: skip


def _study(one: StudyResults, plain: Plain, metrics: Sequence[str]) -> Section:
    """A figure for each metric, up to MOST_METRICS of them."""
    chosen = one.chosen(metrics)
    head, rows = study_text.cells(one, chosen)
    failed = [f"a run failed: {line.strip()}" for line in study_text.failures(one)]
    missing = [f"{one.missing:,} of {len(one.runs):,} runs are missing"] if one.missing else []
    axes = [[key, f"{len(values):,}", ", ".join(values)] for key, values in one.axes.items()]
    figures = [
        Picture(
            f"{metric.replace('_', ' ')} of {one.name}",
            "Whiskers are the least and the most of several seeds, or of one the range of costs.",
            partial(study.draw, one, metric),
        )
        for metric in chosen[:MOST_METRICS]
    ]
    made = plain["made"][-1] if plain.get("made") else {}
    return Section(
        one.name,
        study_text.heading(one, chosen),
        [*missing, *failed],
        tables=[
            Table("Numbers by what was varied", head, rows, names=max(1, len(one.varied))),
            Table("Axes", ("axis", "values", "which"), axes, names=3),
        ],
        pictures=figures,
        facts=_facts({**plain, "made": made}),
        commands=[shlex.join(each["command"]) for each in plain["made"] if each.get("command")],
        files=_digests(plain.get("files", {})),
    )


def _facts(plain: Plain) -> dict[str, str]:
    """By what, where and when it was made, and of which preset."""
    made = plain.get("made") or {}
    machine = made.get("machine") or {}
    found = {"mmulab": str(plain["version"])}
    if "date" in made:
        found["made"] = f"{made['date']}, in {made.get('seconds', '?')} s"
    if machine:
        found["on"] = ", ".join(
            str(machine[key]) for key in ("processor", "system") if key in machine
        )
        found["with"] = ", ".join(
            f"{name} {machine[name]}" for name in ("python", "numpy", "numba") if name in machine
        )
    return found | _preset(plain.get("input", {}).get("preset"))


def _preset(described: Any) -> dict[str, str]:
    if not isinstance(described, dict):
        return {}
    changed = ", ".join(f"{key}={value}" for key, value in described["set"].items())
    of = f" ({described['base']} with {changed})" if changed else ""
    return {"preset": f"{described['name']}{of}"}


def _commands(plain: Plain, path: str) -> list[str]:
    """Those that make it again: what was typed, and from what the result says of itself."""
    typed = plain["made"].get("command")
    commands = [shlex.join(map(str, typed))] if typed else []
    if plain["input"].get("call") != "consolidate":  # whose runs are many, and not made again
        commands.append(shlex.join(["mmulab", "rerun", path]))
    return commands


def _files(plain: Plain) -> dict[str, str]:
    return _digests(plain["input"].get("files", {}))


def _digests(files: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(of or "no regular file: no digest") for name, of in files.items()}


_KINDS: dict[type, Callable[[Any, Plain, str], Section]] = {
    Comparison: _comparison,
    MissRatios: _miss_ratio,
    Geometries: _geometries,
    TraceInfo: _trace_info,
    Report: _dedup,
    Blamed: _blamed,
    Estimates: _estimates,
    Consolidation: _consolidation,
}
