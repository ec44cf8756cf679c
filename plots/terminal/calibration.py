"""A calibration as a table: each number with its spread, the base's beside it, and how."""

from __future__ import annotations

from mmulab.mmu.presets.listing import listing
from mmulab.workloads.probes import kernel_events, measured_preset
from mmulab.workloads.probes.calibrated import Calibrated
from mmulab.workloads.probes.fitting import Fit


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
        lines += [*_fitted(fit, "4k"), *_fitted(fit, "2m")]
        errors = ", ".join(f"{spec} {error:.2f}" for spec, error in fit.errors.items())
        lines.append(f"error of the logarithm: {errors}")
    lines.append("")
    return "\n".join([*lines, *measured_preset.notes(measured, found, fit)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.4g}"


def _fitted(fit: Fit, pages: str) -> list[str]:
    """A row a technique, of the points in pages of a size."""
    measured = fit.of(pages, fit.measured)
    if not measured:
        return []
    title = f"cycles of translation a step, by 4 KiB pieces of {pages} pages:"
    lines = ["", title, f"{'':<24}" + "".join(f"{count:>10,}" for count in measured)]
    for name, steps in {"measured": fit.measured, **fit.predicted}.items():
        cells = fit.of(pages, steps).values()
        lines.append(f"{name:<24}" + "".join(f"{each:>10.1f}" for each in cells))
    return lines
