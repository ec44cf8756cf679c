"""A calibration as a preset, and its file: what was measured over a base, all else marked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from mmulab.mmu.config import preset_files
from mmulab.mmu.presets import geometry
from mmulab.mmu.presets.overrides import GROUPS, override
from mmulab.mmu.presets.preset import NUMBERS, STATED, Preset
from mmulab.workloads.probes import kernel_events
from mmulab.workloads.probes.calibration import Calibration
from mmulab.workloads.probes.findings import Finding, Findings
from mmulab.workloads.probes.fitting import Fit

NAME = "measured"


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
    if not key.endswith((".entries", ".size")):
        ends = {"low": min(one.low, one.value), "high": max(one.high, one.value)}
        return [(key, {"value": one.value, **ends, "source": source})]
    size = {"value": int(one.value), "source": source}
    if key.endswith(".size"):
        return [(key, size)]
    name = key.removesuffix(".entries").removeprefix("tlb.")
    unit = next(tlb for tlb in base.tlbs if tlb.name == name)
    sets, rest = divmod(int(one.value), unit.ways)
    if unit.sets == 1 or not (rest or sets & (sets - 1)):
        return [(key, size)]
    # No power of two of sets of as many ways: one set, whose reach is what was measured.
    return [(f"tlb.{name}.sets", {"value": 1, "source": "one set"}), (f"tlb.{name}.ways", size)]


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
