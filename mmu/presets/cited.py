"""What a preset says, each with its source, and sources that several cite.

Apart from presets, since techniques cite too: what they are compiled from holds no preset.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmulab.mmu.errors import InputError

DALL_2017 = (
    "Dall et al., Optimizing the Design and Implementation of the Linux ARM "
    "Hypervisor, USENIX ATC 2017, table 2"
)


#: The cost, in cycles, of a page walk beside its references: to start it and to do the access
#: again. No preset has it but those that `mmulab calibrate` writes.
WALK = "walk"


@dataclass(frozen=True)
class Cited:
    """A number and where it comes from.

    value: the likely one. low, high: the range in which sources or reasons put it; a number
    without a range is taken as exact. Raises InputError where the range does not hold it.
    """

    value: float
    source: str
    low: float = field(default=None)  # type: ignore[assignment]
    high: float = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.value)
        if not self.low <= self.value <= self.high:
            raise InputError(
                f"{self.value:g}: expected a value from {self.low:g} to {self.high:g}, its range"
            )


@dataclass(frozen=True)
class Stated:
    """Names of what a processor has, and where they come from."""

    names: tuple[str, ...]
    source: str
