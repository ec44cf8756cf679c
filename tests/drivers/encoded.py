"""The page tables of a machine in the bits of its architecture, for models that read those."""

from __future__ import annotations

import numpy as np

from drivers.one_machine import Driver
from mmulab.mmu.memory.entries import EPT_RWX, FRAME, PS, P
from mmulab.mmu.memory.formats import FORMATS
from mmulab.mmu.presets.architectures import root_tables


def encoded(driver: Driver) -> dict[int, int]:
    """Address -> entry, of the tables of the process that runs and of the nested table."""
    about = driver.simulator.spec.technique
    found: dict[int, int] = {}
    encode = FORMATS[about.arch].encode

    def add(hfn: int, level: int, second: bool) -> None:
        if hfn << 12 in found:
            return
        for index, entry in enumerate(driver.table(hfn).tolist()):
            found[(hfn << 12) + 8 * index] = encode(entry, level, second)
        entries = driver.table(hfn)
        present = (entries & (EPT_RWX if second else P)) != 0
        for entry in entries[np.flatnonzero(present)].tolist():
            if level > 1 and not entry & PS:
                frame = (entry & FRAME) >> 12
                add(frame if second else driver.hfn(frame), level - 1, second)

    add(driver.hfn(int(driver.process()["cr3"])), int(driver.regs["levels"]), False)
    if about.name == "nested":
        levels, bits = int(driver.regs["root_levels"]), int(driver.regs["physical_bits"])
        for table in range(root_tables(bits, levels)):
            add(int(driver.regs["root"]) + table, levels, True)
    return found
