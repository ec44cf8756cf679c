"""Steps of random histories that `drivers.lives` plays: of guests, and of their lives."""

from __future__ import annotations

from hypothesis import strategies as st

from drivers.lives import RESTORES
from mmulab.mmu.trace import LOAD, STORE

vms = st.integers(0, 2)
pages = st.integers(0, 300)
counts = st.sampled_from([1, 2, 30, 200])
restores = st.sampled_from(RESTORES)
works = st.one_of(
    st.tuples(st.just("access"), vms, pages, counts, st.sampled_from([LOAD, STORE])),
    st.tuples(st.just("access"), vms, pages, counts, st.just(STORE)),
    st.tuples(st.just("mess"), vms, st.integers(0, 1 << 20)),
    st.tuples(st.just("content"), vms, pages, counts, st.integers(0, 3)),
    st.tuples(st.just("map"), vms, pages, counts, st.sampled_from([1, 3, 7])),
    st.tuples(st.just("unmap"), vms, pages, counts),
    st.tuples(st.just("protect"), vms, pages, counts, st.sampled_from([1, 3])),
    st.tuples(st.just("fork"), vms),
    st.tuples(st.just("switch"), vms, st.integers(0, 3)),
    st.tuples(st.just("exit"), vms, st.integers(0, 3)),
    st.tuples(st.just("host_out"), vms, st.integers(0, 1 << 20), counts, st.booleans()),
    st.tuples(st.just("inflate"), vms, counts),
    st.tuples(st.just("resize"), vms, st.sampled_from([2, 4])),
    st.tuples(st.just("scan"), st.sampled_from([300, 5000])),
    st.tuples(st.just("look"), vms),
)
lives = st.one_of(
    st.tuples(st.just("clone"), vms, vms),
    st.tuples(st.just("clone"), vms, vms),
    st.tuples(st.just("freeze"), vms, st.booleans()),
    st.tuples(st.just("thaw"), vms, st.integers(0, 3), restores),
    st.tuples(st.just("forget"), st.integers(0, 3)),
    st.tuples(st.just("suspend"), vms, st.booleans()),
    st.tuples(st.just("resume"), vms, restores),
    st.tuples(st.just("off"), vms),
    st.tuples(st.just("delete"), vms),
)
