"""Starts a machine: the nested table where there is one, the first process, its CR3."""

from __future__ import annotations

from mmu.guest import process
from mmu.jit import entry
from mmu.state import NESTED, OK, Machine
from mmu.techniques import nested


@entry
def boot(machine: Machine, pid):
    """Boots the guest with one process, which runs. Returns (status, process)."""
    if machine.vm.record[0].technique == NESTED:
        status = nested.start(machine)
        if status != OK:
            return status, -1
    status, first = process.create(machine, pid)
    if status == OK:
        status = process.switch(machine, first)
    return status, first
