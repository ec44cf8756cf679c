"""Random histories of VMs that are cloned, frozen, saved, restored and deleted: no page ever reads
what its guest did not write, no frame and no block is lost, no translation is stale."""

from __future__ import annotations

import pytest
from drivers.life_steps import lives, works
from drivers.lives import Lives
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import RunError

histories = st.lists(st.one_of(works, lives), min_size=4, max_size=25)

CONFIGS = {
    "nested": {"technique": "nested"},
    "unsync": {"technique": "shadow"},
    "trap": {"technique": "shadow", "shadow_policy": "trap"},
    "flat": {"technique": "flat-nested"},
    "no A and D bits": {"technique": "nested", "ept_ad": False},
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
