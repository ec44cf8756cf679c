"""Comparisons of techniques: words, bars, and a sentence; `compare_table` has the tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mmulab.mmu.config import Config
from mmulab.mmu.report.cost import CATEGORIES, NOT_TRANSLATION, NOTHING, OF_CORES
from mmulab.mmu.report.results import Comparison

if TYPE_CHECKING:
    from mmulab.mmu.sampling.results import Estimates

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
    "shootdown": "shootdowns",
}
_BAR_WIDTH = 60
_SHADES = dict(zip((*CATEGORIES, *OF_CORES), "█▌░▒▓·xwc+!", strict=True))


def machine(comparison: Comparison | Estimates) -> str:
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
            total += result.cycles.get(category, NOTHING).likely / comparison.accesses
            length = round(_BAR_WIDTH * total / longest) - len(bar)
            if length:
                used[category] = None
            bar += shade * length
        lines.append(f"{result.technique:>{width}} {bar} {result.cycles_per_access:.2f}")
    legend = "  ".join(f"{_SHADES[c]} {LABELS[c]}" for c in _SHADES if c in used)
    return "\n".join([*lines, f"{'':>{width}} {legend}"])


def summary(comparison: Comparison) -> str:
    """What the table says, in a sentence for each technique but the first."""
    first, *others = comparison.results
    sentences = []
    for other in others:
        ratio = other.cycles_per_access / first.cycles_per_access
        worst = max(
            (name for name in other.cycles if name not in NOT_TRANSLATION),
            key=lambda name: other.cycles[name].likely - first.cycles[name].likely,
        )
        extra = (other.cycles[worst].likely - first.cycles[worst].likely) / comparison.accesses
        sentences.append(
            f"{other.technique} takes {ratio:.2f} times the cycles of {first.technique}"
            + (f", most of the difference in {LABELS[worst]}." if extra > 0 else ".")
        )
    return "\n".join(sentences)
