"""Verdicts: which of two techniques takes fewer cycles, in how much of the range of the costs.

Techniques share most of their costs, so that overlapping ranges of their totals say nothing: a
cost that is high is high for both. What is compared is how often each is charged. With c the
costs, a_k and b_k the charges of two techniques, and their difference

    D(c) = sum over costs k of (a_k - b_k) c_k

the first takes fewer cycles where D < 0. What overlap hides (`mmu.report.overlap`) is one more
cost for walks and one for data: a number from 0, as much hidden as can be, over 0.5, likely, to 1,
nothing hidden, that is the same for both techniques. It multiplies the charges of each.

Share of the range. Of DRAWS draws, those in which the first takes fewer. Each cost is drawn alone:
in half of the draws evenly between its low and its likely value, in half evenly between likely and
high. That is no measurement of how probable a value is; it weighs the sides of a range equally.
The seed is fixed. The least and the most of the ratio are computed, not drawn, by Dinkelbach's
method (On Nonlinear Fractional Programming, Management Science 13(7), 1967): of a ratio x so far,
the costs are sought where a c - x b c is least, and x becomes the ratio there. That is linear in
each cost, so that it is least at the ends of ranges; in overlap it is the least of linear
functions in each half, which is least at 0, 0.5 or 1.

Break-even of a cost: its value at which the two take the same cycles, all others as likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.measured import Measured
from mmulab.mmu.report.overlap import GROUPS

DRAWS = 4096
SEED = 1

#: Multiples of a likely cost up to which a break-even is told.
FARTHEST = 10.0

#: Where overlap is as much as can be, likely, and none.
ENDS = (0.0, 0.5, 1.0)
OVERLAP = "overlap."
_HIDDEN = "assumption: from as much hidden as can be (0) over likely (0.5) to nothing (1)"

#: Differences of ratios below this are rounding.
_TINY = 1e-12


@dataclass(frozen=True)
class Influence:
    """What one cost does to the ratio of two techniques' cycles, the others as likely.

    cost: its key of `--set`, or "overlap.walks", "overlap.data". low, likely, high: its values.
    ratio_low, ratio_high: with the cost at those. swing: how far the ratio goes. break_even: the
    cost at which the cycles are equal; None where there is none from 0 to FARTHEST times likely.
    """

    cost: str
    low: float
    likely: float
    high: float
    ratio_low: float
    ratio_high: float
    swing: float
    break_even: float | None
    source: str

    @property
    def in_range(self) -> bool:
        return self.break_even is not None and self.low <= self.break_even <= self.high


@dataclass(frozen=True)
class Pair:
    """Two techniques over one trace.

    of, to: their specs. ratio: of the cycles of `of` to those of `to`, the least and the most
    in the range of the costs, and with all as likely. fewer: which takes fewer likely cycles.
    share: the part of the range in which it does. everywhere: whether it does at each point.
    costs: what each does, that of the largest swing first; those that do nothing are left out.
    """

    of: str
    to: str
    ratio: Range
    fewer: str
    share: float
    everywhere: bool
    costs: tuple[Influence, ...]

    @property
    def more(self) -> str:
        """The other one."""
        return self.to if self.fewer == self.of else self.of

    @property
    def to_more(self) -> Range:
        """The ratio of the one with fewer likely cycles to the other."""
        if self.fewer != self.to:
            return self.ratio
        least, likely, most = self.ratio
        return Range(*(1 / each if each else float("inf") for each in (most, likely, least)))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], costs: Mapping[str, Cited]) -> Pair:
        """What `to_dict` made plain. costs: whose sources it leaves out."""
        influences = (
            Influence(**each, source=costs[each["cost"]].source if each["cost"] in costs else "")
            for each in plain["costs"]
        )
        return cls(**{**plain, "ratio": Range(**plain["ratio"]), "costs": tuple(influences)})

    def to_dict(self) -> dict[str, Any]:
        influences = [asdict(each) for each in self.costs]
        for each in influences:
            del each["source"]
        return asdict(self) | {"ratio": self.ratio._asdict(), "costs": influences}


class _Charged:
    """A technique's charges as arrays over costs: of what is never hidden, and of each group."""

    def __init__(self, result: Measured, keys: Sequence[str]) -> None:
        hidden = {category for each in GROUPS.values() for category in each}
        rest = [category for category in result.charges if category not in hidden]
        at = {key: number for number, key in enumerate(keys)}
        self.times = np.zeros((1 + len(GROUPS), len(keys)))
        for group, categories in enumerate([rest, *GROUPS.values()]):
            for category in categories:
                for key, number in result.charges.get(category, {}).items():
                    self.times[group, at[key]] += number
        self.waited = [result.overlap.of(group) for group in GROUPS]

    def factors(self, overlap: np.ndarray) -> np.ndarray:
        """What each group's cycles are multiplied by. overlap: [group, draw]."""
        of_groups = [
            np.interp(drawn, ENDS, waited)
            for drawn, waited in zip(overlap, self.waited, strict=True)
        ]
        return np.array([np.ones_like(overlap[0]), *of_groups])

    def at(self, overlap: Sequence[float]) -> np.ndarray:
        """Charges of each cost, with so much overlap."""
        return np.asarray(self.factors(np.array(overlap)[:, None])[:, 0] @ self.times)

    def cycles(self, costs: np.ndarray, overlap: np.ndarray) -> np.ndarray:
        """By draw. costs: [cost, draw]."""
        return np.asarray((self.factors(overlap) * (self.times @ costs)).sum(axis=0))


