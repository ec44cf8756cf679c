"""Random histories of VMs that are cloned, frozen, saved, restored and deleted: no page ever reads
what its guest did not write, no frame and no block is lost, no translation is stale."""

from __future__ import annotations

import pytest
from drivers.lives import RESTORES, Lives
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import RunError
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
histories = st.lists(st.one_of(works, lives), min_size=4, max_size=25)

CONFIGS = {
    "nested": {"technique": "nested"},
    "unsync": {"technique": "shadow"},
    "trap": {"technique": "shadow", "shadow_policy": "trap"},
    "flat": {"technique": "flat-nested"},
    "limit": {"technique": "nested", "limit": 2 << 20},
    "large host pages": {
        "technique": "nested", "host_page_size": "2m", "memory": 8 << 20, "host_mib": 48,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_contents_frames_and_translations_are_kept(name: str, history: list[tuple]) -> None:
    machine = Lives(**CONFIGS[name])
    try:
        for step in history:
            machine.play(step)
    except RunError as error:
        assert "out of memory" in str(error) or "memory is too small" in str(error)
        return
    machine.empty()
