"""Random histories of VMs that live, and move between two hosts: no page ever reads what its guest
did not write, no frame and no block of either host is lost, no translation is stale."""

from __future__ import annotations

import pytest
from drivers.life_steps import lives, vms, works
from drivers.travels import Travels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import RunError
from mmulab.mmu.host.migration_report import METHODS

zeros = st.booleans()
CONFIGS = {
    "write protection": ("nested", "write-protection"),
    "d-bits": ("nested", "d-bits"),
    "pml": ("flat-nested", "pml"),
    "shadow": ("shadow", "write-protection"),
    "large host pages": ("nested", "d-bits"),
}
LARGE = {"host_page_size": "2m", "memory": 8 << 20, "host_mib": 48}


def histories(log: str) -> st.SearchStrategy:
    departs = st.tuples(st.just("depart"), vms, st.just(log), st.sampled_from(METHODS), zeros)
    pre_copies = st.tuples(st.just("depart"), vms, st.just(log), st.just("pre-copy"), zeros)
    moves = st.one_of(
        departs, pre_copies, st.tuples(st.just("round")), st.tuples(st.just("round")),
        st.tuples(st.just("fail"), vms),
    )  # fmt: skip
    return st.lists(st.one_of(works, moves, moves, lives), min_size=5, max_size=25)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_is_lost_on_the_way(name: str, data: st.DataObject) -> None:
    technique, log = CONFIGS[name]
    machine = Travels(technique, **(LARGE if name == "large host pages" else {}))
    try:
        for step in data.draw(histories(log)):
            machine.play(step)
        machine.empty()
    except RunError as error:
        assert "out of memory" in str(error) or "memory is too small" in str(error)
