"""Presets: an overview, and every number with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import NUMBERS, STATED, TLB, Preset


def _geometry(sets: int, ways: int) -> str:
    return f"{ways} entries, fully associative" if sets == 1 else f"{sets} sets x {ways} ways"


def _short(tlb: TLB) -> str:
    shape = f"{tlb.sets * tlb.ways}" + ("" if tlb.sets == 1 else f" x{tlb.ways}")
    return f"{shape} {'/'.join(tlb.page_sizes)}"


def overview(presets: Sequence[Preset]) -> str:
    """One line a preset: entries (x ways) of the data TLBs."""
    lines = [f"{'preset':<16} {'year':<5} {'L1 data TLB':<34} {'L2 TLB':<34} processor"]
    for preset in presets:
        l1 = ", ".join(_short(t) for t in preset.tlbs if t.level == 1 and "D" in t.kinds)
        l2 = ", ".join(_short(t) for t in preset.tlbs if t.level == 2 and "D" in t.kinds)
        lines.append(f"{preset.name:<16} {preset.year:<5} {l1:<34} {l2:<34} {preset.title}")
    return "\n".join(lines)


def _entry(head: str, source: str) -> str:
    margin = " " * 6
    return f"  {head}\n" + fill(
        source, 96, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


def number(cited: Cited) -> str:
    """A value, and its range where it has one."""
    value, low, high = (f"{each:.10g}" for each in (cited.value, cited.low, cited.high))
    return value if low == high else f"{value}, from {low} to {high}"


def details(preset: Preset, of_techniques: Mapping[str, Cited]) -> str:
    """Every number of a preset and where it comes from. of_techniques: their costs, by key, which
    a preset may have otherwise."""
    lines = [f"{preset.name}: {preset.title} ({preset.year})", "", "TLBs"]
    for tlb in preset.tlbs:
        kinds = {"I": "instructions", "D": "data", "ID": "instructions and data"}[tlb.kinds]
        head = (
            f"{tlb.name}: level {tlb.level}, {kinds}, {'/'.join(tlb.page_sizes)} pages, "
            f"{_geometry(tlb.sets, tlb.ways)}, {tlb.policy}"
        )
        lines.append(_entry(head, tlb.source))
    lines += ["", "Walk caches"]
    for cache in preset.walk_caches:
        shape = f"{_geometry(cache.sets, cache.ways)}, {cache.policy}" if cache.ways else "absent"
        head = f"{cache.name}: {shape}"
        lines.append(_entry(head, cache.source))
    lines += ["", "Caches that page walks go through"]
    for level in preset.caches:
        head = f"{level.name}: {level.size >> 10} KiB, {level.ways} ways"
        head += "" if level.inclusion == "neither" else f", {level.inclusion}"
        head += "" if level.index == "straight" else f", {level.index} index"
        lines.append(_entry(head, level.source))
        lines.append(_entry(f"  {level.name} latency in cycles: {number(level.latency)}",
                            level.latency.source))  # fmt: skip
    for name in NUMBERS:
        cited = getattr(preset, name)
        lines.append(_entry(f"{name}: {number(cited)}", cited.source))
    for name in STATED:
        stated = getattr(preset, name)
        lines.append(_entry(f"{name}: {', '.join(stated.names)}", stated.source))
    lines += ["", "Costs in cycles"]
    others = {name: cited for name, cited in of_techniques.items() if name not in preset.costs}
    for name, cited in {**preset.costs, **others}.items():
        lines.append(_entry(f"cost.{name}: {number(cited)}", cited.source))
    flags = {"PCID": preset.pcid, "VPID": preset.vpid, "EPT A/D bits": preset.ept_ad}
    features = [preset.arch, *(n for n, on in flags.items() if on)]
    lines += ["", "Features: " + ", ".join(features)]
    if preset.notes:
        lines += ["", "Notes", *(fill(n, 96, initial_indent="  ", subsequent_indent="  ")
                                 for n in preset.notes)]  # fmt: skip
    return "\n".join(lines)
