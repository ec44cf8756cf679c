"""A trace summed up: as text for a report, and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmulab.mmu.memory.entries import SIZES
from mmulab.plots.figures import new_figure, save
from mmulab.workloads.analysis.summary import GAP_PAGES, Region, TraceInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def draw(info: TraceInfo) -> Figure:
    """Above, the touched addresses over time, empty space left out; below, the working set."""
    figure = new_figure(8.0, 5.2)
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    base, borders = _compressed(info.regions)
    number, address = info.points
    place = _place(address, info.regions, base)
    above.scatter(number[place >= 0], place[place >= 0] / 2**20, s=1.2, color="#0072b2",
                  linewidths=0, rasterized=True)  # fmt: skip
    for border in borders[1:-1]:
        above.axhline(border / 2**20, color="#bbbbbb", linewidth=0.6)
    above.set_ylabel("touched regions, MiB")
    above.set_title(info.trace, fontsize=10, loc="left")
    edges = np.minimum(np.arange(len(info.working_set) + 1) * info.interval, info.accesses)
    below.stairs(info.working_set, edges, color="#d55e00", linewidth=1.5, baseline=None)
    below.set_ylim(bottom=0)
    below.set_ylabel("4K pages")
    below.set_title(f"working set of {info.interval:,} accesses", fontsize=9, loc="left")
    below.set_xlabel("access")
    below.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _compressed(regions: list[Region]) -> tuple[list[int], list[int]]:
    """(start of each region, edges between them) on an axis without the gaps."""
    edges = [0]
    for region in regions:
        edges.append(edges[-1] + region.bytes)
    return edges[:-1], edges


def _place(address: np.ndarray, regions: list[Region], base: list[int]) -> np.ndarray:
    """Where addresses are on that axis; -1 for none. Of several processes the first that
    has the address."""
    place = np.full(len(address), -1, np.int64)
    for region, start in zip(regions, base, strict=True):
        inside = (address >= region.start) & (address < region.end) & (place < 0)
        place[inside] = start + address[inside] - region.start
    return place


def write(info: TraceInfo, path: str | Path) -> None:
    """Draws a summary into a .svg, .png or .pdf file."""
    save(draw(info), path)
