"""What each of several cores did, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmulab.mmu.machine.simulator import Simulator
from mmulab.mmu.machine.vcpus import total_of
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.counts import read_structures, shootdowns_of
from mmulab.mmu.report.measured import first_touches, measured
from mmulab.mmu.report.overlap import Independence
from mmulab.mmu.report.results import CoreResult, TechniqueResult

#: Counts that a core has of its own in results.
OF_CORE = (
    "accesses", "l1_tlb_misses", "l2_tlb_misses", "walks", "guest_faults", "invlpgs", "cr3_loads",
)  # fmt: skip


def technique_result(
    simulator: Simulator,
    preset: Preset,
    by_kind: Sequence[int],
    touched: int,
    known: Independence,
) -> TechniqueResult:
    """The result of a technique's machine. by_kind, touched, known: as of `measured`."""
    spec, machines = simulator.spec, simulator.machines
    vcpu = total_of([machine.vcpu for machine in machines])
    several = len(machines) > 1
    vm = simulator.machine.vm
    of_all = measured(
        spec, vcpu, by_kind, preset, touched, known, shootdowns_of(vm) if several else None
    )
    result = TechniqueResult(
        **of_all,
        structures=_structures(simulator, preset, by_kind, touched),
        frames=simulator.frames_by_kind(),
        first_touch=first_touches(spec, vcpu, preset),
    )
    if not several:
        return result
    cores = (_core(simulator, preset, known, number) for number in range(len(machines)))
    return replace(result, cores=tuple(cores))


def _core(simulator: Simulator, preset: Preset, known: Independence, number: int) -> CoreResult:
    assert simulator.turns is not None
    kinds = simulator.turns.kinds[number].tolist()
    machine = simulator.machines[number]
    told = shootdowns_of(machine.vm, number)
    here: dict[str, Any] = measured(simulator.spec, machine.vcpu, kinds, preset, 0, known, told)
    counts = {name: here["counts"][name] for name in OF_CORE}
    return CoreResult(number, sum(kinds), cost.total(here["cycles"]), counts, told)


def _structures(
    simulator: Simulator, preset: Preset, by_kind: Sequence[int], touched: int
) -> dict[str, dict[str, int]]:
    """Of each unit, of all cores together."""
    machines, units = simulator.machines, simulator.units
    if simulator.turns is None:
        machine = machines[0]
        return read_structures(machine.core, machine.vcpu, units, preset, by_kind, touched)
    total: dict[str, dict[str, int]] = {}
    of_program = np.zeros(len(machines), np.int64)
    of_program[0] = touched  # hits of the first cache are known for all cores together
    for machine, kinds, lines in zip(
        machines, simulator.turns.kinds.tolist(), of_program.tolist(), strict=True
    ):
        of_one = read_structures(machine.core, machine.vcpu, units, preset, kinds, lines)
        for name, counts in of_one.items():
            known = total.setdefault(name, {"hits": 0, "misses": 0})
            for what, number in counts.items():
                known[what] += number
    return total
