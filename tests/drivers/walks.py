"""Addresses and sizes for the tests of walks, and one access that finds every cache cold."""

from __future__ import annotations

from drivers.one_machine import Driver
from mmulab.mmu.trace import LOAD

GVA = 0x7F1240000000  # a multiple of 1 GiB
KERNEL = -0x777FC0000000
PAGE, PAGE_2M, PAGE_1G = 1 << 12, 1 << 21, 1 << 30
DEPTH_OFF = {"4k": 0, "2m": 1, "1g": 2}  # levels that a leaf of this size saves
LARGE_MEMORY = 6 << 30  # enough for 1 GiB pages beside the tables


def cold(driver: Driver, gva: int = GVA, kind: int = LOAD, size: int = 1) -> int:
    """References of an access to memory that is mapped, with every cache empty."""
    driver.access(gva, kind, size)
    driver.flush()
    return driver.access(gva, kind, size)
