"""Mappings that no address space has: one sentence, whether one machine runs or several VMs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pytest

from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.scenario.run import run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.trace import BRK, EVENT, LOAD, MMAP, MPROTECT, MUNMAP, Chunk

MIB = 1 << 20
TOP = 1 << 47  # of the lower half with four levels

BAD = {
    "beyond the lower half": (MMAP, 1 << 60, 4096),
    "across its end": (MUNMAP, TOP - 4096, 8192),
    "of negative length": (MPROTECT, 1 << 30, -4096),
    "of negative start": (BRK, -4096, 0),
}


class OneEvent:
    """A trace of one access, and one event before it."""

    name = "one event"
    length = 1

    def __init__(self, kind: int, start: int, length: int) -> None:
        self.event = np.array([(0, kind, 1, start, length, 3)], EVENT)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        address, size = np.array([1 << 30]), np.array([8], np.uint16)
        yield Chunk(address, np.array([LOAD], np.uint8), size, self.event)


def run_scenario(trace: OneEvent) -> str:
    vms = (VMSettings(name="guest", workload="-", memory=4 * MIB),)
    scenario = Scenario("one", HostSettings(memory=16 * MIB), vms)
    return run(scenario, lambda vm: trace).end


@pytest.mark.parametrize("event", BAD.values(), ids=BAD.keys())
def test_a_scenario_names_the_vm_and_the_trace(event: tuple[int, int, int]) -> None:
    with pytest.raises(InputError) as error:
        run_scenario(OneEvent(*event))
    _, start, length = event
    assert str(error.value) == (
        f"vm guest: one event: an event maps {length:,} bytes at {start:#x}; "
        f"expected a range below {TOP:#x}"
    )


@pytest.mark.parametrize("event", BAD.values(), ids=BAD.keys())
def test_a_comparison_names_the_trace(event: tuple[int, int, int]) -> None:
    preset, config = presets.load("skylake-sp"), Config(memory=16 * MIB)
    with pytest.raises(InputError, match="^one event: an event maps"):
        simulate.compare(OneEvent(*event), preset, config, ["native"])


def test_a_mapping_that_ends_where_the_lower_half_does_is_a_good_one() -> None:
    assert run_scenario(OneEvent(MMAP, TOP - 4096, 4096)) == "finished"
