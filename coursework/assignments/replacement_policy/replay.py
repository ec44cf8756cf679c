"""What a policy's victims come to, played again; and what others would have come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import entry

FIFO, LRU, OPT = 0, 1, 2
_NEVER = 1 << 62


@entry
def _replay(pages, sets, ways, victims, wired, tag):
    """Misses with these victims; -1 where one is no way, or a wired one, or there are too few."""
    filled = np.zeros(sets, np.int64)
    tag[:] = -1
    misses = 0
    used = 0
    for page in pages:
        index = page % sets
        hit = False
        for each in range(ways):
            if tag[index, each] == page:
                hit = True
        if hit:
            continue
        misses += 1
        if filled[index] < ways:
            way = filled[index]
            filled[index] += 1
        else:
            if used >= victims.size:
                return -1
            way = victims[used]
            used += 1
            if way < 0 or way >= ways or wired[way]:
                return -1
        tag[index, way] = page
    return misses


@entry
def _known(pages, following, sets, ways, policy, wired, tag, age):
    """Misses of FIFO, LRU or OPT. following: position of each access's page's next access."""
    tag[:] = -1
    age[:] = -1
    misses = 0
    for at in range(pages.size):
        page = pages[at]
        index = page % sets
        way = -1
        for each in range(ways):
            if tag[index, each] == page:
                way = each
        hit = way >= 0
        if not hit:
            misses += 1
            way = -1
            for each in range(ways):
                if wired[each] and tag[index, each] >= 0:
                    continue
                if way < 0:
                    way = each
                elif policy == OPT:
                    if tag[index, way] >= 0 and (
                        tag[index, each] < 0 or age[index, each] > age[index, way]
                    ):
                        way = each
                elif age[index, each] < age[index, way]:
                    way = each
            tag[index, way] = page
        if policy == OPT:
            age[index, way] = following[at]
        elif policy == LRU or not hit:
            age[index, way] = at
    return misses


def replay(
    pages: np.ndarray, sets: int, ways: int, victims: np.ndarray, wired: Sequence[int] = ()
) -> int:
    """Misses of a policy that chose these victims; -1 where they are no valid choices. wired:
    ways that no page leaves."""
    given = np.ascontiguousarray(victims, np.int64).ravel()
    return int(
        _replay(pages, sets, ways, given, _marked(ways, wired), np.empty((sets, ways), np.int64))
    )


def _marked(ways: int, wired: Sequence[int]) -> np.ndarray:
    return np.isin(np.arange(ways), wired)


def known(pages: np.ndarray, sets: int, ways: int, policy: int, wired: Sequence[int] = ()) -> int:
    """Misses of FIFO, LRU, or of OPT, which knows the future (Belady, IBM Systems Journal 5,
    1966)."""
    following = np.full(len(pages), _NEVER, np.int64)
    order = np.argsort(pages, kind="stable")
    same = pages[order][1:] == pages[order][:-1]
    following[order[:-1][same]] = order[1:][same]
    tag, age = np.empty((sets, ways), np.int64), np.empty((sets, ways), np.int64)
    return int(_known(pages, following, sets, ways, policy, _marked(ways, wired), tag, age))


def traces(p: Any) -> dict[str, np.ndarray]:
    """A student's traces: page numbers, int64."""
    from mmulab import workloads

    found = {}
    for name, spec in p["traces"].items():
        parts: list[np.ndarray] = []
        have = 0
        for chunk in workloads.resolve(spec, seed=p["seed"]).chunks():
            parts.append((chunk.address >> 12) & ((1 << 40) - 1))
            have += len(parts[-1])
            if have >= p["accesses"]:
                break
        found[name] = np.ascontiguousarray(np.concatenate(parts)[: p["accesses"]])
    return found
