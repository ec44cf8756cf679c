"""What a CR3 load and a VM exit leave in the TLBs."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, KERNEL, PAGE

from mmulab.mmu.trace import SWITCH


@pytest.mark.parametrize("technique", ["native", "nested"])
def test_global_entries_survive_a_cr3_load(technique):
    # Given a kernel page and a user page in the TLB, and no PCIDs,
    driver = Driver(technique, pcid=False)
    driver.event(SWITCH, pid=2)
    driver.event(SWITCH)
    driver.access(KERNEL)
    driver.access(GVA)
    # when the guest switches to another process,
    driver.event(SWITCH, pid=2)
    # then the kernel's page needs no walk; and back again, the user's page does.
    assert driver.access(KERNEL) == 0
    driver.event(SWITCH)
    assert driver.access(KERNEL) == 0
    assert driver.access(GVA) > 0


def test_shadow_entries_are_never_global():
    driver = Driver("shadow")
    driver.access(KERNEL)
    assert driver.access(KERNEL) == 0
    driver.event(SWITCH, pid=2)
    assert driver.access(KERNEL) > 0


@pytest.mark.parametrize(
    ("technique", "pcid", "kept"),
    [
        ("native", True, True),
        ("native", False, False),
        ("nested", True, True),
        ("nested", False, False),
        ("shadow", True, False),  # the VMM hides PCIDs from the guest
    ],
)
def test_pcids_keep_translations_over_a_cr3_load(technique, pcid, kept):
    # Given two processes that have run, and a page of the first in the TLB,
    driver = Driver(technique, pcid=pcid, walk_caches=False)
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    driver.event(SWITCH)
    driver.access(GVA)
    # when the second has run at the same address,
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    driver.event(SWITCH)
    # then the first finds its own translation where PCIDs tell them apart.
    assert (driver.access(GVA) == 0) == kept


@pytest.mark.parametrize("vpid", [True, False])
def test_exits_flush_without_vpids(vpid):
    # Given a page in the TLB,
    driver = Driver("nested", vpid=vpid, walk_caches=False)
    driver.access(GVA)
    assert driver.access(GVA) == 0
    # when an EPT violation exits to the VMM,
    exits = int(driver.machine.vcpu.exits.sum())
    driver.access(GVA + PAGE)
    assert driver.machine.vcpu.exits.sum() > exits
    # then the page is still there only if the guest's entries are tagged.
    assert (driver.access(GVA) == 0) == vpid
