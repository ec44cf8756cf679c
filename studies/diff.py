"""What changed from one study's results to another's, beyond what seeds do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.long_rows import in_words
from mmulab.mmu.report.study_results import SEED, Cell, StudyResults


class Change(NamedTuple):
    """A number that is another. part: of the old one, the change; infinite where that is 0.
    beyond: whether no seed of the one lies within the range of the other's."""

    axes: str
    subject: str
    metric: str
    old: Cell
    new: Cell

    @property
    def part(self) -> float:
        change = self.new.value - self.old.value
        if not change:
            return 0.0
        return change / abs(self.old.value) if self.old.value else float("inf") * change

    @property
    def beyond(self) -> bool:
        return self.new.least > self.old.most or self.new.most < self.old.least

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "axes": self.axes, "subject": self.subject, "metric": self.metric,
            "old": self.old._asdict(), "new": self.new._asdict(),
            "change": self.part, "beyond_seeds": self.beyond,
        }  # fmt: skip


class Diff(NamedTuple):
    """changes: beyond seeds and the threshold, the largest first. compared: numbers in all.
    only_old, only_new: what only one of them has, in words."""

    changes: list[Change]
    compared: int
    only_old: list[str]
    only_new: list[str]

    @property
    def is_same(self) -> bool:
        return not (self.changes or self.only_old or self.only_new)


def diff(
    old: StudyResults, new: StudyResults, metrics: Sequence[str] = (), threshold: float = 0.0
) -> Diff:
    """Compares numbers of the same axes, technique or VM, and metric. threshold: part of the old
    number up to which a change is none. Raises InputError where the two have nothing in common.
    """
    chosen = old.chosen(metrics)
    before, after = dict(_numbers(old, chosen)), dict(_numbers(new, chosen))
    both = [key for key in before if key in after]
    if not both:
        raise InputError(f"studies {old.name} and {new.name}: no number of the same axes in both")
    changes = [Change(*key, before[key], after[key]) for key in both]
    changes = [each for each in changes if abs(each.part) > threshold and each.beyond]
    return Diff(
        sorted(changes, key=lambda each: -abs(each.part)),
        len(both),
        _lacking(before, after),
        _lacking(after, before),
    )


Key = tuple[str, str, str]


def _numbers(results: StudyResults, metrics: Sequence[str]) -> Iterator[tuple[Key, Cell]]:
    keys = [key for key in results.axes if key != SEED]
    for at, of in results.cells(metrics, keys).items():
        axes = in_words(dict(zip(keys, at, strict=True)))
        for series, cell in of.items():
            yield (axes, series.subject, series.metric), cell


def _lacking(some: dict[Key, Cell], others: dict[Key, Cell]) -> list[str]:
    """Runs of which the others have no number that these have."""
    return list(dict.fromkeys(" ".join(filter(None, key[:2])) for key in some if key not in others))