class Costs:
    """The costs of techniques that are compared, as arrays, and one set of draws for all pairs.

    costs: as of `mmu.report.cost.costs_of`, of all of them.
    """

    def __init__(self, costs: Mapping[str, Cited]) -> None:
        self.costs = dict(sorted(costs.items()))
        self.keys = list(self.costs)
        self.low, self.likely, self.high = (
            np.array([getattr(cost, name) for cost in self.costs.values()])
            for name in ("low", "value", "high")
        )
        drawn = np.random.default_rng(SEED).random((len(self.keys) + len(GROUPS), DRAWS))
        self.overlap = drawn[: len(GROUPS)]
        self.drawn = np.array(
            [
                np.interp(draw, ENDS, ends)
                for draw, ends in zip(
                    drawn[len(GROUPS) :],
                    zip(self.low, self.likely, self.high, strict=True),
                    strict=True,
                )
            ]
        ).reshape(len(self.keys), DRAWS)

    def pair(self, of: Measured, to: Measured) -> Pair:
        """Two results over the same trace."""
        sides = _Charged(of, self.keys), _Charged(to, self.keys)
        middle = [0.5] * len(GROUPS)
        mine, its = (side.at(middle) @ self.likely for side in sides)
        ratio = Range(
            self._extreme(*sides, _ratio(mine, its), 1),
            _ratio(mine, its),
            self._extreme(*sides, _ratio(mine, its), -1),
        )
        less, more = sides if mine <= its else sides[::-1]
        gains = more.cycles(self.drawn, self.overlap) - less.cycles(self.drawn, self.overlap)
        everywhere = ratio.high < 1 if mine < its else ratio.low > 1
        return Pair(
            of=of.technique,
            to=to.technique,
            ratio=ratio,
            fewer="" if mine == its else of.technique if mine < its else to.technique,
            share=1.0 if everywhere else float((gains > 0).mean()),
            everywhere=everywhere,
            costs=self._influences(*sides),
        )

    def _extreme(self, of: _Charged, to: _Charged, ratio: float, sign: int) -> float:
        """The least ratio, or with sign -1 the most, in the range of the costs."""
        corners = [(of.at(each), to.at(each)) for each in product(ENDS, repeat=len(GROUPS))]
        while True:
            found = []
            for mine, its in corners:
                apart = sign * (mine - ratio * its)
                costs = np.where(apart > 0, self.low, self.high)
                found.append(
                    (float(apart @ costs), _ratio(float(mine @ costs), float(its @ costs)))
                )
            least, there = min(found)
            # A ratio can be below 0, where costs that are beyond others' are taken off for them.
            if not sign * (ratio - there) > _TINY * abs(ratio):
                return ratio
            ratio = there

    def _influences(self, of: _Charged, to: _Charged) -> tuple[Influence, ...]:
        middle = [0.5] * len(GROUPS)
        charged = of.at(middle), to.at(middle)
        apart = charged[0] - charged[1]
        found = []
        for number, (key, cost) in enumerate(self.costs.items()):
            if not apart[number] and not charged[0][number]:
                continue
            low, high = (self._ratio_at(charged, number, end) for end in (cost.low, cost.high))
            others = apart @ self.likely - apart[number] * cost.value
            even = -others / apart[number] if apart[number] else None
            found.append(
                Influence(
                    key, cost.low, cost.value, cost.high, low, high, abs(high - low),
                    _near(even, cost.value), cost.source,
                )
            )  # fmt: skip
        found += self._of_overlap(of, to)
        matter = (each for each in found if each.swing > _TINY or each.break_even is not None)
        return tuple(sorted(matter, key=lambda each: (-each.swing, each.cost)))

    def _ratio_at(self, charged: Sequence[np.ndarray], number: int, value: float) -> float:
        """With one cost at a value, all others likely."""
        costs = self.likely.copy()
        costs[number] = value
        return _ratio(float(charged[0] @ costs), float(charged[1] @ costs))

    def _of_overlap(self, of: _Charged, to: _Charged) -> list[Influence]:
        found = []
        for number, group in enumerate(GROUPS):
            cycles = []
            for end in ENDS:
                overlap = [0.5] * len(GROUPS)
                overlap[number] = end
                cycles.append((of.at(overlap) @ self.likely, to.at(overlap) @ self.likely))
            ratios = [_ratio(*each) for each in cycles]
            found.append(
                Influence(
                    OVERLAP + group, *ENDS, ratios[0], ratios[2], max(ratios) - min(ratios),
                    _crossing([mine - its for mine, its in cycles]), _HIDDEN,
                )
            )  # fmt: skip
        return found


