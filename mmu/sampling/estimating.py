"""From what units counted to what the whole trace would have counted, and what that costs.

Cycles are linear in counts but for overlap, which depends on rates: those of the whole sample give
the part that is waited for, as those of the whole trace do in a whole run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.cost import CATEGORIES, NOT_TRANSLATION, Charges, Range
from mmulab.mmu.report.overlap import Independence, Overlap, overlap
from mmulab.mmu.sampling.measuring import Units
from mmulab.mmu.sampling.records import CHARGES, Record
from mmulab.mmu.sampling.results import GOAL, TechniqueEstimate
from mmulab.mmu.sampling.statistics import Estimate, Sample
from mmulab.mmu.techniques.specs import Spec

#: Categories of cycles that depend on what hardware holds.
HARDWARE = ("data", "l2_tlb", "guest_walk", "nested_walk")

Columns = dict[str, np.ndarray]  # float64[unit] by name


class Counted:
    """What one technique counted in the units of a sample, priced.

    cycles: float64[unit] of each category, costs as likely.
    """

    def __init__(
        self, spec: Spec, units: Units, sample: Sample, preset: Preset, known: Independence,
        accesses: int,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.columns = _with_first_touches(units, accesses)
        self._sample = sample
        self._accesses = accesses
        self._costs = cost.costs_of(preset, spec.technique)
        means = {name: sample.mean(column) for name, column in self.columns.items()}
        self._charges = _charges(means)
        self._hidden = _hidden(means, self._charges, self._costs, preset, known)
        self.cycles = self._priced(self.columns)
        halves = self._priced(columns_of(units.halves))
        #: Cycles of TLBs, caches and walks in the first half of each unit, and in all of it.
        self.of_hardware = _sum(halves, HARDWARE), _sum(self.cycles, HARDWARE)

    def _priced(self, columns: Mapping[str, np.ndarray]) -> Columns:
        """Cycles by category, in each unit."""
        units = len(columns["counts.accesses"])
        found = {category: np.zeros(units) for category in CATEGORIES}
        for name, column in columns.items():
            if name.startswith(CHARGES):
                category, _, key = name.removeprefix(CHARGES).partition("/")
                waited = self._hidden.by_category.get(category)
                part = waited.likely if waited else 1.0
                found[category] += column * self._costs[key].value * part
        return found

    @property
    def total(self) -> np.ndarray:
        """Cycles of each unit."""
        return _sum(self.cycles, CATEGORIES)

    def estimate(self, first: Counted) -> TechniqueEstimate:
        metrics = self._metrics()
        cycles = metrics["cycles_per_access"]
        needed = None
        if cycles.margin is not None:
            needed = math.ceil(len(self.total) * (cycles.margin / (GOAL * cycles.value)) ** 2)
        return TechniqueEstimate(
            technique=self.spec.text,
            name=self.spec.name,
            parameters=self.spec.parameters,
            metrics=metrics,
            times=self._sample.ratio(self.total, first.total),
            costs=self._range(),
            units_for_goal=needed,
        )

    def _metrics(self) -> dict[str, Estimate]:
        ratio, columns = self._sample.ratio, self.columns
        accesses = columns["counts.accesses"]
        totals = {name: of for name, of in columns.items() if not name.startswith(CHARGES)}
        totals |= {f"cycles.{category}": of for category, of in self.cycles.items()}
        totals["total_cycles"] = self.total
        found = {name: ratio(of, accesses, self._accesses) for name, of in totals.items()}
        found["cycles_per_access"] = ratio(self.total, accesses)
        spent = sum(of for name, of in self.cycles.items() if name not in NOT_TRANSLATION)
        found["translation_percent"] = ratio(np.asarray(spent), self.total, 100)
        references = [of for name, of in columns.items() if name.startswith("references.")]
        found["references_per_walk"] = ratio(
            np.asarray(sum(references, np.zeros(len(accesses)))), columns["counts.walks"]
        )
        looked_up = accesses + columns["counts.straddles"]
        for level in ("l1", "l2"):
            missed = columns[f"counts.{level}_tlb_misses"]
            found[f"{level}_tlb_miss_ratio"] = ratio(missed, looked_up)
        return found

    def _range(self) -> Range:
        cycles = cost.price(self._charges, self._costs, self._hidden.by_category)
        accesses = self._sample.mean(self.columns["counts.accesses"])
        return cost.total(cycles).over(accesses)


def _sum(cycles: Columns, categories: Collection[str]) -> np.ndarray:
    return np.asarray(sum(cycles[category] for category in categories))


def _with_first_touches(units: Units, accesses: int) -> Columns:
    """What units counted, with what came of first touches replaced by an equal part of what came of
    all of them: those in between were simulated, too, so that nothing of it need be estimated."""
    found = columns_of(units.whole)
    first = columns_of(units.first)
    in_units = found["counts.accesses"] / accesses
    for name in dict.fromkeys((*units.touched, *first)):
        of_units = found.setdefault(name, np.zeros(len(in_units)))
        found[name] = of_units - first.get(name, 0) + units.touched.get(name, 0) * in_units
    return found


def columns_of(units: Mapping[int, Record]) -> Columns:
    """What units have, by name, in the order of their numbers; 0 where one has none."""
    records = [units[number] for number in sorted(units)]
    names = dict.fromkeys(name for record in records for name in record)
    return {name: np.array([float(each.get(name, 0)) for each in records]) for name in names}


def _charges(means: Mapping[str, float]) -> Charges:
    charged: Charges = {category: {} for category in CATEGORIES}
    for name, mean in means.items():
        if name.startswith(CHARGES):
            category, _, key = name.removeprefix(CHARGES).partition("/")
            charged[category][key] = mean
    return charged


def _hidden(
    means: Mapping[str, float],
    charged: Charges,
    costs: Mapping[str, Cited],
    preset: Preset,
    known: Independence,
) -> Overlap:
    """What is waited for, by the rates of the sample. overlap takes counts of any scale."""
    data = means["counts.loads"] + means["counts.stores"] or means["counts.fetches"]
    walks = means["counts.walks"]
    return overlap(known, data, walks, charged, costs, preset)  # type: ignore[arg-type]
