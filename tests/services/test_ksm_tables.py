"""Tables of ksmd that could fill up, and then a look-up would never end."""

from __future__ import annotations

from drivers.crowd import crowd

from mmulab.mmu.trace import STORE

MIB = 1 << 20


def test_more_tags_than_the_stable_table_has_places() -> None:
    machine = crowd("nested", host={"memory": 2 * MIB}, memory=MIB)
    places = len(machine.ksm.trees.stable)
    for start in range(1, 2 * places, 80):
        for page in range(80):
            machine._content(0, 2 * page, 2, start + page)
        machine._scan(5000)
        machine._scan(5000)
        machine._scan(5000)
    assert int(machine.ksm.trees.scan[0]["merges"]) > 2 * places
    machine.check()
    assert machine.ksm.counters(machine.system)["pages_shared"] == 80


def test_more_pages_in_one_scan_than_host_frames() -> None:
    """What the host pages out while a scan goes on leaves room for others to be scanned."""
    machine = crowd("nested", count=6, host={"memory": MIB}, ksm={"method": "hints"}, memory=MIB)
    for vm in range(6):
        machine._access(vm, 0, 150, STORE)
        machine._scan(150)  # not yet the end of this scan
        machine.system.free_up(230)
    machine.check()
    assert int(machine.ksm.trees.scan[0]["pages_unshared"]) > 512
