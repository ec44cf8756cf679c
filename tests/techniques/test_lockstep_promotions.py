"""Guests that make huge pages, under each kind of technique in lockstep: promotions are changes of
the guest's tables like any others, and A bits that its threads clear are set again alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drivers.guest import BIG, SMALL, Guest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.check import check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.trace import LOAD, STORE

SOON = "accesses_per_millisec=1,scan_sleep_millisecs"
POLICIES = {
    "linux": f"linux:at_fault=off,{SOON}=150",
    "ingens": f"ingens:threshold=20,fair=on,sample_sleep_millisecs=45,{SOON}=60",
    "hawkeye": f"hawkeye:at_fault=off,warm_up_samples=1,sample_millisecs=20,"
    f"sample_sleep_millisecs=50,zero_sleep_millisecs=30,{SOON}=90",
}

#: Tables of its own form or place, of the guest; writes that it sees in another way.
ALL = (
    "native", "nested", "shadow", "shadow:policy=trap", "paravirt", "pvm", "softmmu:window=50",
    "flattened", "dmt:least=0", "direct-segment:mode=guest", "elastic-cuckoo", "rmm",
    "agile:interval=3,start=shadow", "nested-on-nested:mode=shadow-on-ept",
)  # fmt: skip

#: Three mappings of two regions each, of which some pages are used.
BEGINNING = [
    *(("map", region, 0, 1024, 3, 0) for region in range(3)),
    ("access", 0, 5, STORE, 300),
    ("access", 0, 520, LOAD, 110),
    ("access", 1, 0, STORE, 200),
    ("access", 1, 600, STORE, 400),
]
END = [("fork",), ("access", 0, 0, STORE, 200), ("switch", 1), ("access", 0, 0, STORE, 100)]

pages = st.integers(0, 1023)
lengths = st.sampled_from([1, 40, 512, 700])
steps = st.one_of(
    st.tuples(st.just("access"), st.integers(0, 2), pages, st.integers(0, 2), st.integers(1, 300)),
    st.tuples(st.just("unmap"), st.integers(0, 2), pages, lengths),
    st.tuples(st.just("protect"), st.integers(0, 2), pages, lengths, st.sampled_from([0, 1, 3])),
    st.tuples(st.just("fork")),
    st.tuples(st.just("switch"), st.integers(0, 7)),
    st.tuples(st.just("exit"), st.integers(0, 7)),
    st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
)


def play(simulators: list[Simulator], history: list[tuple]) -> int:
    """Plays a history, and checks every step; returns the promotions."""
    guest = Guest(simulators)
    for step in [*BEGINNING, *history]:
        guest.play(step)
        for simulator in simulators:
            check(simulator)
        compare_contents(simulators)
    return int(simulators[0].machine.vcpu.stats[0]["thp_collapse_alloc"])


def config(policy: str, **changes: object) -> Config:
    plain = Config(memory=2 * BIG, host_memory=8 * BIG, page_size="thp")
    return replace(plain, guest_thp=POLICIES[policy], **changes)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=4, max_size=10))
def test_promotions_are_the_same_under_each_technique(policy: str, history: list[tuple]) -> None:
    of = config(policy)
    assert play([build(each, SMALL, of) for each in ALL[:5]], history) > 0


@pytest.mark.parametrize("technique", ALL[5:])
def test_promotions_are_what_bare_metal_has(technique: str) -> None:
    big = technique.startswith(("flattened", "dmt"))
    of = config("ingens", memory=5 * BIG, host_memory=10 * BIG) if big else config("ingens")
    assert play([build(each, SMALL, of) for each in ("native", technique)], END) > 0


@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
def test_promotions_are_the_same_on_other_architectures(arch: str) -> None:
    of = config("hawkeye", host_page_size="2m")
    there = [build(each, replace(SMALL, arch=arch), of) for each in ("native", "shadow", "nested")]
    assert play([build("native", SMALL, of), *there], END) > 0
