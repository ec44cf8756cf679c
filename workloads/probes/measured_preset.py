"""A calibration as a preset, and its file: what was measured over a base, all else marked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from mmulab.mmu.config import preset_files
from mmulab.mmu.presets import geometry
from mmulab.mmu.presets.cited import WALK
from mmulab.mmu.presets.overrides import GROUPS, override
from mmulab.mmu.presets.preset import NUMBERS, STATED, Preset
from mmulab.workloads.probes import kernel_events, memory
from mmulab.workloads.probes.calibration import Calibration
from mmulab.workloads.probes.findings import Finding, Findings
from mmulab.workloads.probes.fitting import Fit

NAME = "measured"
CHASE = "a dependent chase over more pages than the last TLB holds"


def preset(measured: Calibration, found: Findings, base: Preset, fit: Fit | None = None) -> Preset:
    """The base with what was measured in its place, every other number's source marked."""
    made = replace(
        _marked(base),
        name=NAME,
        base=base.base or base.name,
        title=f"{measured.facts.model}, measured",
        notes=(*notes(measured, found, fit), *base.notes),
    )
    for key, one in found.numbers.items():
        for name, value in _settings(base, key, one):
            made = override(made, name, value)
    if fit:
        low, likely, high = (round(each, 1) for each in fit.beside[fit.best])
        source = f"measured, less the references that the simulator makes as {fit.best}: {CHASE}"
        cost = {"value": likely, "low": low, "high": high, "source": source}
        made = override(made, f"cost.{WALK}", cost)
    geometry.check(made)
    return made


def _marked(base: Preset) -> Preset:
    """The base, whose every source says that the number was not measured."""

    def marked(one: Any) -> Any:
        return replace(one, source=f"not measured, as {base.name}: {one.source}")

    def rest(unit: Any) -> Any:
        return replace(unit, source=f"all else not measured, as {base.name}: {unit.source}")

    changed: dict[str, Any] = {name: marked(getattr(base, name)) for name in (*NUMBERS, *STATED)}
    for attribute in GROUPS.values():
        units = [rest(unit) for unit in getattr(base, attribute)]
        if attribute == "caches":
            units = [replace(unit, latency=marked(unit.latency)) for unit in units]
        changed[attribute] = tuple(units)
    changed["costs"] = {name: marked(cost) for name, cost in base.costs.items()}
    return replace(base, **changed)


def _settings(base: Preset, key: str, one: Finding) -> list[tuple[str, Any]]:
    """What to set for a finding: a TLB's entries have to make a geometry."""
    source = one.source()
    if not key.endswith((".entries", ".size")) or key == "llc_size":
        ends = {"low": min(one.low, one.value), "high": max(one.high, one.value)}
        return [(key, {"value": one.value, **ends, "source": source})]
    size = {"value": int(one.value), "source": source}
    prefix, _, field = key.rpartition(".")
    group, _, name = prefix.partition(".")
    unit = next(each for each in getattr(base, GROUPS[group]) if each.name == name)
    entries = int(one.value) // (memory.LINE if field == "size" else 1)
    if one.confirmed or getattr(unit, "sets", 0) == 1:
        return [(key, size)]
    count = ways_for(entries, unit.ways)
    ways = {"value": count, "source": "as its sets are a power of two"}
    if field == "size":
        return [(key, size), (f"{prefix}.ways", ways)]
    sets = {"value": entries // count, "source": source}
    return [(f"{prefix}.sets", sets), (f"{prefix}.ways", ways)]


def ways_for(entries: int, ways: int) -> int:
    """The ways nearest to so many with which the sets are a power of two."""
    odd = entries
    while odd % 2 == 0:
        odd //= 2
    possible = [odd << n for n in range((entries // odd).bit_length())]
    return min(possible, key=lambda each: abs(np.log(each / ways)))


def notes(measured: Calibration, found: Findings, fit: Fit | None) -> list[str]:
    """What a user of the numbers has to know, a sentence or two each."""
    facts = measured.facts
    near = "its family and model" if facts.known else "no better known: the default"
    told = [f"Measured on {facts.model}; what was not is as {facts.base} ({near})."]
    if facts.virtual:
        told.append(
            f"Measured in a virtual machine: {facts.virtual}. Walks and memory are as its guest "
            "sees them; the kernel's costs contain VM exits and are none of this preset's."
        )
    if found.splinters:
        told.append(
            "2 MiB pages reach no farther in the TLBs than 4 KiB pages: below them lie host pages "
            "of 4 KiB, so that TLBs and walks gain little by them."
        )
    if fit:
        others = ", ".join(f"{spec} {error:.2f}" for spec, error in fit.errors.items())
        told.append(f"The walks fit {fit.name} best (error of the logarithm: {others}).")
        told.append(
            f"A walk takes {fit.beside[fit.best][1]:.0f} cycles beside its references "
            f"(cost.{WALK}), in a machine that walks as {fit.best}."
        )
    return told + [f"Not measured: {problem}." for problem in measured.problems]


def text(measured: Calibration, found: Findings, made: Preset) -> str:
    """The file of the preset. What the kernel's work costs in a virtual machine stands in
    comments: it is no cost of the processor's."""
    lines = [
        f"# Measured by mmulab calibrate on {measured.facts.model}, in "
        f"{measured.seconds:g} seconds and at most {measured.memory >> 20} MiB of memory."
    ]
    if measured.facts.virtual:
        for name, one in measured.events.items():
            value, low, _, high = (round(ns / measured.clock.low) for ns in one[:4])
            source = json.dumps(kernel_events.EVENTS[name])
            lines.append(
                f"# guest_{name}_in_vm = {{value = {value}, low = {low}, high = {high}, "
                f"source = {source}}}  # cycles a page, exits included"
            )
    return "\n".join([*lines, "", preset_files.to_toml(made)])
