"""Random histories of VMs that share one host: no page ever reads what its guest did not write."""

from __future__ import annotations

import pytest
from drivers.crowd import Crowd, crowd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import RunError
from mmulab.mmu.memory.disk import FILE_TAGS
from mmulab.mmu.trace import LOAD, STORE

vms = st.integers(0, 1)
pages = st.integers(0, 1500)
counts = st.sampled_from([1, 2, 5, 30, 200, 600])
seeds = st.integers(0, 1 << 20)
tags = st.sampled_from([0, 1, 2, 3, FILE_TAGS | 5, FILE_TAGS | 6])
steps = st.one_of(
    st.tuples(st.just("access"), vms, pages, counts, st.sampled_from([LOAD, STORE])),
    st.tuples(st.just("access"), vms, pages, counts, st.just(STORE)),
    st.tuples(
        st.just("access"),
        vms,
        st.integers(0, 40),
        st.integers(1, 6),
        st.sampled_from([LOAD, STORE]),
        st.sampled_from(["data", "heap", "kernel"]),
        st.sampled_from([1, 256, 512]),
    ),
    st.tuples(st.just("mess"), vms, seeds),
    st.tuples(st.just("content"), vms, pages, counts, tags),
    st.tuples(st.just("map"), vms, pages, counts, st.sampled_from([1, 3, 7])),
    st.tuples(st.just("unmap"), vms, pages, counts),
    st.tuples(st.just("protect"), vms, pages, counts, st.sampled_from([1, 3])),
    st.tuples(st.just("brk"), vms, st.integers(0, 40)),
    st.tuples(st.just("fork"), vms),
    st.tuples(st.just("switch"), vms, st.integers(0, 5)),
    st.tuples(st.just("exit"), vms, st.integers(0, 5)),
    st.tuples(st.just("exec"), vms),
    st.tuples(st.just("host_out"), vms, seeds, counts, st.booleans()),
    st.tuples(st.just("free_up"), counts),
    st.tuples(st.just("take"), vms, counts),
    st.tuples(st.just("inflate"), vms, counts),
    st.tuples(st.just("deflate"), vms, counts),
    st.tuples(st.just("report"), vms, st.sampled_from([0, 4, 9])),
    st.tuples(st.just("scan"), st.sampled_from([10, 300, 5000])),
    st.tuples(st.just("scan"), st.just(5000)),
    st.tuples(st.just("policy"), st.sampled_from([0.01, 0.05])),
    st.tuples(st.just("watch"), vms, seeds),
    st.tuples(st.just("look"), vms),
    st.tuples(st.just("off"), vms),
)

CONFIGS = {
    "nested": {"technique": "nested"},
    "unsync": {"technique": "shadow"},
    "trap": {"technique": "shadow", "shadow_policy": "trap"},
    "vswapper": {"technique": "nested", "map_disk": True, "emulate_writes": True},
    "no vpid": {"technique": "nested", "vpid": False},
    "shadow vswapper": {"technique": "shadow", "map_disk": True, "emulate_writes": True},
    "flat": {"technique": "flat-nested"},
    "cuckoo": {"technique": "elastic-cuckoo"},
    "cuckoo below a radix guest": {"technique": "elastic-cuckoo:sides=host"},
    "pom-tlb": {"technique": "pom-tlb:entries=1024"},
    "pvm": {"technique": "pvm"},
    "softmmu": {"technique": "softmmu"},
    "softmmu, large host pages": {"technique": "softmmu", "host_page_size": "2m"},
    "limit": {"technique": "nested", "limit": 2 << 20},
    "shadow limit": {"technique": "shadow", "limit": 1 << 20, "disk": 0},
}
LARGE = {
    "large host pages": {"technique": "nested", "host_page_size": "2m"},
    "limit": {
        "technique": "nested",
        "host_page_size": "2m",
        "memory": 32 << 20,
        "limit": 9 << 20,
    },
    "flat": {"technique": "flat-nested", "host_page_size": "2m"},
    "cuckoo": {"technique": "elastic-cuckoo", "host_page_size": "2m"},
    "large pages": {"technique": "shadow", "host_page_size": "2m", "page_size": "thp"},
    "large guest pages": {"technique": "nested", "page_size": "2m"},
}


def play(machine: Crowd, history: list[tuple]) -> None:
    """A history may end early: two guests can want more than there is."""
    try:
        for step in history:
            machine.play(step)
    except RunError as error:
        assert "out of memory" in str(error) or "memory is too small" in str(error)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=25))
def test_contents_and_frames_are_kept(name: str, history: list[tuple]) -> None:
    play(crowd(**CONFIGS[name]), history)


CORES = {
    "nested": {"technique": "nested", "host": {"cores": 3, "scheduler": "credit"}},
    "shadow": {"technique": "shadow", "host": {"cores": 2}, "remote_flush": "preempted"},
    "no vpid": {"technique": "nested", "vpid": False, "host": {"cores": 2}},
    "gang": {
        "technique": "nested",
        "host": {"cores": 2, "scheduler": "gang"},
        "remote_flush": "hypercall",
    },
}
threads = st.tuples(st.just("thread"), vms, st.integers(0, 5), st.integers(1, 3))


@pytest.mark.parametrize("name", CORES)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(st.one_of(threads, threads, steps), min_size=5, max_size=20))
def test_on_several_cores(name: str, history: list[tuple]) -> None:
    """Every core's TLBs are checked, of each vCPU on the one that it was on last."""
    play(crowd(vcpus=2, **CORES[name]), history)


@pytest.mark.parametrize("name", LARGE)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=15))
def test_with_large_pages(name: str, history: list[tuple]) -> None:
    play(crowd(**LARGE[name]), history)
