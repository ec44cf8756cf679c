"""How many VMs of a mix fit on its host: by bisection, with each set of mechanisms.

What fits is what comes to its end with slowdowns within the limit at the percentile asked for. The
number of VMs is doubled until they do not fit, then halved between what fits and what does not, so
that the answer is one of two neighbours that have both been run. It takes for granted that what
is too much stays so with more; all that was tried is in the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError, check_range
from mmulab.mmu.report.consolidation import Consolidation, Fitted, Tried
from mmulab.mmu.report.long_rows import FAILED, METRIC, Row
from mmulab.mmu.report.made import Making
from mmulab.mmu.scenario import crowd
from mmulab.studies import points, store
from mmulab.studies.engines import Engine, Inline
from mmulab.studies.points import Point
from mmulab.studies.study import Study

if TYPE_CHECKING:
    from mmulab.mmu.scenario.settings import Scenario

#: The percentile that stands for the worst of all.
WORST = 100.0

#: VMs that are tried at most, unless told otherwise.
MOST = 1024

_VM, _VALUE, _WHY = METRIC - 2, METRIC + 2, -1  # columns of a row, without what begins it
_BLOCKS = ("blocks_moved", "mean.saved")

Said = Callable[[str, Tried], None]


@dataclass
class _Search:
    """What is known of a set. fits: as many do; fails: as many do not, once something does not."""

    mechanisms: str
    most: int
    fits: int = 0
    fails: int | None = None
    tried: dict[int, Tried] = field(default_factory=dict)

    def next(self) -> int | None:
        """How many VMs to try; None where that is settled."""
        if self.fails is None:
            return None if self.fits == self.most else min(self.most, max(1, 2 * self.fits))
        return None if self.fails - self.fits == 1 else (self.fits + self.fails) // 2

    def note(self, tried: Tried) -> None:
        self.tried[tried.vms] = tried
        if tried.fits:
            self.fits = tried.vms
        else:
            self.fails = tried.vms

    def result(self) -> Fitted:
        every = tuple(self.tried[count] for count in sorted(self.tried))
        return Fitted(self.mechanisms, self.fits, self.fails is None, every)


def consolidate(
    scenario: Scenario,
    slowdown: float = 1.2,
    percentile: float = 95.0,
    sets: Sequence[str] = (),
    most: int = MOST,
    folder: str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    said: Said | None = None,
) -> Consolidation:
    """How many VMs of a scenario's mix fit on its host, with each set of mechanisms.

    slowdown: the most that is allowed, against a VM alone, at a percentile of the VMs. sets: as
    `crowd` has them; those of `crowd.sets_of` unless given. most: VMs that are tried. folder: keeps
    the runs, and what it keeps is not made again. engine: who makes them. said: told of each.

    Raises InputError for a bad scenario, set or number, or a folder of another study.
    """
    check_range("slowdown", slowdown, 1.0, 1e6)
    check_range("percentile", percentile, 1.0, 100.0)
    check_range("most", most, 1, 1_000_000)
    crowd.check_mix(scenario)
    names = [crowd.read_set(scenario, each) for each in sets or crowd.sets_of(scenario)]
    making = Making({})
    study = Study(
        scenario.name, "consolidate", scenario=scenario, axes={"mechanisms": (), "vms": ()}
    )
    searches = [_Search(name, most) for name in dict.fromkeys(names)]
    with _kept(folder, study) as keep:
        while wanted := [(each, n) for each in searches if (n := each.next()) is not None]:
            found = dict(_rows(study, wanted, keep, engine or Inline()))
            for search, count in wanted:
                tried = _tried(count, found[search.mechanisms], slowdown, percentile)
                search.note(tried)
                if said:
                    said(search.mechanisms, tried)
    return Consolidation(
        scenario=scenario.name,
        slowdown=slowdown,
        percentile=percentile,
        host_memory=scenario.host.memory,
        vm_memory=sum(vm.memory for vm in scenario.vms) / len(scenario.vms),
        sets=tuple(each.result() for each in searches),
        input={"call": "consolidate", "scenario": asdict(scenario), "most": most},
        made=making.made(),
    )


@contextmanager
def _kept(folder: str | os.PathLike[str] | None, study: Study) -> Iterator[store.Store | None]:
    if folder is None:
        yield None
        return
    with store.opened(folder, study, [], grows=True) as kept:
        yield kept
        kept.finish()


def _rows(
    study: Study, wanted: list[tuple[_Search, int]], keep: store.Store | None, engine: Engine
) -> Iterator[tuple[str, list[Row]]]:
    """The rows of a run of each set, made where they are not kept."""
    missing: list[Point] = []
    for search, count in wanted:
        point = points.one(study, {"mechanisms": search.mechanisms, "vms": str(count)})
        if point.refused:
            raise InputError(f"{count} VMs, {search.mechanisms}: {point.refused}")
        if keep:
            keep.add(point)
        if keep and point.key in keep.done:
            yield search.mechanisms, keep.done[point.key]
        else:
            missing.append(point)
    for outcome in engine.outcomes(missing):
        if keep:
            keep.append(outcome.point, outcome.rows)
        yield dict(outcome.point.axes)["mechanisms"], outcome.rows


def _tried(count: int, rows: Sequence[Row], limit: float, percentile: float) -> Tried:
    """What the rows of a run say."""
    why = next((row[_WHY] for row in rows if row[METRIC] == FAILED), "")
    if why:
        return Tried(count, False, None, None, None, why=why)
    slow = [float(row[_VALUE]) for row in rows if row[METRIC] == "slowdown"]
    host: dict[str, Any] = {row[METRIC]: float(row[_VALUE]) for row in rows if not row[_VM]}
    at = crowd.percentile(slow, percentile) if slow else 1.0
    moved, saved = (host.get(name, 0.0) for name in _BLOCKS)
    worst, mean = (max(slow), sum(slow) / len(slow)) if slow else (1.0, 1.0)
    return Tried(count, at <= limit, at, worst, mean, int(moved), saved)
