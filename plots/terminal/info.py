"""A trace summed up in a report."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmulab.mmu.memory.entries import SIZES
from mmulab.workloads.analysis.summary import GAP_PAGES, Region, TraceInfo

_BAR = 24
_SPARKS = " ▁▂▃▄▅▆▇█"
_MOST_REGIONS = 24


def size_text(count: int) -> str:
    """Bytes with a binary unit, three digits."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1000 or unit == "TiB":
            return f"{value:.3g} {unit}"
        value /= 1024
    raise AssertionError


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %"


def _spark(values: list[int]) -> str:
    """A line of bars, the largest value full."""
    groups = np.array_split(np.array(values, float), min(len(values), 60))
    means = [group.mean() for group in groups]
    top = max(means) or 1
    return "".join(_SPARKS[max(1, round(8 * mean / top))] if mean else " " for mean in means)


def _made_by(metadata: dict[str, Any]) -> list[str]:
    lines = []
    if "program" in metadata:
        command = " ".join([str(metadata["program"]), *map(str, metadata.get("arguments") or ())])
        lines.append(f"program          {command}")
    made = [str(metadata[key]) for key in ("tool", "date") if metadata.get(key)]
    return [*lines, f"recorded by      {', '.join(made)}"] if made else lines


def report(info: TraceInfo, metadata: dict[str, Any] | None = None) -> str:
    """The summary as text; metadata: what the trace's file says of its making."""
    n = info.accesses
    kinds = ", ".join(f"{count:,} {name} ({_share(count, n)})"
                      for name, count in info.kinds.items() if count)  # fmt: skip
    common = sorted(info.sizes.items(), key=lambda item: -item[1])[:6]
    sizes = ", ".join(f"{size} B {_share(count, n)}" for size, count in common)
    lines = [info.trace, *_made_by(metadata or {}), f"accesses         {n:,}: {kinds}",
             f"access sizes     {sizes}"]  # fmt: skip
    threads = f", {info.threads:,} threads" if info.threads > info.processes else ""
    lines.append(f"processes        {info.processes:,}{threads}")
    events = ", ".join(f"{count:,} {name}" for name, count in info.events.items())
    lines.append(f"events           {events or 'none: the trace has accesses only'}")
    if info.columns:
        columns = ", ".join(f"{name} of {_share(known, n)}" for name, known in info.columns.items())
        lines.append(f"columns          {columns} of the accesses")
    if info.pages_mapped or info.pages_unmapped:
        rate = (info.pages_mapped + info.pages_unmapped) / n * 1e6
        lines.append(
            f"mappings         {info.pages_mapped:,} pages mapped, {info.pages_unmapped:,} "
            f"unmapped: {rate:,.0f} a million accesses"
        )
    lines += ["", *_by_page_size(info), "", *_reuse(info), "", *_working_set(info), ""]
    return "\n".join([*lines, *_regions(info.regions)])


def _by_page_size(info: TraceInfo) -> list[str]:
    names = list(info.pages)
    small = info.pages[names[0]] * SIZES[0]
    rows = [("pages touched", [f"{info.pages[name]:,}" for name in names])]
    footprints = [info.pages[name] * size for name, size in zip(names, SIZES, strict=True)]
    rows.append(("footprint", [size_text(footprint) for footprint in footprints]))
    rows.append(("of which touched", [_share(small, footprint) for footprint in footprints]))
    entries = [info.entries_for_99[name] for name in names]
    rows.append(("TLB entries for 99 %", [f"{e:,}" if e else "never" for e in entries]))
    head = f"{'':<22}" + "".join(f"{name.upper() + ' pages':>14}" for name in names)
    return [head] + [f"{label:<22}" + "".join(f"{c:>14}" for c in cells) for label, cells in rows]


def _reuse(info: TraceInfo) -> list[str]:
    touches = sum(info.reuse) + info.first_touches
    lines = ["stack distance of 4K pages (entries of LRU that it takes to hit)"]
    low = high = 1
    for count in info.reuse:
        label = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        bar = "█" * round(_BAR * count / touches)
        lines.append(f"  {label:>20} {_share(count, touches):>8} {bar}".rstrip())
        low, high = high + 1, 2 * high
    return [*lines, f"  {'first touch':>20} {_share(info.first_touches, touches):>8}"]


def _working_set(info: TraceInfo) -> list[str]:
    sets = info.working_set
    return [
        f"working set of {info.interval:,} accesses, 4K pages: least {min(sets):,}, "
        f"mean {sum(sets) / len(sets):,.0f}, most {max(sets):,}",
        f"  {_spark(sets)}",
    ]


def _regions(regions: list[Region]) -> list[str]:
    """The regions with most accesses, in the order of addresses."""
    shown = sorted(regions, key=lambda region: -sum(region.accesses))[:_MOST_REGIONS]
    several = len({region.process for region in regions}) > 1
    total = sum(sum(region.accesses) for region in regions)
    lines = [
        f"touched regions ({size_text(GAP_PAGES * SIZES[0])} or more apart)",
        f"  {'process ' if several else ''}{'from':>18} {'to':>18} {'span':>9} {'touched':>9} use"
        f" {'accesses':>9}",
    ]
    for region in regions:
        if region not in shown:
            continue
        share = sum(region.accesses) / total
        process = f"{region.process:>7} " if several else ""
        lines.append(
            f"  {process}{region.start & (1 << 64) - 1:#18x} {region.end & (1 << 64) - 1:#18x} "
            f"{size_text(region.bytes):>9} {size_text(region.pages * SIZES[0]):>9} {region.uses} "
            f"{_share(share, 1):>9} {'█' * round(_BAR * share)}".rstrip()
        )
    if len(regions) > len(shown):
        lines.append(f"  and {len(regions) - len(shown):,} more, with few accesses")
    return lines
