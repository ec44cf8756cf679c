"""A calibration as a table: each number with its spread, the base's beside it, and how."""

from __future__ import annotations

from mmulab.mmu.presets.listing import listing
from mmulab.workloads.probes import kernel_events, measured_preset
from mmulab.workloads.probes.calibrated import Calibrated


def table(result: Calibrated) -> str:
    """Numbers found, costs of the kernel's work, walks, and what has to be known of them."""
    measured, found, base, fit = result.measured, result.found, result.base, result.fit
    lines = [f"{measured.facts.model}; base {base.name}", ""]
    lines.append(f"{'':<24}{'measured':>14}{'from':>14}{'to':>14}{base.name:>14}")
    known = listing(base)
    for key, one in found.numbers.items():
        name = key.removesuffix(".entries")
        of_base = (
            known[f"{name}.sets"]["value"] * known[f"{name}.ways"]["value"]
            if key.endswith(".entries")
            else known[key]["value"]
        )
        cells = "".join(f"{_number(each):>14}" for each in (one.value, one.low, one.high, of_base))
        lines.append(f"{key:<24}{cells}{'  confirmed' if one.confirmed else ''}")
    if measured.events:
        inside = ", VM exits included" if measured.facts.virtual else ""
        lines += ["", f"cycles a page of the kernel's work{inside}:"]
        for name in kernel_events.EVENTS:
            cycles = measured.events[name].times(1 / measured.clock.low)
            cells = "".join(
                f"{_number(round(each)):>14}" for each in (cycles.value, cycles.low, cycles.high)
            )
            lines.append(f"{name:<24}{cells}")
    if fit:
        lines += ["", "cycles of translation a step, by pages:"]
        lines.append(f"{'':<24}" + "".join(f"{size:>10,}" for size in fit.sizes) + f"{'error':>8}")
        lines.append(f"{'measured':<24}" + "".join(f"{each:>10.1f}" for each in fit.measured))
        for spec, steps in fit.predicted.items():
            cells = "".join(f"{each:>10.1f}" for each in steps)
            lines.append(f"{spec:<24}{cells}{fit.errors[spec]:>8.2f}")
    lines.append("")
    return "\n".join([*lines, *measured_preset.notes(measured, found, fit)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.4g}"
