"""Generators that compute, against plain Python that does the same at a small size."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.generated import Access, columns
from models.random_numbers import below, splitmix64

from mmulab.mmu.trace import LOAD, STORE
from mmulab.workloads.generators.parameters import HEAP


def accesses_of(spec: str, seed: int = 1) -> list[Access]:
    address, kind, _ = columns(spec, seed)
    return list(zip(address.tolist(), kind.tolist(), strict=True))


def sorting(words: int, cutoff: int, seed: int, number: int) -> list[Access]:
    """The accesses of a pass of quicksort, which here recurs."""
    made: list[Access] = []
    data = [splitmix64(seed, number * words + at) >> 1 for at in range(words)]

    def touch(at: int, kind: int) -> None:
        made.append((HEAP + 8 * at, kind))

    def insertion(low: int, high: int) -> None:
        for i in range(low + 1, high + 1):
            touch(i, LOAD)
            word, j = data[i], i - 1
            while j >= low:
                touch(j, LOAD)
                if data[j] <= word:
                    break
                data[j + 1] = data[j]
                touch(j + 1, STORE)
                j -= 1
            data[j + 1] = word
            touch(j + 1, STORE)

    def sort(low: int, high: int) -> None:
        if high - low < cutoff:
            insertion(low, high)
            return
        three = (low, (low + high) // 2, high)
        for at in three:
            touch(at, LOAD)
        pivot = sorted(data[at] for at in three)[1]
        i, j = low, high
        while i <= j:
            if data[i] < pivot:
                touch(i, LOAD)
                i += 1
            elif data[j] > pivot:
                touch(j, LOAD)
                j -= 1
            else:
                made.extend((HEAP + 8 * at, kind) for kind in (LOAD, STORE) for at in (i, j))
                data[i], data[j] = data[j], data[i]
                i, j = i + 1, j - 1
        for part in sorted([(low, j), (i, high)], key=lambda part: part[1] - part[0]):
            sort(*part)

    for at in range(words):
        touch(at, STORE)
    sort(0, words - 1)
    assert data == sorted(data)
    return made


@pytest.mark.parametrize(("cutoff", "seed"), [(3, 1), (10, 2), (100, 3)])
def test_quicksort_sorts_and_makes_the_accesses_of_it(cutoff: int, seed: int) -> None:
    words = 512
    expected = sum((sorting(words, cutoff, seed, number) for number in range(3)), [])
    spec = f"quicksort:size=4K,cutoff={cutoff},accesses={len(expected)}"
    assert accesses_of(spec, seed) == expected


@pytest.mark.parametrize("matrix", ["stencil", "random"])
def test_spmv_is_a_product_in_compressed_rows(matrix: str) -> None:
    grid, seed = 3, 5
    rows = grid**3
    bases = HEAP + 8 * np.cumsum([0, rows, 27 * rows, 27 * rows, rows])
    starts, columns_, values, x, y = bases.tolist()
    expected = []
    for row in [*range(rows), *range(rows)]:
        expected.append((starts + 8 * row, LOAD))
        for entry in range(27):
            at = 27 * row + entry
            if matrix == "random":
                column = below(seed, at, rows)
            else:
                dz, dy, dx = np.unravel_index(entry, (3, 3, 3))
                column = (row + (dz - 1) * grid**2 + (dy - 1) * grid + dx - 1) % rows
            expected += [(columns_ + 8 * at, LOAD), (values + 8 * at, LOAD)]
            expected.append((x + 8 * int(column), LOAD))
        expected.append((y + 8 * row, STORE))
    spec = f"spmv:grid={grid},matrix={matrix},accesses={len(expected)}"
    assert accesses_of(spec, seed) == expected


@pytest.mark.parametrize("bits", [2, 3, 7])
def test_fft_begins_again_after_n_log_n(bits: int) -> None:
    n = 1 << bits
    around = 2 * n + 5 * (n // 2) * bits
    trace = accesses_of(f"fft:log2n={bits},accesses={3 * around}")
    assert trace[:around] == trace[around : 2 * around] == trace[2 * around :]
    assert sum(kind == STORE for _, kind in trace) == 3 * (n + n * bits)
    copied = [(address - HEAP - 16 * n) // 16 for address, _ in trace[1 : 2 * n : 2]]
    assert copied == [int(f"{i:0{bits}b}"[::-1], 2) for i in range(n)]


def test_matmul_counts() -> None:
    for n, block in ((6, 0), (6, 3), (8, 2)):
        each = 2 * n**3 + n**2 if not block else 2 * n**3 + 2 * n**3 // block
        trace = accesses_of(f"matmul:n={n},block={block},accesses={2 * each}")
        assert trace[:each] == trace[each:]
        assert sum(kind == STORE for _, kind in trace) == 2 * n**3 // (block or n)