def _ratio(mine: float, its: float) -> float:
    return float(mine / its) if its else 1.0


def _near(even: float | None, likely: float) -> float | None:
    """A break-even, where it is not too far from what is likely."""
    return float(even) if even is not None and 0 <= even <= FARTHEST * likely else None


def _crossing(apart: Sequence[float]) -> float | None:
    """Where the line through the differences at ENDS is 0."""
    for place, (left, right) in enumerate(zip(apart, apart[1:], strict=False)):
        if left * right < 0:
            return float(ENDS[place] + 0.5 * left / (left - right))
    return None


def verdict(
    results: Sequence[Measured], virtual: Iterable[str], costs: Mapping[str, Cited]
) -> tuple[Pair, ...]:
    """The best of the virtual techniques and the best of another name than it has, or where all
    are variants of one the next best; then each against the first.

    virtual: specs of those techniques below which a VMM runs. costs: of all techniques.
    """
    shared = Costs(costs)
    below = set(virtual)
    ranked = sorted(
        (result for result in results if result.technique in below),
        key=lambda result: result.total_cycles.likely,
    )
    chosen = [(ranked[0], another(ranked[0], ranked[1:]))] if len(ranked) > 1 else []
    compared = [{each.technique for each in pair} for pair in chosen]
    chosen += [
        (other, results[0])
        for other in results[1:]
        if {other.technique, results[0].technique} not in compared
    ]
    return tuple(shared.pair(of, to) for of, to in chosen)


def another(than: Measured, among: Sequence[Measured]) -> Measured:
    """The first that is another technique, and no variant of the same; the first where all are."""
    return next((each for each in among if each.name != than.name), among[0])
