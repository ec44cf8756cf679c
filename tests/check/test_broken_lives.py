"""What a broken life of a VM would do is noticed: a page not copied, sent, flushed or freed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from drivers.crowd import BASE, PAGE
from drivers.lives import Lives
from drivers.moves import Moves

from mmulab.mmu.check.host import check_system
from mmulab.mmu.hardware.tlb import CONTEXT_SHIFT
from mmulab.mmu.host import copies, logged, migration, transport
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.entries import EPT_W
from mmulab.mmu.memory.p2m import IN_IMAGE, elsewhere
from mmulab.mmu.memory.state import GPT_PAGE, MERGED_PAGE
from mmulab.mmu.techniques.reference import CheckFailed, Tables
from mmulab.mmu.trace import LOAD, STORE


def shared() -> Lives:
    """The first VM, a clone of it, a snapshot in memory, one on disk, a VM restored from that."""
    machine = Lives("nested", vms=4, late=3)
    for step in (
        ("access", 0, 0, 200, STORE), ("content", 0, 210, 20, 3), ("freeze", 0, False),
        ("freeze", 0, True), ("clone", 0, 1), ("access", 1, 0, 20, STORE),
        ("access", 1, 30, 20, LOAD), ("thaw", 2, 1, "lazy"), ("access", 2, 0, 30, LOAD),
    ):  # fmt: skip
        machine.play(step)
    return machine


def shared_hfn(guest: Guest) -> int:
    """A frame of data that a VM shares."""
    kinds = guest.host.frames.frame["kind"]
    data = np.flatnonzero((guest.vm.p2m > 0) & (guest.vm.frames.frame["kind"] != GPT_PAGE))
    hfns = (guest.vm.p2m[data] >> 2) - 1
    return int(hfns[kinds[hfns] == MERGED_PAGE][0])


def spoil_a_shared_frame(machine: Lives) -> None:
    machine.system.host.memory.contents[shared_hfn(machine.system.guests[1])] += 1


def store_to_a_shared_frame(machine: Lives) -> None:
    """As if a write-protected leaf had been left out."""
    machine.system.host.memory.written[shared_hfn(machine.system.guests[1])] = 1


def leak_a_shared_frame(machine: Lives) -> None:
    hfn = shared_hfn(machine.system.guests[1])
    machine.system.host.frames.frame["references"][hfn] += 1


def free_a_shared_frame(machine: Lives) -> None:
    hfn = shared_hfn(machine.system.guests[1])
    machine.system.host.frames.frame["references"][hfn] -= 1


def forget_a_sharer(machine: Lives) -> None:
    guest = machine.system.guests[1]
    gfn = np.flatnonzero(guest.vm.sharer)[0]
    guest.vm.sharer[gfn] = 0


def lose_a_block_of_an_image(machine: Lives) -> None:
    references = machine.system.host.images.references
    references[np.flatnonzero(references)[0]] -= 1


def spoil_a_block_of_an_image(machine: Lives) -> None:
    _, wheres, blocks = elsewhere(machine.system.guests[2].vm.p2m)
    machine.system.host.images.contents[blocks[wheres == IN_IMAGE][0]] ^= 1 << 20


def write_to_a_snapshot(machine: Lives) -> None:
    frozen = machine.snapshots[0][0]
    gfn = np.flatnonzero((frozen.vm.p2m > 0) & (frozen.vm.contents != 0))[0]
    frozen.vm.contents[gfn] += 1


def forget_to_free_a_snapshot(machine: Lives) -> None:
    machine.system.frozen.remove(machine.snapshots[0][0])


def miss_a_shootdown(machine: Lives) -> None:
    """A page is copied for a store, and the TLB goes on with the frame that is shared."""
    machine._run(1, [((BASE + 5) * PAGE, STORE, 8)])
    core = machine.system.cores[0]
    mine = (core.tag >= 0) & (core.context["vpid"][core.tag >> CONTEXT_SHIFT] == 2)
    slot = np.flatnonzero(mine[: len(core.owner)])[0]
    core.data[slot] = (
        core.data[slot] & ~(((1 << 40) - 1) << 12) | shared_hfn(machine.system.guests[1]) << 12
    )


def miscount_shared_pages(machine: Lives) -> None:
    machine.system.guests[1].vm.record["merged"] -= 1


def share_a_table_that_changes(machine: Lives) -> None:
    """A gPT page that two VMs share loses an entry, as if one of them had written to it."""
    guest = machine.system.guests[0]
    tables = Tables(guest.machine, guest.name)
    kinds = guest.host.frames.frame["kind"]
    for gfn in np.flatnonzero(guest.vm.frames.frame["kind"] == GPT_PAGE).tolist():
        hfn = tables.hfn_of(gfn)
        contents = tables.contents(hfn)
        if kinds[hfn] == MERGED_PAGE and contents is not None and contents.any():
            contents[np.flatnonzero(contents)[0]] = 0
            return


BREAKS: dict[str, tuple[Callable[[Lives], None], str]] = {
    "shared frame": (spoil_a_shared_frame, "holds what its guest wrote"),
    "missed write protection": (store_to_a_shared_frame, "mapped read-only everywhere"),
    "leaked frame": (leak_a_shared_frame, "accounted for exactly once"),
    "frame freed early": (free_a_shared_frame, "accounted for exactly once"),
    "sharer": (forget_a_sharer, "chain of a shared frame"),
    "lost block": (lose_a_block_of_an_image, "block of the store of images"),
    "spoilt block": (spoil_a_block_of_an_image, "holds what its guest wrote"),
    "snapshot written": (write_to_a_snapshot, "holds what its guest wrote"),
    "snapshot not freed": (forget_to_free_a_snapshot, "accounted for|chain"),
    "missed shootdown": (miss_a_shootdown, "a TLB hit is what a walk gives"),
    "counter": (miscount_shared_pages, "counters are right"),
    "shared gPT page": (share_a_table_that_changes, "entries in use are counted|accounted for"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_life_is_caught(name: str) -> None:
    damage, message = BREAKS[name]
    machine = shared()
    damage(machine)
    with pytest.raises(CheckFailed, match=message):
        check_system(machine.system)


# --- Mechanisms that leave a step out -------------------------------------------------


def sees_no_tables(machine, gfns):  # type: ignore[no-untyped-def]
    """A log that misses what walks write to gPT pages."""
    count, looked = _collect(machine, gfns)
    kept = [g for g in gfns[:count] if machine.vm.frames.frame["kind"][g] != GPT_PAGE]
    gfns[: len(kept)] = kept
    return len(kept), looked


def sees_one_less(machine, gfns):  # type: ignore[no-untyped-def]
    """A log that loses a page a round."""
    count, looked = _collect(machine, gfns)
    kept = np.delete(gfns[:count], count // 2) if count else gfns[:0]
    gfns[: len(kept)] = kept
    return len(kept), looked


def sends_one_less(machine, other, gfns, first, zeros):  # type: ignore[no-untyped-def]
    """A page is lost on the wire."""
    return _send(machine, other, gfns[:-1], first, zeros)


_collect, _send = logged.collect, transport.send


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [(logged, "collect", sees_one_less), (logged, "collect", sees_no_tables),
     (transport, "send", sends_one_less)],
)  # fmt: skip
def test_a_migration_that_leaves_a_page_behind_is_caught(monkeypatch, module, name, broken) -> None:
    monkeypatch.setattr(module, name, broken)
    growth = 100 if broken is sees_no_tables else 1 << 40
    moves = Moves(check=True, rule="xen", least=1, rounds=2, pages=200, growth=growth)
    moves.migrate()
    with pytest.raises((CheckFailed, AssertionError, IndexError)):
        moves.run()


def test_a_migration_that_frees_nothing_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(Guest, "switch_off", lambda guest: setattr(guest, "off", True))
    moves = Moves(check=True, downtime=300e-6)
    moves.migrate()
    with pytest.raises(CheckFailed, match="accounted for exactly once"):
        moves.run()


def test_a_clone_that_does_not_protect_its_source_is_caught(monkeypatch) -> None:
    """Leaves that stay writable: the next store goes to a frame that is shared."""
    machine = Lives("nested", vms=2, late=1)
    machine.play(("access", 0, 0, 50, STORE))
    machine._clone(0, 1)
    reference = machine.system.guests[0].spec.technique.reference(
        Tables(machine.system.guests[0].machine, "vm0")
    )
    for entry in reference.nested_entries():
        if entry.is_leaf:
            table = reference.tables.contents(entry.table)
            table[entry.position] |= EPT_W
    with pytest.raises((CheckFailed, AssertionError)):
        machine.play(("access", 0, 0, 50, STORE))


def test_a_failed_migration_that_keeps_frames_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(migration.copies, "give_back", lambda machine: None)
    moves = Moves(check=True, fails=1e-3, bandwidth=1e8)
    moves.migrate()
    with pytest.raises(CheckFailed, match="accounted for exactly once"):
        moves.run()
    assert copies.give_back is migration.copies.give_back
