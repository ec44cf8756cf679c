"""Generators: deterministic, inside what they map, with the statistics they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmu.errors import InputError
from mmu.trace import EXIT, FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH, Chunk
from workloads import generators

SMALL = {
    "gups": "gups:size=1M,accesses=200K",
    "scan": "scan:size=64K,stride=192,accesses=5K",
    "chase": "chase:size=64K,accesses=3K",
    "zipf": "zipf:keys=1000,value=100,accesses=300K",
    "churn": "churn:heap=64K,arena=32K,work=100,accesses=60K",
}


def columns(spec: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray, list]:
    chunks = list(generators.create(spec, seed).chunks())
    address = np.concatenate([chunk.address for chunk in chunks])
    kind = np.concatenate([chunk.kind for chunk in chunks])
    return address, kind, [event for chunk in chunks for event in chunk.events.tolist()]


@pytest.mark.parametrize("name", generators.names())
def test_same_seed_same_trace(name: str) -> None:
    one, two, other = (columns(SMALL[name], seed) for seed in (1, 1, 2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1]) and one[2] == two[2]
    if name != "scan":
        assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("name", generators.names())
def test_length_is_what_was_asked_for(name: str) -> None:
    trace = generators.create(SMALL[name])
    assert trace.length == len(columns(SMALL[name])[0])


@pytest.mark.parametrize("name", generators.names())
def test_every_access_is_inside_a_mapping_of_a_live_process(name: str) -> None:
    maps: dict[int, list[tuple[int, int]]] = {1: []}
    current = 1
    for chunk in generators.create(SMALL[name]).chunks():
        for start, end, event in _pieces(chunk):
            address = chunk.address[start:end]
            inside = np.zeros(len(address), bool)
            for low, high in maps.get(current, []):
                inside |= (address >= low) & (address + 8 <= high)
            assert inside.all()
            if event is None:
                continue
            _, kind, pid, first, length, value = event
            assert pid in maps
            if kind == MMAP:
                maps[pid].append((first, first + length))
            elif kind == MUNMAP:
                maps[pid].remove((first, first + length))
            elif kind == FORK:
                assert value not in maps
                maps[value] = list(maps[pid])
            elif kind == EXIT:
                del maps[pid]
            elif kind == SWITCH:
                current = pid


def _pieces(chunk: Chunk):  # type: ignore[no-untyped-def]
    """(start, end, event that follows) of the accesses between events."""
    start = 0
    for event in chunk.events.tolist():
        yield start, event[0], event
        start = event[0]
    yield start, chunk.accesses, None


def test_gups_updates_are_a_load_and_a_store_of_one_word() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=200K,init=0")
    assert (kind[::2] == LOAD).all() and (kind[1::2] == STORE).all()
    assert np.array_equal(address[::2], address[1::2])
    words = (address[::2] - address.min()) // 8
    # 100,000 draws into 16 equal parts: each within five standard deviations.
    counts = np.bincount(words * 16 // (words.max() + 1), minlength=16)
    assert abs(counts - 6250).max() < 5 * (6250 * 15 / 16) ** 0.5


def test_gups_touches_its_table_in_order_first() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=1K")
    assert (np.diff(address[:256]) == 4096).all() and (kind[:256] == STORE).all()


def test_scan_has_its_stride_and_begins_again() -> None:
    address, kind, _ = columns("scan:size=64K,stride=192,accesses=5K,write=1")
    steps = (65536 - 8) // 192 + 1
    assert np.array_equal(address - address[0], 192 * (np.arange(5000) % steps))
    assert (kind == STORE).all()


def test_chase_visits_every_node_once_in_a_cycle() -> None:
    address, _, _ = columns("chase:size=64K,node=64,accesses=3K")
    nodes = (address - address.min()) // 64
    assert sorted(nodes[:1024]) == list(range(1024))
    assert np.array_equal(nodes[:1024], nodes[1024:2048])


def splitmix64(seed: int, position: int) -> int:
    """The generators' hash, written a second time."""
    mask = (1 << 64) - 1
    z = (seed * 0xBF58476D1CE4E5B9 + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_zipf_follows_its_law() -> None:
    keys, theta = 1000, 0.9
    address, kind, _ = columns(f"zipf:keys={keys},value=64,theta={theta},accesses=400K,read=0.5")
    buckets = (address[::2] - 0x555556000000) // 8  # a bucket, then one line of the value
    counts = np.bincount(buckets, minlength=keys)
    law = np.arange(1, keys + 1.0) ** -theta
    expected = np.zeros(keys)
    for rank in range(keys):
        expected[splitmix64(0, rank) % keys] += law[rank]
    expected *= len(buckets) / expected.sum()
    hot = np.argsort(expected)[::-1]
    # Ranks 0 and 1 are drawn exactly, the others by an approximation (Gray et al. 1994).
    assert counts[hot[0]] == pytest.approx(expected[hot[0]], rel=0.05)
    assert counts[hot[:100]].sum() == pytest.approx(expected[hot[:100]].sum(), rel=0.05)
    assert counts[hot[100:]].sum() == pytest.approx(expected[hot[100:]].sum(), rel=0.05)
    assert (kind[1::2] == STORE).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gubs", "did you mean 'gups'"),
        ("gups:sise=1M", "did you mean 'size'"),
        ("gups:size", "expected KEY=VALUE"),
        ("gups:size=big", "expected a size in bytes"),
        ("gups:size=1", "from 4096"),
        ("gups:accesses=0", "from 1"),
        ("gups:accesses=1.5", "expected a number"),
        ("gups:accesses=nan", "expected a number"),
        ("gups:accesses=inf", "expected a number"),
        ("zipf:theta=1", "from 0.01 to 0.999"),
    ],
)
def test_bad_spec(spec: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        generators.create(spec)


def test_sizes_are_binary_and_counts_decimal() -> None:
    assert generators.create("gups:size=1M,accesses=1M").length == 1_000_000
    address = next(iter(generators.create("scan:size=1M,stride=1M,accesses=9").chunks())).address
    assert len(set(address.tolist())) == 1


def test_a_spec_is_echoed_so_that_it_can_be_used_again() -> None:
    for spec in SMALL.values():
        again = generators.create(spec).name
        assert generators.create(again).name == again


def test_long_streams_begin_at_once() -> None:
    trace = generators.create("gups:size=1T,accesses=1000G")
    first = next(iter(itertools.islice(trace.chunks(), 1)))
    assert first.accesses == 1 << 20
