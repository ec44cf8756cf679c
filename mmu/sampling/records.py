"""What was counted in a unit, as numbers by name: each adds up over units."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.mmu.machine.simulator import Simulator
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.cost import Charges
from mmulab.mmu.report.counts import (
    Counted,
    read_counts,
    read_data,
    read_dimensions,
    read_first_touches,
    read_references,
    read_structures,
)

#: Of a name, what stands before what is charged: `charges.CATEGORY/COST`.
CHARGES = "charges."

Record = dict[str, float]


def record(simulator: Simulator, preset: Preset, by_kind: Sequence[int], touched: int) -> Record:
    """What a simulator has counted since its counters were zero. by_kind: loads, stores and fetches
    since then. touched: lines of the program that they touched."""
    vcpu, technique = simulator.machine.vcpu, simulator.spec.technique
    levels = len(preset.caches)
    counted = read_counts(vcpu, technique, by_kind)
    dimensions = read_dimensions(vcpu, technique.walk, levels)
    data = read_data(vcpu, levels, touched)
    found = _named(counted, cost.charges(counted, dimensions, preset, technique, data))
    for one in read_references(vcpu, technique.walk, levels):
        name = f"references.{one['dimension']}"
        found[name] = found.get(name, 0) + sum(one["served_by"])
    structures = read_structures(
        simulator.machine.core, vcpu, simulator.units, preset, by_kind, touched
    )
    for unit, of_unit in structures.items():
        found |= {f"structures.{unit}.{name}": of for name, of in of_unit.items()}
    return found


def of_first_touches(simulator: Simulator, preset: Preset) -> Record:
    """Of what it has counted, what came of first touches, as `report.measured` has it."""
    technique = simulator.spec.technique
    counted = read_first_touches(simulator.machine.vcpu, technique)
    found = _named(counted, cost.charges(counted, {}, preset, technique))
    return {name: number for name, number in found.items() if number}


def _named(counted: Counted, charged: Charges) -> Record:
    found: Record = {f"counts.{name}": of for name, of in counted.counts.items()}
    found |= {f"exits.{name}": of for name, of in counted.exits.items()}
    found["total_exits"] = sum(counted.exits.values())
    found |= {f"events.{name}": of for name, of in counted.events.items()}
    for category, of_one in charged.items():
        found |= {f"{CHARGES}{category}/{key}": of for key, of in of_one.items()}
    return found


def added(one: Record, other: Record) -> Record:
    """The sums of two."""
    names = dict.fromkeys((*one, *other))
    return {name: one.get(name, 0) + other.get(name, 0) for name in names}
