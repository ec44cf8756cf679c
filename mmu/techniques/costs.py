"""Costs that several techniques have in common, in cycles."""

from __future__ import annotations

from mmulab.mmu.presets.cited import DALL_2017, Cited

#: Of the exits in which a VMM gives a guest page a host frame, without `vm_exit`.
HOST_ALLOCATION = Cited(
    2000,
    "assumption: an exit that the host kernel handles costs 2,565 cycles, 1,128 more "
    f"than a null hypercall, for emulated I/O on a Xeon E5-2450 ({DALL_2017}); frame "
    "allocation and mapping brought up to 2,000. Low: those 1,128 alone. High: assumption: thrice "
    "the likely value, where locks and accounting of memory are contended",
    1128,
    6000,
)
