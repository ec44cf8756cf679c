"""What a reader of estimates must know before he concludes from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mmulab.mmu.sampling.estimating import Counted
from mmulab.mmu.sampling.intervals import Intervals
from mmulab.mmu.sampling.plan import Plan
from mmulab.mmu.sampling.results import TechniqueEstimate

#: Units from which on a mean is taken to be normal, as SMARTS does.
FEW = 30

#: Part of an estimate that half of its interval is warned of from which on: a choice.
WIDE = 0.1

#: Standard errors that the halves of units may differ by: 99.9 % of samples with enough warm-up.
#: There are several techniques.
TOO_FAR = 3.09

#: Part of a unit's cycles by which they must differ besides, so as to matter: a choice.
TOO_MUCH = 0.005

_PAGED = ("guest_swap_ins", "host_swap_ins", "host_refetches", "guest_drops", "guest_swap_outs")


def warnings(
    counted: Sequence[Counted],
    results: Sequence[TechniqueEstimate],
    how: Intervals,
    plan: Plan,
) -> tuple[str, ...]:
    """A sentence for each thing."""
    return (
        *_units(how, plan),
        *_warmup(counted, how),
        *_width(results),
        *_paging(counted),
    )


def _units(how: Intervals, plan: Plan) -> Iterator[str]:
    measured = len(plan.starts)
    if how.method == "simpoint" and how.each == 1 and measured < sum(plan.sizes):
        yield "one unit stands for each cluster: there are no intervals; each=5 gives them"
    elif measured < FEW and measured < sum(plan.sizes):
        yield (
            f"{measured} units are few: intervals take their mean to be normal, which holds from "
            f"about {FEW} on"
        )
    run = measured * (how.unit + how.warmup)
    if 2 * run > plan.accesses:
        yield (
            f"units and their warm-up are {min(100, 100 * run / plan.accesses):.0f} % of the "
            "trace: a whole run takes hardly longer, and is exact"
        )


def _warmup(counted: Sequence[Counted], how: Intervals) -> Iterator[str]:
    """Hardware that is not warm yet costs more in the first half of a unit than in the second."""
    worst, part = "", 0.0
    for each in counted:
        first, whole = each.of_hardware
        more = 2 * first - whole
        if len(more) < 2:
            return
        error = more.std(ddof=1) / math.sqrt(len(more))
        mean = more.mean() / max(whole.mean(), 1e-9)
        if more.mean() > TOO_FAR * error and mean > max(part, TOO_MUCH):
            worst, part = each.spec.text, mean
    if worst:
        yield (
            f"warm-up of {how.warmup:,} is too short: under {worst}, TLBs, caches and walks take "
            f"{100 * part:.1f} % of a unit's cycles more in its first half than in its second; "
            "give warmup=... more"
        )


def _width(results: Sequence[TechniqueEstimate]) -> Iterator[str]:
    for each in results:
        estimate, needed = each.cycles_per_access, each.units_for_goal
        if estimate.margin is not None and estimate.margin > WIDE * estimate.value:
            known = 100 * estimate.margin / estimate.value
            yield (
                f"cycles of {each.technique} are known to {known:.0f} % only; about {needed:,} "
                "units would give 3 %"
            )


def _paging(counted: Sequence[Counted]) -> Iterator[str]:
    if any(np.any(each.columns[f"counts.{name}"]) for each in counted for name in _PAGED):
        yield (
            "memory was paged out: what is skipped does not count as use of a page, so that others "
            "are evicted than in a whole run"
        )
