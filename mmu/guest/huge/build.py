"""A policy of huge pages as a VM has it: its state, and what is linked for it."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.config.guest_thp import ENABLED, POLICIES, GuestTHP, parse
from mmulab.mmu.guest.huge import linux
from mmulab.mmu.memory.huge import EVERYWHERE, FAULT, HUGE, LINUX, SCAN, TIMERS

#: What writes the guest's timer into `VM.ops`, of policies that have threads.
LINKS = {"linux": linux.link}

#: Parameters by the fields of the state that they go to.
_FIELDS = {
    "pages_to_scan": "pages_to_scan",
    "max_ptes_none": "max_none",
    "max_ptes_swap": "max_swap",
    "max_ptes_shared": "max_shared",
}


def link(ops: np.ndarray, text: str) -> None:
    """Writes the guest's timer of a policy into a table, where it has one."""
    found = LINKS.get(parse(text).policy)
    if found:
        found(ops)


def make(text: str, timed: bool = False) -> np.ndarray:
    """The state of a policy: HUGE[1]. timed: a host tells the time."""
    policy = parse(text)
    huge = np.zeros(1, HUGE)
    this = huge[0]
    this["policy"] = POLICIES.index(policy.policy)
    for name, value in policy.values.items():
        if name in _FIELDS:
            this[_FIELDS[name]] = int(value)
    enabled = policy.values.get("enabled", "always")
    this["enabled"] = ENABLED.index(str(enabled))
    at_fault = this["policy"] in (FAULT, LINUX) and policy.values.get("at_fault") != "off"
    this["at_fault"] = at_fault and this["enabled"] == EVERYWHERE
    if policy.policy in LINKS:
        _wind(this, policy, timed)
    return huge


def _wind(this: np.void, policy: GuestTHP, timed: bool) -> None:
    """Starts the timers: each thread sleeps first."""
    this["alloc_sleep"] = policy.ticks("alloc_sleep", timed)
    if policy.values.get("khugepaged") != "off":
        this["period"][SCAN] = policy.ticks("scan_sleep", timed)
    this["left"] = this["period"]
    running = [int(this["left"][timer]) for timer in range(TIMERS) if this["left"][timer]]
    if running:
        this["ticking"] = not timed
        this["slept"] = this["alarm"] = min(running)
