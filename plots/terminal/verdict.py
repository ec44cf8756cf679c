"""Verdicts in words, and what each cost does to one as a table."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

from mmulab.mmu.report.overlap import GROUPS
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.verdict import OVERLAP, Influence, Pair, another
from mmulab.mmu.techniques.specs import parse

#: Sentences below a table, and break-even values in one of them.
MOST = 3
MOST_VALUES = 2

#: Part of a ratio below which what a cost does to it is left out, and characters of a source; all
#: of it is where the cost is listed.
LEAST = 0.005
SOURCE = 72

#: Shares above which, short of all, no number is said.
_NEARLY_ALL = 0.995


def sentences(comparison: Comparison) -> list[str]:
    """What follows from the range of the costs: of the virtual techniques, and against the
    first; at most MOST sentences."""
    pairs = list(comparison.verdict)
    base = comparison.results[0].technique
    ahead = [pair for pair in pairs if pair.everywhere and pair.fewer == base == pair.to]
    if len(ahead) > 1:
        others = [pair.of for pair in ahead]
        together = ", ".join(others[:-1]) + " and " + others[-1]
        said = [_sentence(pair) for pair in pairs if pair not in ahead]
        said.append(f"{base} takes fewer cycles than {together} in all of the range of the costs")
        return said[:MOST]
    return [_sentence(pair) for pair in pairs][:MOST]


def _sentence(pair: Pair) -> str:
    if not pair.fewer:
        return f"{pair.of} and {pair.to} take the same cycles"
    low, likely, high = (f"{each:.2f}" for each in pair.to_more)
    said = (
        f"{pair.fewer} takes {likely} times the cycles of {pair.more} ({low} to {high}), fewer in "
        f"{_share(pair)} of the costs"
    )
    values = sorted(
        (each for each in pair.costs if each.in_range and not each.cost.startswith(OVERLAP)),
        key=_distance,
    )
    if not values:
        return said
    where = " or ".join(_where(each) for each in values[:MOST_VALUES])
    return f"{said}; {pair.more} takes fewer {where}"


def _share(pair: Pair) -> str:
    if pair.everywhere:
        return "all of the range"
    if pair.share >= _NEARLY_ALL:
        return "over 99 % of the range"
    return f"{100 * pair.share:.0f} % of the range"


def _distance(each: Influence) -> float:
    """From the likely value to the break-even, as a part of that side of the range."""
    even = float(each.break_even or 0)
    side = each.high - each.likely if even > each.likely else each.likely - each.low
    return abs(even - each.likely) / side if side else 0.0


def _where(each: Influence) -> str:
    even = float(each.break_even or 0)
    side = "above" if even > each.likely else "below"
    return f"{side} {label(each.cost)} {number(even)} (likely {number(each.likely)})"


def label(cost: str) -> str:
    """A cost by the shortest words that say which."""
    words = {f"{OVERLAP}{group}": f"overlap of {group}" for group in GROUPS}
    return words.get(cost, cost.removeprefix("cost."))


def number(value: float) -> str:
    """A cost: whole from a thousand on, else three digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def of_two(comparison: Comparison) -> Pair:
    """The last technique and the last before it that is no variant of it; of two or more. Bare
    metal is left out where there are two others."""
    results = comparison.results
    virtual = [result for result in results if parse(result.technique).technique.virtual]
    last, *before = reversed(virtual if len(virtual) > 1 else results)
    return comparison.pair(last.technique, another(last, before).technique)


def matter(pair: Pair) -> list[Influence]:
    """The costs that can be seen to change a ratio, or at whose value two are equal."""
    least = LEAST * pair.ratio.likely
    return [each for each in pair.costs if each.swing >= least or each.break_even is not None]


#: Of a cost that matters.
HEAD = ("cost", "low", "likely", "high", "ratio at low", "at high", "equal at", "source")


def sensitivity(pair: Pair) -> str:
    """A row for each cost that matters to a pair, that of the largest swing first."""
    rows = [HEAD, *(row(each) for each in matter(pair))]
    widths = [max(len(of[at]) for of in rows) for at in range(len(HEAD))]
    lines = [
        f"cycles of {pair.of} / cycles of {pair.to}: {pair.ratio.likely:.3f}; with one cost at the "
        "ends of its range and all others likely"
    ]
    for of in rows:
        cells = [of[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(of[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([*cells, of[-1]]).rstrip())
    if any(each.break_even is not None and not each.in_range for each in pair.costs):
        lines.append("(in brackets: beyond the range)")
    return "\n".join(lines)


def row(each: Influence) -> Sequence[str]:
    """What a cost does, as of HEAD."""
    return (
        label(each.cost),
        number(each.low),
        number(each.likely),
        number(each.high),
        f"{each.ratio_low:.3f}",
        f"{each.ratio_high:.3f}",
        equal_at(each),
        shorten(each.source, SOURCE, placeholder=" ..."),
    )


def equal_at(each: Influence) -> str:
    """The break-even, in brackets where it lies beyond the range."""
    if each.break_even is None:
        return "-"
    return number(each.break_even) if each.in_range else f"({number(each.break_even)})"
