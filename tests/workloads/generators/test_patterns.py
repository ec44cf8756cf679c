"""Generators of access patterns: the order and the statistics that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.generated import columns
from models.random_numbers import splitmix64

from mmulab.mmu.trace import EXIT, FORK, LOAD, MMAP, MPROTECT, MUNMAP, STORE, SWITCH
from mmulab.workloads.generators import parameters
from mmulab.workloads.generators.zipf_law import zeta_of


def test_gups_updates_are_a_load_and_a_store_of_one_word() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=200K,init=0")
    assert (kind[::2] == LOAD).all() and (kind[1::2] == STORE).all()
    assert np.array_equal(address[::2], address[1::2])
    words = (address[::2] - address.min()) // 8
    # 100,000 draws into 16 equal parts: each within five standard deviations.
    counts = np.bincount(words * 16 // (words.max() + 1), minlength=16)
    assert abs(counts - 6250).max() < 5 * (6250 * 15 / 16) ** 0.5
    # Independent draws miss each of 131,072 words with probability (1 - 1 / 131,072)**100,000.
    distinct = 131_072 * (1 - (1 - 1 / 131_072) ** 100_000)
    assert len(set(words.tolist())) == pytest.approx(distinct, rel=0.01)


def test_gups_touches_its_table_in_order_first() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=1K")
    assert (np.diff(address[:256]) == 4096).all() and (kind[:256] == STORE).all()


def test_scan_has_its_stride_and_begins_again() -> None:
    address, kind, _ = columns("scan:size=64K,stride=192,accesses=5K,write=1")
    steps = (65536 - 8) // 192 + 1
    assert np.array_equal(address - address[0], 192 * (np.arange(5000) % steps))
    assert (kind == STORE).all()


@pytest.mark.parametrize(("size", "node"), [(65536, 64), (4096, 4096), (40_000, 24), (8192, 4096)])
@pytest.mark.parametrize("seed", [1, 2])
def test_chase_visits_every_node_once_in_a_cycle(size: int, node: int, seed: int) -> None:
    count = size // node
    address, kind, _ = columns(f"chase:size={size},node={node},accesses={2 * count + 1}", seed)
    nodes, rest = np.divmod(address - parameters.HEAP, node)
    assert not rest.any() and (kind == LOAD).all()
    assert sorted(nodes[:count]) == list(range(count))
    assert np.array_equal(nodes[count:], nodes[: count + 1])


def test_chase_returns_to_a_page_as_a_random_order_does() -> None:
    """Of a random order's neighbours, one pair in `pages` is on one page, in any seed."""
    count, pages = 1 << 18, 64
    for seed in (1, 2, 3):
        address, _, _ = columns(f"chase:size=16M,accesses={count}", seed)
        region = (address - parameters.HEAP) // ((16 << 20) // pages)
        for distance in (1, 2, pages // 2, pages):
            same = np.count_nonzero(region[distance:] == region[:-distance])
            expected = (count - distance) / pages
            assert abs(same - expected) < 5 * expected**0.5


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


@pytest.mark.parametrize("keys", [2, 9_999, 10_001, 300_000])
@pytest.mark.parametrize("theta", [0.01, 0.5, 0.99, 0.999])
def test_zeta_is_the_sum_of_the_law(keys: int, theta: float) -> None:
    exact = float(np.sum(np.arange(1, keys + 1, dtype=np.float64) ** -theta))
    assert zeta_of(keys, theta) == pytest.approx(exact, rel=1e-12)


def test_zipf_reads_a_bucket_and_then_each_line_of_its_value() -> None:
    address, kind, _ = columns("zipf:keys=1000,value=200,accesses=50K,read=0.5")
    step = np.arange(len(address)) % 5
    key = (address[step == 0] - parameters.HEAP) // 8
    for line in range(4):
        assert np.array_equal(address[step == line + 1], parameters.ARENA + key * 200 + line * 64)
        assert np.array_equal(kind[step == line + 1], kind[step == 1])
    assert (kind[step == 0] == LOAD).all()


def test_churn_rounds_are_what_the_parameters_say() -> None:
    spec = "microchurn:heap=64K,arena=32K,writes=10,work=40,accesses=20K"
    address, kind, events = columns(spec)
    initial, arena_lines, arena_pages = 1024, 512, 8
    ends = np.cumsum([10, arena_lines, arena_pages, 40, 11])
    assert events[0][:2] == (0, MMAP)
    rounds = -(-(20_000 - initial) // ends[-1])
    order = [FORK, SWITCH, MMAP, MPROTECT, MUNMAP, EXIT, SWITCH]
    at = [0, 0, ends[0], ends[1], ends[3], ends[3], ends[3]]
    for number in range(rounds - 1):
        begin = initial + number * ends[-1]
        mine = events[1 + 7 * number : 8 + 7 * number]
        assert [event[1] for event in mine] == order
        assert [event[0] - begin for event in mine] == at
        assert mine[0][2] == 1 and mine[6][2] == 1
        assert {mine[0][5], *(event[2] for event in mine[1:6])} == {2 + number}
        arena = address[begin + ends[0] : begin + ends[1]] - parameters.ARENA
        assert np.array_equal(arena, 64 * np.arange(arena_lines))
        stores = kind[begin : begin + ends[-1]] == STORE
        assert stores[: ends[1]].all() and stores[ends[3] :].all()
        assert not stores[ends[1] : ends[3]].any()


def test_churn_uses_a_pid_again_only_after_its_exit() -> None:
    spec = "microchurn:heap=4K,arena=4K,writes=0,work=0,accesses=2300K"  # 66 accesses a round
    _, _, events = columns(spec)
    pids = [event[5] for event in events if event[1] == FORK]
    assert pids == [2 + number % 32767 for number in range(len(pids))]
    assert len(pids) > 32767
    live = {1}
    for _, kind, pid, _, _, value in events:
        if kind == FORK:
            assert value not in live
            live.add(value)
        elif kind == EXIT:
            live.remove(pid)
