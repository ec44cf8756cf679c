"""Entries to the guest kernel are counted: faults, system calls, and KERNEL events."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pytest

from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import CONTENT, EVENT, KERNEL, MMAP, STORE, SWITCH, Chunk

BASE = 1 << 30


class Listed:
    """Ten stores to three pages, and events between them."""

    name = "listed"
    length = 10

    def __init__(self, *events: tuple[int, ...]) -> None:
        self._events = np.array(list(events), EVENT)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        address = BASE + 4096 * (np.arange(10) % 3)
        yield Chunk(address, np.full(10, STORE, np.uint8), np.full(10, 8, np.uint16), self._events)


def compared(*events: tuple[int, ...]) -> dict[str, dict]:
    preset, config = presets.load("skylake-sp"), Config(memory=16 << 20)
    techniques = ["native", "shadow", "nested"]
    result = simulate.compare(Listed(*events), preset, config, techniques)
    return {each.technique: {**each.counts, "cycles": each.cycles} for each in result.results}


EVENTS = (
    (0, MMAP, 1, BASE, 1 << 20, 3),
    (2, KERNEL, 1, 0, 0, 0),
    (2, KERNEL, 1, 0, 0, 0),
    (4, CONTENT, 1, BASE, 4096, 5),
    (5, SWITCH, 1, 0, 0, 0),
    (10, KERNEL, 1, 0, 0, 0),
)


def test_each_fault_call_and_kernel_event_is_one() -> None:
    for counts in compared(*EVENTS).values():
        assert counts["guest_faults"] == 3
        assert counts["kernel_entries"] == 3 + 5  # all events but CONTENT


def test_a_kernel_event_costs_nothing_yet() -> None:
    bare = tuple(event for event in EVENTS if event[1] != KERNEL)
    with_entries, without = compared(*EVENTS), compared(*bare)
    for technique, counts in with_entries.items():
        expected = {**without[technique], "kernel_entries": counts["kernel_entries"]}
        assert counts == expected
        assert counts["kernel_entries"] == without[technique]["kernel_entries"] + 3


def test_of_a_process_that_is_not_there() -> None:
    with pytest.raises(InputError, match="process 9 does not exist"):
        compared((3, KERNEL, 9, 0, 0, 0))
