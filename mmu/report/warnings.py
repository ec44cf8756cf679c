"""What a reader of a comparison must know before he concludes from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmulab.mmu.config import guest_thp
from mmulab.mmu.memory.entries import SIZE_NAMES
from mmulab.mmu.report.results import TechniqueResult

#: Part of the cycles, in per cent, from which on first touches of memory are warned of.
TOO_MANY = 20.0


def warnings(
    results: Sequence[TechniqueResult], settings: Mapping[str, Any], warmup: int
) -> tuple[str, ...]:
    """A sentence for each thing."""
    policy = guest_thp.parse(settings["guest_thp"])
    found = (
        _first_touches(results, warmup),
        _page_size(results[0], settings["page_size"]) if policy.policy == "fault" else "",
        _idle_threads(results[0], policy),
    )
    return tuple(sentence for sentence in found if sentence)


def _idle_threads(result: TechniqueResult, policy: guest_thp.GuestTHP) -> str:
    if not policy.scans or result.counts["thp_scanned"] or result.counts["thp_collapse_alloc"]:
        return ""
    return (
        f"guest thp {policy.policy}: it looked at no region for a promotion; it sleeps for "
        f"{policy.ticks('scan_sleep', False):,} accesses between two batches; give times that fit "
        f"the trace, such as scan_sleep_millisecs=0.5"
    )


def _first_touches(results: Sequence[TechniqueResult], warmup: int) -> str:
    most = max(results, key=lambda result: result.first_touch_percent)
    if most.first_touch_percent <= TOO_MANY:
        return ""
    cure = (
        "they went on after the warm-up: measure more of the program"
        if warmup
        else "--warmup auto leaves most of them out"
    )
    return (
        f"first touches of memory are {most.first_touch_percent:.0f} % of the cycles of "
        f"{most.technique}, which a longer run would have no more of; {cure}"
    )


def _page_size(result: TechniqueResult, asked: str) -> str:
    got = {size: result.counts[f"faults_{size}"] for size in SIZE_NAMES}
    wanted = "2m" if asked == "thp" else asked
    smaller = {
        size: number
        for size, number in got.items()
        if number and SIZE_NAMES.index(size) < SIZE_NAMES.index(wanted)
    }
    if not smaller:
        return ""
    parts = " and ".join(f"{number:,} got {size}" for size, number in smaller.items())
    return (
        f"guest pages {asked}: of {sum(got.values()):,} first touches {parts}, where the mapping "
        f"holds no aligned page of {wanted}"
    )
