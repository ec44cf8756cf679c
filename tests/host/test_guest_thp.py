"""VMs whose kernels make huge pages: what pages hold stays, what is out comes back, zeros go."""

from __future__ import annotations

import pytest
from drivers.crowd import BASE, Crowd, crowd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.memory.frames import IN_USE
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import run
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.trace import LOAD, STORE

REGION = 512
MAPPED = 6 * REGION  # pages, of which the first region begins at page 0

pages = st.integers(0, MAPPED - 1)
counts = st.sampled_from([1, 30, 200, 500])
steps = st.one_of(
    st.tuples(st.just("access"), st.just(0), pages, counts, st.sampled_from([LOAD, STORE])),
    st.tuples(st.just("access"), st.just(0), pages, counts, st.just(STORE)),
    st.tuples(st.just("content"), st.just(0), pages, st.sampled_from([1, 40]), st.integers(0, 3)),
    st.tuples(st.just("unmap"), st.just(0), pages, st.sampled_from([1, 40, 700])),
    st.tuples(st.just("fork"), st.just(0)),
    st.tuples(st.just("switch"), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("host_out"), st.just(0), st.integers(0, 99), counts, st.booleans()),
    st.tuples(st.just("inflate"), st.just(0), st.sampled_from([200, 3000])),
    st.tuples(st.just("deflate"), st.just(0), counts),
    st.tuples(st.just("scan"), st.just(5000)),
    st.tuples(st.just("look"), st.just(0)),
)

SOON = "scan_sleep_millisecs=0.001,alloc_sleep_millisecs=0.01"
POLICIES = {
    "linux": f"linux:at_fault=off,{SOON}",
    "ingens": f"ingens:threshold=40,fair=on,sample_sleep_millisecs=0.001,{SOON}",
    "hawkeye": f"hawkeye:high=0,sample_millisecs=0.001,sample_sleep_millisecs=0.002,"
    f"warm_up_samples=1,{SOON}",
}


def with_policy(policy: str, technique: str = "nested", **changes: object) -> Crowd:
    """A VM that has mapped six regions."""
    found = crowd(technique, count=1, page_size="thp", guest_thp=policy, **changes)
    assert BASE % REGION == 0
    found._map(0, 0, MAPPED, 3)
    return found


def count(found: Crowd, name: str) -> int:
    return int(found.system.guests[0].vcpu.stats[0][name])


@pytest.mark.parametrize(
    ("policy", "technique"), [("linux", "shadow"), ("ingens", "nested"), ("hawkeye", "nested")]
)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=3, max_size=12))
def test_promotion_keeps_what_pages_hold(policy: str, technique: str, history: list) -> None:
    found = with_policy(POLICIES[policy], technique)
    try:
        for step in (("access", 0, 0, 300, STORE), ("access", 0, REGION, 460, STORE), *history):
            found.play(step)
        for _ in range(4):
            found.play(("access", 0, MAPPED - 1, 1, STORE))
    except RunError as error:
        assert "memory is too small" in str(error)


@pytest.mark.parametrize("spare", [0, -1])
def test_what_is_paged_out_comes_back_up_to_a_number(spare: int) -> None:
    """The guest pages some of a region out to make room; the rest is used again."""
    out = paged_out(with_policy("linux:khugepaged=off,at_fault=off"))
    assert out == 100
    policy = f"linux:at_fault=off,scan_sleep_millisecs=50,max_ptes_swap={out + spare}"
    found = with_policy(policy)
    assert paged_out(found) == out
    found.system.now += 0.06
    found.play(("access", 0, MAPPED - 1, 1, LOAD))
    assert count(found, "thp_collapse_alloc") == (spare == 0)
    assert count(found, "thp_scan_exceed_swap_pte") == (spare < 0)
    assert count(found, "guest_swap_ins") == (out if spare == 0 else 0)


def paged_out(found: Crowd) -> int:
    """Fills a region, has a hundred of its pages leave, and uses the others; how many are out."""
    found.play(("access", 0, 0, REGION, STORE))
    guest = found.system.guests[0]
    frames = guest.vm.frames.counts
    spare = int(frames[0] - frames[IN_USE]) - 1024  # above the mark that it keeps free
    found.play(("inflate", 0, spare + 100))
    found.play(("deflate", 0, 4000))
    record = int(guest.vm.disk.record[0]["used"])
    held = {page for _, page in found.models[0].pages}
    here = set(present(found))
    for page in sorted(held & here):
        found._access(0, page - BASE, 1, LOAD)
    return record


def present(found: Crowd) -> list[int]:
    """Pages that the one process has in memory."""
    guest = found.system.guests[0]
    tables = Tables(guest.machine, "here")
    (process,) = tables.processes()
    cr3 = int(guest.vm.process[process]["cr3"])
    return [entry.address >> 12 for entry in tables.guest_entries(cr3) if entry.is_leaf]


def test_pages_of_zeros_are_given_back_while_memory_is_short() -> None:
    """Fourteen large pages of sixteen that there is memory for, a hundred pages of each used: from
    87 per cent down to 70 are four times 412, less the table that each takes."""
    policy = "hawkeye:scan_sleep_millisecs=20,sample_sleep_millisecs=9000"
    found = with_policy(policy, disk=0)
    found._map(0, 0, 14 * REGION, 3)
    for region in range(14):
        found.play(("access", 0, region * REGION, 100, STORE))
    frames = found.system.guests[0].vm.frames.counts
    total, used = int(frames[0]), int(frames[IN_USE])
    assert used > 0.85 * total
    found.system.now += 0.03
    found.play(("access", 0, 0, 1, LOAD))
    batches = next(n for n in range(14) if used - n * (412 - 1) <= 0.7 * total)
    assert batches == 4
    assert count(found, "thp_recovered") == batches * 412
    assert count(found, "thp_split_pmd") == batches
    assert int(frames[IN_USE]) == used - batches * (412 - 1)


SCENARIO = """
name = "one VM"
[host]
memory = "96M"
preset = "skylake-sp"
quantum = 10_000
[[vm]]
memory = "64M"
workload = "gups:size=16M,accesses=150K"
technique = "nested"
page_size = "thp"
guest_thp = "{policy}"
"""


def test_a_scenario_says_it_by_vm() -> None:
    text = SCENARIO.format(policy="ingens:scan_sleep_millisecs=0.2")
    result = run(parsing.parse(text, "one.toml"), workloads.of_vm, check=True)
    counts = result.vms[0].counts
    assert counts["thp_wakes"] > 1 and counts["faults_2m"] == 0
    assert counts["thp_collapse_alloc"] == 8
    assert counts["pages_copied"] + counts["thp_filled"] == 8 * 512
    assert not any("guest_thp" in note for note in result.notes)
    late = run(parsing.parse(SCENARIO.format(policy="ingens"), "one.toml"), workloads.of_vm)
    assert "vm vm1: guest_thp never acted: it looks for regions every 10000 ms" in late.notes[0]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("ingens:accesses_per_millisec=5", "the host tells it the time"),
        ("ingen", "did you mean 'ingens'"),
    ],
)
def test_what_a_vm_cannot_have_is_refused(policy: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parsing.parse(SCENARIO.format(policy=policy), "one.toml")
    with pytest.raises(InputError, match="set page size thp"):
        text = SCENARIO.format(policy="linux").replace('page_size = "thp"', "")
        parsing.parse(text, "one.toml")
