"""Several hosts of a scenario, each with a clock of its own: who goes on next.

The host whose clock is lowest has its turn, ties by order. So what one host does to another comes
late by a turn of a VM at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import ELSEWHERE, Guest


def join(systems: Sequence[System]) -> None:
    """Hosts learn of one another. What a guest stores on one of them is like nothing that one
    stores on another."""
    peers = {system.settings.name: system for system in systems}
    for number, system in enumerate(systems):
        system.peers = peers
        for guest in system.guests:
            guest.vm.record[0]["unique"] = number << 40


def step(systems: Sequence[System]) -> bool:
    """One step of the host that is next. False when none has anything left to do."""
    system = min(systems, key=lambda each: each.next_time())
    return system.next_time() < inf and system.step()


def present(systems: Sequence[System]) -> list[tuple[System, Guest]]:
    """Each VM where it is, in the order of the hosts."""
    return [
        (system, guest) for system in systems for guest in system.guests if guest.state != ELSEWHERE
    ]
