"""Comparisons of techniques: a table, bars, and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from mmulab.mmu.config import Config
from mmulab.mmu.report.cost import CATEGORIES, NOT_TRANSLATION
from mmulab.mmu.report.results import Comparison, TechniqueResult
from mmulab.plots.terminal.verdict import sentences

#: What each category is called where there is room for a few words only.
LABELS = {
    "work": "work",
    "data": "data: caches",
    "l2_tlb": "L2 TLB",
    "guest_walk": "walk: gPT/sPT",
    "nested_walk": "walk: nPT",
    "guest_kernel": "guest kernel",
    "exit_fault": "exits: faults",
    "exit_pte": "exits: PTE writes",
    "exit_flush": "exits: INVLPG, CR3",
    "shadow": "shadow upkeep",
}
_BAR_WIDTH = 60
_SHADES = dict(zip(CATEGORIES, "█▌░▒▓·xwc+", strict=True))

Row = tuple[str, Callable[[TechniqueResult], str]]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3f} %" if whole else "-"


def _lookups(result: TechniqueResult) -> int:
    """Look-ups of pages, of which misses are a part."""
    return int(result.counts["accesses"] + result.counts["straddles"])


def _rows(comparison: Comparison) -> list[Row]:
    def per_access(category: str) -> Callable[[TechniqueResult], str]:
        return lambda r: f"{r.cycles[category].likely / comparison.accesses:.3f}"

    def exits(reason: str) -> Callable[[TechniqueResult], str]:
        return lambda r: f"{r.exits.get(reason, 0):,}"

    rows: list[Row] = [
        ("cycles per access", lambda r: f"{r.cycles_per_access:.3f}"),
        ("  with costs low to high", _range),
        ("time in translation", lambda r: f"{r.translation_percent:.1f} %"),
        ("first touches of memory", lambda r: f"{r.first_touch_percent:.1f} %"),
        ("", lambda r: ""),
        ("L1 TLB misses", lambda r: _percent(r.counts["l1_tlb_misses"], _lookups(r))),
        ("L2 TLB misses", lambda r: _percent(r.counts["l2_tlb_misses"], _lookups(r))),
        ("page walks", lambda r: f"{r.counts['walks']:,}"),
        ("references per walk", lambda r: f"{r.references_per_walk:.2f}"),
        ("  cycles waited for", _waited),
        ("guest page faults", lambda r: f"{r.counts['guest_faults']:,}"),
        ("guest PTE writes", lambda r: f"{r.counts['pte_writes']:,}"),
        ("VM exits", lambda r: f"{r.total_exits:,}"),
    ]
    for reason, label in _exit_labels(comparison).items():
        if any(result.exits.get(reason) for result in comparison.results):
            rows.append((f"  {label}", exits(reason)))
    rows += [("", lambda r: ""), ("cycles per access in", lambda r: "")]
    for category, label in LABELS.items():
        if any(result.cycles[category].likely for result in comparison.results):
            rows.append((f"  {label}", per_access(category)))
    return rows


def _range(result: TechniqueResult) -> str:
    """Cycles an access with every cost at its lowest, and at its highest."""
    low, _, high = result.range_per_access
    return f"{low:.3g} to {high:.3g}"


def _waited(result: TechniqueResult) -> str:
    """Of cycles of walks, the part that overlap does not hide."""
    return f"{100 * result.overlap.of('walks').likely:.0f} %"


def _exit_labels(comparison: Comparison) -> dict[str, str]:
    """What each exit reason is called; those of techniques with few of them first."""
    labels: dict[str, str] = {}
    for result in sorted(comparison.results, key=lambda result: len(result.labels)):
        labels |= {reason: text for reason, text in result.labels.items() if reason not in labels}
    return labels


def machine(comparison: Comparison) -> str:
    """The machine in words: the preset, and all in which it is not as published or as usual."""
    settings = comparison.settings
    arch = comparison.input["preset"]["numbers"]["arch"]["value"]
    usual = asdict(Config(levels=settings["levels"]).on(arch)) | {"levels": Config.levels}
    shown = ("page_size", "host_page_size", "seed")
    differs = comparison.differs | {
        name: value
        for name, value in settings.items()
        if value != usual[name] and name not in shown
    }
    return ", ".join(
        [
            comparison.preset,
            *(f"{name}={_plain(value)}" for name, value in differs.items()),
            f"guest pages {settings['page_size']}",
            f"host pages {comparison.host_pages}",
        ]
    )


def _plain(value: Any) -> str:
    """A setting as a user would give it."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def title(comparison: Comparison) -> str:
    """One line that says what was compared on what."""
    warm = f" after {comparison.warmup:,} of warm-up" if comparison.warmup else ""
    return (
        f"{comparison.trace}: {comparison.accesses:,} accesses{warm}; "
        f"{machine(comparison)}, seed {comparison.seed}"
    )


def in_lines(technique: str) -> list[str]:
    """A technique's spec in lines: its name, and each of its parameters."""
    name, _, parameters = technique.partition(":")
    return [name, *filter(None, parameters.split(","))]


def table(comparison: Comparison) -> str:
    """A comparison as a table, a column a technique, and a bar for each below it."""
    names = [result.technique for result in comparison.results]
    rows = [(label, [cell(r) for r in comparison.results]) for label, cell in _rows(comparison)]
    width = max(len(label) for label, _ in rows)
    widest = max(12, *(len(cell) + 2 for _, cells in rows for cell in cells))
    heads = [in_lines(name) for name in names]
    columns = [max(widest, *(len(line) + 2 for line in head)) for head in heads]
    rows = [("", list(line)) for line in zip_longest(*heads, fillvalue="")] + rows
    lines = [title(comparison), ""]
    for label, cells in rows:
        line = "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, columns, strict=True))
        lines.append(f"{label:<{width}}{line}".rstrip())
    lines += ["", bars(comparison)]
    lines += sentences(comparison)
    return "\n".join([*lines, *(f"warning: {each}" for each in comparison.warnings)])


def bars(comparison: Comparison) -> str:
    """Cycles per access as stacked bars of characters."""
    longest = max(result.cycles_per_access for result in comparison.results)
    width = max(8, *(len(result.technique) for result in comparison.results))
    lines = []
    used: dict[str, None] = {}
    for result in comparison.results:
        bar = ""
        total = 0.0
        for category, shade in _SHADES.items():
            total += result.cycles[category].likely / comparison.accesses
            length = round(_BAR_WIDTH * total / longest) - len(bar)
            if length:
                used[category] = None
            bar += shade * length
        lines.append(f"{result.technique:>{width}} {bar} {result.cycles_per_access:.2f}")
    legend = "  ".join(f"{_SHADES[c]} {LABELS[c]}" for c in CATEGORIES if c in used)
    return "\n".join([*lines, f"{'':>{width}} {legend}"])


def summary(comparison: Comparison) -> str:
    """What the table says, in a sentence for each technique but the first."""
    first, *others = comparison.results
    sentences = []
    for other in others:
        ratio = other.cycles_per_access / first.cycles_per_access
        worst = max(
            (name for name in CATEGORIES if name not in NOT_TRANSLATION),
            key=lambda name: other.cycles[name].likely - first.cycles[name].likely,
        )
        extra = (other.cycles[worst].likely - first.cycles[worst].likely) / comparison.accesses
        sentences.append(
            f"{other.technique} takes {ratio:.2f} times the cycles of {first.technique}"
            + (f", most of the difference in {LABELS[worst]}." if extra > 0 else ".")
        )
    return "\n".join(sentences)
