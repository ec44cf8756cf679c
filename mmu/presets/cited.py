"""A number with its source, and sources that several cite.

Apart from presets, since techniques cite too: what they are compiled from holds no preset.
"""

from __future__ import annotations

from dataclasses import dataclass

DALL_2017 = (
    "Dall et al., Optimizing the Design and Implementation of the Linux ARM "
    "Hypervisor, USENIX ATC 2017, table 2"
)


@dataclass(frozen=True)
class Cited:
    """A number and where it comes from."""

    value: float
    source: str
