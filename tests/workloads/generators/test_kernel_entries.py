"""kernel_every=N: an entry to the kernel before access N, 2 N, ... of any generator."""

from __future__ import annotations

import pytest
from drivers.generated import columns

from mmulab.mmu.trace import KERNEL, SWITCH
from mmulab.workloads import generators
from mmulab.workloads.generators import parameters

SPECS = [
    "gups:size=1M,accesses=5K",
    "microchurn:heap=64K,arena=32K,work=100,accesses=9K",
    "webserver:workers=3,requests=4,heap=64K,directories=2,quantum=99,accesses=9K",
    "guest:size=1M,accesses=5K",
    "mix:of=gups(size=64K)*2+microchurn(heap=64K,arena=32K,work=100),quantum=777,accesses=9K",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("every", [1, 100, 997])
@pytest.mark.parametrize("cut", [500, 997, 1 << 20])
def test_entries_at_a_rate(
    spec: str, every: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = columns(spec)
    monkeypatch.setattr(parameters, "CHUNK", cut)
    address, kind, events = columns(f"{spec},kernel_every={every}")
    assert (address == plain[0]).all() and (kind == plain[1]).all()
    assert [event for event in events if event[1] != KERNEL] == plain[2]
    runs, entries = 1, []
    for position, what, pid, *_ in events:
        if what == SWITCH:
            runs = pid
        elif what == KERNEL:
            assert pid == runs
            entries.append(position)
    assert entries == list(range(every, len(address), every))


def test_no_generator_has_a_parameter_of_that_name() -> None:
    for name in generators.names():
        assert "kernel_every" not in generators._module(name).PARAMETERS
        assert not any(e[1] == KERNEL for e in columns(f"{name}:accesses=2K")[2])
    assert generators.create("gups:kernel_every=1000").name == "gups:kernel_every=1K"
