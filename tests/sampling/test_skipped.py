"""What is run between units, and that nothing else changes page tables."""

from __future__ import annotations

import numpy as np
import pytest

from mmulab import api
from mmulab.arguments import machine
from mmulab.mmu.machine.simulator import FIRST_PID, Simulator, build
from mmulab.mmu.machine.work import prepare
from mmulab.mmu.sampling.pieces import pieces, spans
from mmulab.mmu.sampling.skipped import NOTHING, SOMETHING, TOUCH, Skipped
from mmulab.mmu.trace import (
    EVENT,
    FETCH,
    FORK,
    LOAD,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
    Chunk,
    Trace,
)

PAGE = 4096


def chunk(accesses: list[tuple[int, int, int]], events: list[tuple] = ()) -> Chunk:  # type: ignore
    """accesses: (address, kind, size). events: as EVENT has them."""
    address, kind, size = (np.array(column) for column in zip(*accesses, strict=True))
    return Chunk(
        address.astype(np.int64), kind.astype(np.uint8), size.astype(np.uint16),
        np.array(list(events), EVENT),
    )  # fmt: skip


def test_first_accesses_are_kept() -> None:
    found = Skipped(FIRST_PID).keep(
        chunk(
            [
                (PAGE, LOAD, 8), (PAGE + 64, LOAD, 8), (PAGE, STORE, 8), (PAGE, STORE, 8),
                (2 * PAGE, STORE, 8), (2 * PAGE, LOAD, 8), (2 * PAGE, FETCH, 4),
                (3 * PAGE - 4, LOAD, 8), (3 * PAGE, LOAD, 8),
            ]
        )
    )  # fmt: skip
    assert found.tolist() == [
        TOUCH, NOTHING, SOMETHING, NOTHING, TOUCH, NOTHING, SOMETHING, TOUCH, NOTHING
    ]  # fmt: skip


def test_events_have_pages_touched_anew() -> None:
    access = (PAGE, LOAD, 8)
    events = [
        (1, MUNMAP, 1, PAGE, PAGE, 0), (2, MUNMAP, 1, 2 * PAGE, PAGE, 0), (3, FORK, 1, 0, 0, 2),
        (4, SWITCH, 2, 0, 0, 0), (5, SWITCH, 1, 0, 0, 0), (6, MPROTECT, 2, 0, 1 << 40, 1),
        (7, MPROTECT, 1, 0, 1 << 40, 1),
    ]  # fmt: skip
    found = Skipped(FIRST_PID).keep(chunk([access] * 8, events))
    assert (found > NOTHING).tolist() == [True, True, False, True, True, False, False, True]


def test_lines_are_kept_when_they_were_not_used_for_a_while() -> None:
    """Windows of 4 accesses: what was used in this one or the one before is left out."""
    same, other = (PAGE, LOAD, 8), (PAGE + 64, LOAD, 8)
    found = Skipped(FIRST_PID, 4).keep(chunk([same, other, same, same, *[other] * 8, same, other]))
    assert np.flatnonzero(found).tolist() == [0, 1, 12]


def by_hand(accesses: np.ndarray, while_: int) -> list[bool]:
    """Which of (address, kind) are run, the slow way: pages by kind, and lines by window."""
    kinds: set[tuple[int, int]] = set()
    used: dict[int, int] = {}
    pages: dict[int, int] = {}
    found = []
    for at, (address, kind) in enumerate(accesses.tolist()):
        page, line, window = address >> 12, address >> 6, at // while_
        is_new = (page, kind) not in kinds
        kinds |= {(page, kind)} | ({(page, LOAD)} if kind == STORE else set())
        if kind == FETCH:
            is_new |= pages.get(page, -9) < window - 1
        else:
            is_new |= used.get(line, -9) < window - 1
            used[line] = window
        pages[page] = window
        found.append(is_new)
    return found


@pytest.mark.parametrize("while_", [50, 700])
def test_against_the_slow_way(while_: int) -> None:
    random = np.random.default_rng(5)
    pages = random.zipf(1.3, 20_000) % 6000  # the table grows
    accesses = np.stack(
        [pages * PAGE + 8 * random.integers(0, 512, 20_000), random.integers(0, 3, 20_000)], axis=1
    )
    skipped = Skipped(FIRST_PID, while_)
    found: list[bool] = []
    for part in np.array_split(accesses, 3):
        found += (skipped.keep(chunk([(a, k, 8) for a, k in part.tolist()])) > NOTHING).tolist()
    assert found == by_hand(accesses, while_)


def test_pieces_are_the_trace() -> None:
    """Every access in a span once, in order; every event once, before the access it was before."""
    random = np.random.default_rng(6)
    trace = api.trace("microchurn:accesses=50K")
    whole = [
        (int(a), int(k)) for c in trace.chunks() for a, k in zip(c.address, c.kind, strict=True)
    ]
    events = sum(len(c.events) for c in trace.chunks())
    starts = np.sort(random.choice(250, 12, replace=False)) * 200
    wanted = spans(list(enumerate(starts.tolist())), 200, 1000)
    assert all(one.stop <= next.start for one, next in zip(wanted, wanted[1:], strict=False))
    seen, ends = [], []
    for piece in pieces(trace, wanted, Skipped(FIRST_PID), 777, 50_000):
        seen.append(len(piece.chunk.events))
        assert piece.begin >= 777 or piece.begin + piece.chunk.accesses <= 777
        if piece.span:
            part = list(zip(piece.chunk.address.tolist(), piece.chunk.kind.tolist(), strict=True))
            assert part == whole[piece.begin : piece.begin + len(part)]
            assert piece.span.start <= piece.begin <= piece.begin + len(part) <= piece.span.stop
            if piece.is_last:
                ends.append(piece.span.stop)
    assert sum(seen) == events
    assert ends == [span.stop for span in wanted]


def run(trace: Trace, technique: str, keep: Skipped | None) -> Simulator:
    preset, config = machine("skylake-sp", (), {"memory": "256M"}, technique)
    simulator = build(technique, preset, config)
    for piece in pieces(trace, [], keep, 0, 10**9):
        work, _ = prepare(trace, piece.chunk, piece.begin, 0, 4)
        simulator.run(piece.chunk, work.marks, 0, piece.chunk.accesses, 0)
    return simulator


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
@pytest.mark.parametrize("spec", ["@shell", "microchurn:accesses=100K"])
def test_page_tables_are_those_of_a_whole_run(spec: str, technique: str) -> None:
    """The same faults, the same frames for the same use; of programs that fork, map and unmap."""
    trace = api.trace(spec)
    whole, kept = (run(trace, technique, each) for each in (None, Skipped(FIRST_PID)))
    assert kept.accesses < whole.accesses
    for name in ("guest_faults", "cow_breaks", "pages_zeroed", "pages_copied", "pte_writes"):
        assert kept.machine.vcpu.stats[name] == whole.machine.vcpu.stats[name], name
    assert kept.frames_by_kind("guest") == whole.frames_by_kind("guest")
    if technique != "shadow":  # which drops and rebuilds tables as they are used
        assert kept.frames_by_kind() == whole.frames_by_kind()
