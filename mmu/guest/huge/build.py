"""A policy of huge pages as a VM has it: its state, and what is linked for it."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.config.guest_thp import ENABLED, POLICIES, GuestTHP, parse
from mmulab.mmu.guest.huge import hawkeye, ingens, linux
from mmulab.mmu.memory.entries import ENTRIES
from mmulab.mmu.memory.huge import (
    EVERYWHERE,
    FAULT,
    HAWKEYE,
    HUGE,
    INGENS,
    LINUX,
    PROMOTABLE,
    REGION,
    SAMPLE,
    SCAN,
    TIMERS,
    WAITING,
    ZERO,
)

#: What writes the guest's timer into `VM.ops`, of policies that have threads.
LINKS = {"linux": linux.link, "ingens": ingens.link, "hawkeye": hawkeye.link}

#: Numbers by the fields of the state that they go to.
_FIELDS = {
    "pages_to_scan": "pages_to_scan",
    "max_ptes_none": "max_none",
    "max_ptes_swap": "max_swap",
    "max_ptes_shared": "max_shared",
    "tau": "tau",
    "warm_up_samples": "warm_up",
    "high": "high",
    "low": "low",
    "min_zeros": "min_zeros",
}
_ZERO_BLOCK = 1024  # pages: the largest of its allocator's blocks (asynczero.c, MAX_ORDER - 1)


def link(ops: np.ndarray, text: str) -> None:
    """Writes the guest's timer of a policy into a table, where it has one."""
    found = LINKS.get(parse(text).policy)
    if found:
        found(ops)


def make(text: str, gfns: int, timed: bool = False) -> dict[str, np.ndarray]:
    """The state of a policy, by the fields of VM. timed: a host tells the time."""
    policy = parse(text)
    number = POLICIES.index(policy.policy)
    huge = np.zeros(1, HUGE)
    this = huge[0]
    this["policy"] = number
    for name, value in policy.values.items():
        if name in _FIELDS:
            this[_FIELDS[name]] = int(value)
    this["enabled"] = ENABLED.index(str(policy.values.get("enabled", "always")))
    at_fault = number in (FAULT, LINUX, HAWKEYE) and policy.values.get("at_fault") != "off"
    this["at_fault"] = at_fault and this["enabled"] == EVERYWHERE
    if number == INGENS:
        this["least"] = int(policy.values["threshold"]) * ENTRIES // 100
        this["max_none"] = ENTRIES - this["least"]
        this["fair"] = policy.values["fair"] == "on"
    if policy.policy in LINKS:
        _wind(this, policy, timed)
    return {
        "huge": huge,
        "region": np.zeros(gfns if number == HAWKEYE else 1, REGION),
        "promotable": np.zeros(WAITING if number == INGENS else 1, PROMOTABLE),
    }


def _wind(this: np.void, policy: GuestTHP, timed: bool) -> None:
    """Starts the timers: each thread sleeps first."""
    this["alloc_sleep"] = policy.ticks("alloc_sleep", timed)
    if policy.scans:
        this["period"][SCAN] = policy.ticks("scan_sleep", timed)
    if this["policy"] == HAWKEYE or this["fair"]:
        this["period"][SAMPLE] = policy.ticks("sample_sleep", timed)
    if this["policy"] == HAWKEYE:
        this["sample"] = policy.ticks("sample", timed)
        this["period"][ZERO] = policy.ticks("zero_sleep", timed)
        this["zero_pages"] = int(policy.values["zero_blocks"]) * _ZERO_BLOCK
    this["left"] = this["period"]
    running = [int(this["left"][timer]) for timer in range(TIMERS) if this["left"][timer]]
    if running:
        this["ticking"] = not timed
        this["slept"] = this["alarm"] = min(running)
