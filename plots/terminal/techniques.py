"""Techniques: an overview, and all that one says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.parameters import Parameter
from mmulab.mmu.techniques.technique import Technique
from mmulab.plots.terminal.presets import number


def overview(summaries: Mapping[str, str]) -> str:
    """One line a technique. summaries: by name."""
    width = max(9, *map(len, summaries))
    rows = {"technique": "what it is", **summaries}
    return "\n".join(f"{name:<{width}}  {summary}" for name, summary in rows.items())


def _below(text: str, indent: int = 6) -> str:
    margin = " " * indent
    return fill(text, 96, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return ["", title, *lines] if lines else []


def _parameter(parameter: Parameter) -> str:
    if parameter.choices:
        values = ", ".join(parameter.choices)
    else:
        values = f"{parameter.low:,} to {parameter.high:,}"
    default = str(parameter.choices[0] if parameter.choices else parameter.default)
    if parameter.option:
        default += f" or what --{parameter.option.replace('_', '-')} says"
    return f"  {parameter.name}: {values}; default {default}\n{_below(parameter.meaning)}"


def _cost(key: str, cost: Cited) -> str:
    return f"  cost.{key}: {number(cost)}\n{_below(cost.source)}"


def _capabilities(technique: Technique) -> str:
    said = {
        "runs a VMM below the guest": technique.virtual,
        "the guest may use PCIDs": technique.guest_pcid,
        "the guest allocates before it touches": technique.eager,
        "the guest's tables hold the host's frames": technique.machine_frames,
        "the VMM cannot share or page out what the guest uses": bool(technique.fixed),
    }
    return ", ".join(what for what, holds in said.items() if holds) or "none"


def details(technique: Technique) -> str:
    """Parameters, what is counted, and every cost with its source."""
    lines = [f"{technique.name}: {technique.summary}", _below(f"source: {technique.source}", 2)]
    lines += _section("Parameters", map(_parameter, technique.parameters))
    lines += _section(
        "VM exits", (f"  exits.{each.reason}: {each.label}" for each in technique.exits)
    )
    lines += _section(
        "Other counts", (f"  {each.name}: {each.meaning}" for each in technique.counters)
    )
    costs = technique.costs.items()
    lines += _section(
        "Costs in cycles; an exit costs the preset's cost.vm_exit besides",
        (_cost(f"{technique.name}.{name}", cost) for name, cost in costs),
    )
    lines += _section("Assumptions", (_below(each, 2) for each in technique.assumptions))
    lines += ["", f"Capabilities: {_capabilities(technique)}"]
    if technique.walks:
        lines += ["", f"Architectures: {', '.join((technique.arch, *technique.walks))}"]
    return "\n".join(lines)
