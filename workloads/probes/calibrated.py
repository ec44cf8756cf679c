"""A calibration from the first probe to the preset: what `mmulab calibrate` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmulab.mmu import presets
from mmulab.mmu.config import preset_files
from mmulab.mmu.presets.preset import Preset
from mmulab.workloads.probes import calibration, findings, fitting, measured_preset

#: Percent of the work that the probes are; the rest is fitting techniques.
_PROBES = 90


@dataclass(frozen=True)
class Calibrated:
    """measured: the curves. found: what they say. base: the preset that the rest is taken from.
    fit: how techniques fit the walks; None where the curve has none. preset: all of it."""

    measured: calibration.Calibration
    found: findings.Findings
    base: Preset
    fit: fitting.Fit | None
    preset: Preset

    def to_toml(self) -> str:
        """A file for `--preset`."""
        return measured_preset.text(self.measured, self.found, self.preset)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: times in ns, what was found in the units of `--set`."""
        fit = self.fit and {**vars(self.fit), "name": self.fit.name}
        return {
            **self.measured.to_dict(),
            "base": self.base.name,
            "found": findings.to_dict(self.found),
            "fit": fit,
        }


def calibrate(
    seconds: float = calibration.SECONDS,
    base: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibrated:
    """Measures this machine. base: a preset or its file, for what can't be measured; by the
    processor unless given. progress: told how many percent are over.

    Raises InputError for a bad base or seconds, and what `calibration.measure` raises.
    """
    chosen = preset_files.load(base) if base else None
    told = progress or (lambda _percent: None)
    measured = calibration.measure(
        seconds, chosen.name if chosen else None, lambda now: told(now * _PROBES // 100)
    )
    chosen = chosen or presets.load(measured.facts.base)
    found = findings.find(measured, chosen)
    first = measured_preset.preset(measured, found, chosen)
    fit = fitting.fit(found, first, lambda _size: told(_PROBES + 1))
    made = measured_preset.preset(measured, found, chosen, fit)
    told(100)
    return Calibrated(measured, found, chosen, fit, made)
