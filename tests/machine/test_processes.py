"""What system calls do to a process of the guest."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver

from mmulab.mmu.trace import BRK, EXEC, LOAD

HEAP = 0x5555_5600_0000


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
def test_exec_begins_a_new_heap(technique: str) -> None:
    machine = Driver(technique)
    machine.event(BRK, HEAP)
    machine.event(BRK, HEAP + (64 << 10))
    machine.access(HEAP + 8, LOAD)
    machine.event(EXEC)
    assert machine.process()["brk"] == 0
    other = HEAP + (1 << 30)
    machine.event(BRK, other)  # says where the new heap is, and maps nothing
    assert machine.process()["brk_base"] == other and machine.process()["vma"] == 0
    machine.event(BRK, other + 4096)
    assert machine.process()["vma"] != 0
