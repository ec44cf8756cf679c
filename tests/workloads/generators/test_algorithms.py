"""Generators that run algorithms, against plain Python that runs them by itself."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.generated import columns

from mmulab.mmu.trace import LOAD, STORE
from mmulab.workloads.generators.parameters import ARENA, HEAP

Access = tuple[int, int]  # address, kind


def made(spec: str) -> list[Access]:
    address, kind, _ = columns(spec)
    return list(zip(address.tolist(), kind.tolist(), strict=True))


@pytest.mark.parametrize(
    ("kernel", "vectors"), [("triad", "bca"), ("add", "abc"), ("copy", "ac"), ("scale", "cb")]
)
def test_triad(kernel: str, vectors: str) -> None:
    words, length = 1000, 8192
    expected = [
        (HEAP + "abc".index(v) * length + 8 * i, STORE if v == vectors[-1] else LOAD)
        for i in range(words)
        for v in vectors
    ]
    assert made(f"triad:size=8000,kernel={kernel},accesses={len(expected)}") == expected


def test_naive_matmul() -> None:
    n, length = 5, 4096
    expected = []
    for i in range(n):
        for j in range(n):
            for k in range(n):
                expected.append((HEAP + (i * n + k) * 8, LOAD))
                expected.append((HEAP + length + (k * n + j) * 8, LOAD))
            expected.append((HEAP + 2 * length + (i * n + j) * 8, STORE))
    assert made(f"matmul:n={n},accesses={len(expected)}") == expected


def test_blocked_matmul() -> None:
    n, block, length = 6, 2, 4096
    a, b, c = HEAP, HEAP + length, HEAP + 2 * length
    expected = []
    for kk in range(0, n, block):
        for jj in range(0, n, block):
            for i in range(n):
                for j in range(jj, jj + block):
                    expected.append((c + (i * n + j) * 8, LOAD))
                    for k in range(kk, kk + block):
                        expected.append((a + (i * n + k) * 8, LOAD))
                        expected.append((b + (k * n + j) * 8, LOAD))
                    expected.append((c + (i * n + j) * 8, STORE))
    assert made(f"matmul:n={n},block={block},accesses={len(expected)}") == expected


def test_fft_computes_the_transform() -> None:
    """The accesses, replayed as an FFT on real data, give NumPy's answer."""
    bits = 5
    n = 1 << bits
    total = 2 * n + bits * 5 * (n // 2)
    trace = made(f"fft:log2n={bits},accesses={total}")
    x = np.random.default_rng(1).standard_normal(n) + 0j
    twiddles = np.exp(-2j * np.pi * np.arange(n // 2) / n)
    memory = {HEAP + 16 * i: x[i] for i in range(n)}
    memory |= {HEAP + 32 * n + 16 * i: twiddles[i] for i in range(n // 2)}
    for (source, _), (target, kind) in zip(trace[: 2 * n : 2], trace[1 : 2 * n : 2], strict=True):
        assert kind == STORE
        memory[target] = memory[source]
    for at in range(2 * n, total, 5):
        (w, _), (low, _), (high, _), (first, one), (second, two) = trace[at : at + 5]
        assert (low, high) == (first, second) and one == two == STORE
        product = memory[w] * memory[high]
        memory[low], memory[high] = memory[low] + product, memory[low] - product
    result = [memory[HEAP + 16 * n + 16 * i] for i in range(n)]
    assert np.allclose(result, np.fft.fft(x))


def test_spmv_rows_of_the_stencil() -> None:
    grid = 4
    rows = grid**3
    trace = made(f"spmv:grid={grid},accesses={rows * 83}")
    x = HEAP + 8 * rows + 2 * 8 * 27 * rows
    for row in (21, 42):  # inside, where no neighbour wraps around
        part = trace[row * 83 : (row + 1) * 83]
        layer, rest = divmod(row, grid * grid)
        line, point = divmod(rest, grid)
        near = {
            (layer + dz) * 16 + (line + dy) * 4 + point + dx
            for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
        }  # fmt: skip
        assert {(address - x) // 8 for address, _ in part[3:82:3]} == near
        assert part[0] == (HEAP + 8 * row, LOAD)
        assert part[-1] == (x + 8 * rows + 8 * row, STORE)


def test_hash_join_builds_each_tuple_once_and_finds_what_it_built() -> None:
    build = 101
    trace = made(f"hashjoin:build={build},probe=500,accesses={4 * build + 3 * 500}")
    slots = [trace[4 * t + 3][0] for t in range(build)]
    assert len(set(slots)) == build
    for t in range(build):
        tuple_, header, again, slot = trace[4 * t : 4 * t + 4]
        assert tuple_ == (ARENA + 16 * t, LOAD) and header[0] == again[0]
        assert slot[0] - header[0] in (16, 32) and slot[1] == STORE
    for p in range(500):
        at = 4 * build + 3 * p
        assert trace[at] == (ARENA + 16 * (build + p), LOAD)
        assert trace[at + 2][0] in slots


def test_btree_lookups_end_at_the_entry_that_was_searched_for() -> None:
    keys, node = 3000, 256
    fanout = node // 16
    steps = 4  # of a binary search among 16
    levels = 3
    each = (steps + 1) * levels
    trace = made(f"btree:keys={keys},node={node},accesses={each * 200}")
    nodes = [-(-keys // fanout**3), -(-keys // fanout**2), -(-keys // fanout)]
    bases = HEAP + np.concatenate([[0], np.cumsum(nodes)]) * node
    for lookup in range(200):
        path = trace[each * lookup : each * (lookup + 1)]
        number = 0
        for level in range(levels):
            part = [a - bases[level] for a, _ in path[level * 5 : level * 5 + 5]]
            assert {a // node for a in part} == {number}
            wanted = (part[-1] % node - node // 2) // 8
            low, high = 0, fanout
            for a in part[:-1]:
                middle = (low + high) // 2
                assert a % node // 8 == middle
                low, high = (middle, high) if wanted >= middle else (low, middle)
            assert low == wanted
            number = number * fanout + wanted
        assert number < keys


def test_quicksort_makes_some_n_log_n_loads_from_one_fill_to_the_next() -> None:
    words = 512
    trace = made("quicksort:size=4K,accesses=60K")
    fill, rest = trace[:words], trace[words:]
    assert fill == [(HEAP + 8 * i, STORE) for i in range(words)]
    again = next(
        i for i in range(len(rest) - words) if rest[i : i + words] == fill
    )  # where the next pass fills the array
    loads = sum(kind == LOAD for _, kind in rest[:again])
    expected = words * np.log2(words)
    assert 0.8 * expected < loads < 4 * expected


def test_bfs_reaches_the_roots_component_once() -> None:
    scale = 6
    vertices = 1 << scale
    trace = made(f"graph:scale={scale},edgefactor=3,accesses=30K")
    queue_end = HEAP + 4096
    searches: list[list[int]] = []
    for address, kind in trace:
        if kind == LOAD and address == HEAP:
            searches.append([])
        if kind == STORE and HEAP < address < queue_end:
            searches[-1].append((address - HEAP) // 8)
    for search in searches[:-1]:
        assert search == list(range(1, len(search) + 1)) and len(search) < vertices


def test_pagerank_reads_each_edge_once_a_round() -> None:
    trace = made("graph:algorithm=pagerank,scale=5,edgefactor=4,accesses=9K")
    edges = 4 << 5
    around = 2 * 32 + 2 * edges + 32
    ends = HEAP + 2 * 4096
    for start in range(0, around * 3, around):
        part = trace[start : start + around]
        assert sum(ends <= a < ends + 4096 for a, _ in part) == edges
        assert sum(kind == STORE for _, kind in part) == 32


def test_ycsb_mixes() -> None:
    for workload, stores in (("A", 0.5), ("B", 0.05), ("C", 0.0)):
        trace = made(f"ycsb:workload={workload},record=64,records=1000,load=0,accesses=40K")
        share = sum(kind == STORE for _, kind in trace) / (len(trace) / 2)
        assert abs(share - stores) < 0.02
    trace = made("ycsb:workload=F,record=64,records=1000,load=0,accesses=40K")
    assert abs(sum(kind == STORE for _, kind in trace) / sum(a < ARENA for a, _ in trace) - 0.5) < 0.02  # fmt: skip  # noqa: E501


def test_mix_gives_turns_by_weight() -> None:
    address, _, events = columns("mix:of=scan(size=8K)*3+triad(size=64K),quantum=100,accesses=4000")
    turns = [(position, pid) for position, kind, pid, *_ in events if kind == 7]
    assert turns[:4] == [(0, 1), (300, 2), (400, 1), (700, 2)]
