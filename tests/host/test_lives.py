"""Clones, snapshots and saved VMs, against what they must cost by closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.crowd import BASE, PAGE
from drivers.lives import Lives, count
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.host import life
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.p2m import IN_IMAGE, ON_SWAP, elsewhere
from mmulab.mmu.memory.state import FREE, MERGED_PAGE
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.trace import LOAD, STORE

TOUCHED = 300


def stage(technique: str = "nested", vms: int = 2, **changes: object) -> Lives:
    """The first VM has stored to pages 0 to 299, the others have nothing."""
    machine = Lives(technique, vms=vms, late=vms - 1, **changes)
    machine.play(("access", 0, 0, TOUCHED, STORE))
    return machine


def reached(guest: Guest, pages: list[int]) -> tuple[set[int], set[int]]:
    """(gfns of pages, gfns of the gPT pages on the way to them), read off the tables."""
    tables = Tables(guest.machine, guest.name)
    data, above = set(), {int(guest.vm.process[0]["cr3"])}
    wanted = {(BASE + page) * PAGE for page in pages}
    for entry in tables.guest_entries(int(guest.vm.process[0]["cr3"])):
        span = 1 << (3 + 9 * entry.level)
        if entry.is_leaf and entry.address in wanted:
            data.add(entry.frame)
        elif not entry.is_leaf and any(entry.address <= a < entry.address + span for a in wanted):
            above.add(entry.frame)
    return data, above


@pytest.mark.parametrize("technique", ["nested", "shadow", "flat-nested"])
@pytest.mark.parametrize("clones", [1, 4])
def test_right_after_clones_each_frame_and_block_counts_all_that_share_it(technique, clones):
    machine = stage(technique, 1 + clones)
    machine.play(("host_out", 0, 7, 50, False))
    for target in range(1, 1 + clones):
        machine.play(("clone", 0, target))
    source = machine.system.guests[0].vm
    heads = machine.system.host.frames.frame
    hfns = (source.p2m[source.p2m > 0] >> 2) - 1
    assert len(hfns) > 200
    assert (heads["references"][hfns] == 1 + clones).all()
    assert (heads["kind"][hfns] == MERGED_PAGE).all()
    _, wheres, blocks = elsewhere(source.p2m)
    assert len(blocks) and (wheres == ON_SWAP).all()
    assert (machine.system.host.swap.references[blocks] == 1 + clones).all()
    for guest in machine.system.guests[1:]:
        assert guest.held == guest.vm.record[0]["merged"] == len(hfns)


@settings(max_examples=15, deadline=None)
@given(pages=st.lists(st.integers(0, TOUCHED - 1), min_size=1, max_size=80))
def test_a_clone_has_an_ept_violation_for_each_gfn_that_it_reaches(pages):
    """gPT pages included, and nothing is prefetched. A walk writes A bits to gPT pages, so that
    with EPT A and D bits each of those is copied, and of loads nothing else."""
    machine = stage()
    machine.play(("clone", 0, 1))
    guest = machine.system.guests[1]
    data, tables = reached(guest, pages)
    since = count(guest, "host_copies")
    machine._run(1, [((BASE + page) * PAGE, LOAD, 8) for page in pages])
    assert since() == {
        "host_copies": len(tables), "ept_violation": len(data) + len(tables), "pml_full": 0,
    }  # fmt: skip
    machine.check()


@settings(max_examples=15, deadline=None)
@given(pages=st.lists(st.integers(0, TOUCHED - 1), min_size=1, max_size=80))
def test_a_clone_copies_each_page_that_it_writes(pages):
    machine = stage()
    machine.play(("clone", 0, 1))
    guest = machine.system.guests[1]
    data, tables = reached(guest, pages)
    since = count(guest, "host_copies")
    for page in pages:
        machine.play(("access", 1, page, 1, STORE))
    assert since()["host_copies"] == len(data) + len(tables)
    assert since()["ept_violation"] == len(data) + len(tables)
    assert guest.held - int(guest.vm.record[0]["merged"]) == len(data) + len(tables)


def test_what_its_source_writes_a_clone_does_not_see():
    machine = stage()
    machine.play(("clone", 0, 1))
    since = count(machine.system.guests[0], "host_copies")
    machine.play(("access", 0, 10, 20, STORE))
    machine.play(("access", 1, 0, TOUCHED, LOAD))
    assert 20 <= since()["host_copies"] <= 20 + 4  # the pages, and the gPT pages above them


@pytest.mark.parametrize("technique", ["nested", "shadow", "flat-nested"])
def test_after_all_are_deleted_the_buddy_blocks_are_whole(technique):
    machine = stage(technique, 3)
    machine.play(("freeze", 0, False))
    machine.play(("freeze", 0, True))
    machine.play(("clone", 0, 1))
    machine.play(("thaw", 2, 1, "lazy"))
    machine.play(("access", 1, 0, 50, STORE))
    machine.play(("access", 2, 0, 50, STORE))
    machine.play(("suspend", 1, True))
    machine.empty()
    frames = machine.system.host.frames.frame
    held = machine.ksm.held()
    assert not held
    fresh = make_frames(len(frames)).frame
    for records in (frames, fresh):
        assert (records["kind"] == FREE).all()
    assert (frames["order"] == fresh["order"]).all()


def image_reads(machine: Lives) -> int:
    return int(machine.system.host.images.record[0]["reads"])


def saved(technique: str) -> tuple[Lives, life.Frozen, int]:
    """A machine with a snapshot on disk, and blocks that it takes."""
    machine = stage(technique, 4)
    machine.play(("freeze", 0, True))
    frozen = machine.snapshots[0][0]
    _, wheres, _ = elsewhere(frozen.vm.p2m)
    assert (wheres == IN_IMAGE).all()
    return machine, frozen, len(wheres)


@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_an_eager_restore_reads_all_and_a_lazy_one_what_is_reached(technique):
    machine, frozen, blocks = saved(technique)
    assert blocks == TOUCHED + len(frozen.tables)
    machine.play(("thaw", 1, 0, "eager"))
    assert image_reads(machine) == blocks
    machine.play(("access", 1, 0, TOUCHED, STORE))
    assert image_reads(machine) == blocks
    machine.play(("thaw", 2, 0, "lazy"))
    assert image_reads(machine) == blocks + len(frozen.tables)
    machine.play(("access", 2, 40, 25, LOAD))
    machine.play(("access", 2, 50, 25, STORE))
    assert image_reads(machine) == blocks + len(frozen.tables) + 35


@pytest.mark.parametrize("gone", [False, True])
def test_a_recorded_working_set_is_read_in_one_go(gone):
    """What the recorder reached comes first, one block after another; only the rest is faulted."""
    machine, frozen, _ = saved("nested")
    machine.play(("thaw", 1, 0, "lazy"))
    machine.play(("access", 1, 100, 60, LOAD))
    if gone:
        machine.play(("off", 1))
    before = image_reads(machine)
    machine.play(("thaw", 2, 0, "working-set"))
    assert image_reads(machine) - before == len(frozen.tables) + 60
    machine.play(("access", 2, 100, 60, STORE))
    assert image_reads(machine) - before == len(frozen.tables) + 60
    machine.play(("access", 2, 90, 20, LOAD))
    assert image_reads(machine) - before == len(frozen.tables) + 60 + 10


def test_a_working_set_in_one_go_waits_less_than_page_by_page():
    machine, frozen, _ = saved("nested")
    machine.play(("thaw", 1, 0, "lazy"))
    page_by_page = machine.system.guests[1].stalled
    for page in range(0, 100, 2):
        machine.play(("access", 1, page, 1, LOAD))
    page_by_page = machine.system.guests[1].stalled - page_by_page
    place = machine._free_place(2)
    seconds = life.thaw(machine.system, place, frozen, "working-set", frozen.position)
    latency = machine.system.settings.latency
    assert page_by_page >= 50 * latency
    assert seconds < page_by_page


def test_suspending_to_disk_frees_every_frame_and_resuming_brings_all_back():
    machine = stage(vms=1)
    system, guest = machine.system, machine.system.guests[0]
    used = guest.held
    machine.play(("suspend", 0, True))
    assert system.free == system.total and guest.held == 0
    assert guest.image_blocks == used
    machine.play(("resume", 0, "eager"))
    assert guest.held == used and guest.image_blocks == 0
    assert not system.host.images.references.any()
    machine.play(("access", 0, 0, TOUCHED, LOAD))


def test_suspended_in_memory_it_keeps_its_frames_and_they_are_not_ballooned():
    machine = stage(vms=1)
    guest = machine.system.guests[0]
    machine.play(("suspend", 0, False))
    assert guest.held > TOUCHED and guest not in machine.system.live
    machine.play(("policy", 0.05))
    assert guest.ballooned == 0
    machine.play(("resume", 0, "lazy"))
    assert guest in machine.system.live


def test_memory_of_clones_grows_by_what_each_writes():
    """200 clones that write 10 pages each."""
    machine = Lives("nested", vms=201, late=200, host_mib=64)
    machine.play(("access", 0, 0, TOUCHED, STORE))
    base = machine.system.total - machine.system.free
    for target in range(1, 201):
        machine._clone(0, target)
        machine._access(target, 0, 10, STORE)
    machine.check()
    guests = machine.system.guests[1:]
    own = [g.held - int(g.vm.record[0]["merged"]) for g in guests]
    tables = [int(g.vm.record[0]["host_tables"]) for g in guests]
    assert len(set(own)) == 1 and 10 < own[0] <= 10 + 4
    assert machine.system.total - machine.system.free == base + sum(own) + sum(tables)
    assert np.unique(tables).tolist() == tables[:1]
