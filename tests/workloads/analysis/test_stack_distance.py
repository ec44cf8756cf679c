"""Stack distances against a list kept in order of use, and against the TLB simulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import EVENT, NO_EVENTS, SWITCH, Chunk
from mmulab.workloads import generators
from mmulab.workloads.analysis.stack_distance import StackDistances


def chunk_of(addresses: list[int], sizes: list[int] | int = 1) -> Chunk:
    count = len(addresses)
    return Chunk(
        np.array(addresses, np.int64), np.zeros(count, np.uint8),
        np.broadcast_to(np.array(sizes, np.uint16), count).copy(), NO_EVENTS,
    )  # fmt: skip


def brute(pages: list[int]) -> tuple[dict[int, int], int]:
    """(touches by distance, first touches), from a list with the last used in front."""
    order: list[int] = []
    counts: dict[int, int] = {}
    cold = 0
    for page in pages:
        if page in order:
            distance = order.index(page) + 1
            counts[distance] = counts.get(distance, 0) + 1
            order.remove(page)
        else:
            cold += 1
        order.insert(0, page)
    return counts, cold


def check(curve: object, pages: list[int]) -> None:
    counts, cold = brute(pages)
    assert curve.cold == cold and curve.touches == len(pages)  # type: ignore[attr-defined]
    hits = curve.hits  # type: ignore[attr-defined]
    assert {d: int(n) for d, n in enumerate(hits) if n} == counts
    for entries in range(len(set(pages)) + 2):
        expected = cold + sum(n for d, n in counts.items() if d > entries)
        assert curve.misses(entries) == expected  # type: ignore[attr-defined]


@given(
    pages=st.lists(st.integers(0, 90) | st.integers(-4, 4), min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=3),
)
@settings(deadline=None)
def test_every_size_equals_brute_force(pages: list[int], cuts: list[int]) -> None:
    distances = StackDistances()
    edges = sorted({0, len(pages), *(min(cut, len(pages)) for cut in cuts)})
    for start, end in zip(edges, edges[1:], strict=False):
        distances.add(chunk_of([page << 12 for page in pages[start:end]]))
    check(distances.curve(), pages)


@given(
    pages=st.lists(st.integers(0, 90) | st.integers(-4, 4), min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    alone=st.lists(st.booleans(), min_size=5, max_size=5),
)
@settings(deadline=None, max_examples=50)
def test_pieces_absorbed_in_their_order_equal_brute_force(
    pages: list[int], cuts: list[int], alone: list[bool]
) -> None:
    distances = StackDistances()
    edges = sorted({0, len(pages), *(min(cut, len(pages)) for cut in cuts)})
    for start, end, taken_alone in zip(edges, edges[1:], alone, strict=False):
        chunk = chunk_of([page << 12 for page in pages[start:end]])
        if taken_alone:
            distances.add(chunk)
        else:
            later = distances.like()
            later.add(chunk)
            distances.absorb(later)
    check(distances.curve(), pages)


@pytest.mark.parametrize("page_size", [0, 1, 2])
def test_a_real_trace_equals_brute_force(page_size: int) -> None:
    chunks = iter(workloads.open_trace(workloads.bundled()).chunks())
    chunk = next(each for each in chunks if each.accesses >= 40_000)
    chunk = Chunk(chunk.address[:40_000], chunk.kind[:40_000], chunk.size[:40_000], NO_EVENTS)
    distances = StackDistances(page_size)
    distances.add(chunk)
    shift = 12 + 9 * page_size
    pages = []
    for address, size in zip(chunk.address.tolist(), chunk.size.tolist(), strict=True):
        pages += range(address >> shift, ((address + size - 1) >> shift) + 1)
    check(distances.curve(), pages)


def test_many_pages_make_tables_grow_and_timelines_compact() -> None:
    random = np.random.default_rng(1)
    pages = np.concatenate([np.arange(30_000), random.integers(0, 30_000, 60_000)])
    distances = StackDistances()
    distances.add(chunk_of((pages << 12).tolist()))
    curve = distances.curve()
    assert curve.cold == 30_000
    # The first touch after the sweep: its distance is known without a list.
    last = dict(zip(pages[:30_000].tolist(), range(30_000), strict=True))
    assert curve.hits.sum() == 60_000
    first = 30_000 - last[int(pages[30_000])]
    assert curve.hits[first] >= 1


def test_equals_the_tlb_simulator_at_any_size() -> None:
    trace = generators.create("zipf:accesses=60K,keys=20K")
    distances, addresses = StackDistances(), []
    for chunk in trace.chunks():
        one_page = chunk._replace(size=np.ones_like(chunk.size), events=NO_EVENTS)
        distances.add(one_page)
        addresses.append(chunk.address)
    curve, address = distances.curve(), np.concatenate(addresses)
    for entries in (4, 16, 64, 100):
        stream = TLBStream(Geometry(1, entries, "lru"), Geometry(1, 4096, "lru"))
        stream.run(address)
        assert curve.misses(entries) == stream.counts.l1_misses


def test_processes_have_pages_of_their_own() -> None:
    events = np.zeros(2, EVENT)
    events["position"], events["kind"], events["pid"] = [1, 2], SWITCH, [2, 1]
    distances = StackDistances()
    distances.add(chunk_of([0x1000, 0x1000, 0x1000])._replace(events=events))
    curve = distances.curve()
    assert curve.cold == 2 and curve.hits[2] == 1


def test_an_access_that_straddles_touches_both_pages() -> None:
    distances = StackDistances()
    distances.add(chunk_of([0x1FFC, 0x2000], [8, 1]))
    curve = distances.curve()
    assert curve.touches == 3 and curve.cold == 2 and curve.hits[1] == 1


def test_sampling_is_close() -> None:
    """A tenth of 16,384 pages is followed, all equally popular: sampling's error comes
    from pages that are a large part of the touches by themselves."""
    trace = generators.create("gups:size=64M,accesses=1M")
    exact, sampled = StackDistances(), StackDistances(rate=0.1)
    for chunk in trace.chunks():
        exact.add(chunk)
        sampled.add(chunk)
    sizes = np.unique(np.logspace(1, 4.2, 40).astype(int))
    error = np.abs(exact.curve().miss_ratio(sizes) - sampled.curve().miss_ratio(sizes))
    assert sampled.pages < 0.2 * exact.pages
    assert error.mean() < 0.02


def test_entries_for_a_hit_ratio() -> None:
    distances = StackDistances()
    distances.add(chunk_of([p << 12 for p in [0, 1, 2] * 100]))
    curve = distances.curve()
    assert curve.entries_for(0.99) == 3
    assert curve.entries_for(0.999) is None
    assert curve.largest == 3


@pytest.mark.parametrize("rate", [0, -1, 1.5])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(InputError, match="sampling rate"):
        StackDistances(rate=rate)
