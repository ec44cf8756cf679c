"""Random permutations of any many numbers, without a table."""

from __future__ import annotations

from math import isqrt

from mmulab.mmu.kernels.compiling import inlined
from mmulab.workloads.generators.randoms import below

_ROUNDS = 4


@inlined
def _permuted(seed, row, column, rows, columns):
    """Where a random permutation of rows * columns numbers takes row * columns + column.

    A Feistel network on (row, column), which needs no table: four rounds of random
    functions are as good as a random permutation (Luby and Rackoff, SIAM J. Computing 17,
    1988), modular sums in place of XOR take it to any product of two numbers (Black and
    Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002, generalized Feistel).
    """
    for number in range(0, _ROUNDS, 2):
        row += below(seed, column * _ROUNDS + number, rows)
        if row >= rows:
            row -= rows
        column += below(seed, row * _ROUNDS + number + 1, columns)
        if column >= columns:
            column -= columns
    return row * columns + column


@inlined
def permuted(seed, index, count, rows, columns):
    """Where a random permutation of `count` numbers takes one; rows, columns: `shape(count)`."""
    # Cycle walking (Black and Rogaway): again, until the number is one of them.
    at = index
    while True:
        row = at // columns
        at = _permuted(seed, row, at - row * columns, rows, columns)
        if at < count:
            return at


@inlined
def permuted_from(seed, index, count, rows, columns, out):
    """`permuted` of index, index + 1, ... up to `count` or the end of a row; returns how many.
    Of one row, so that the compiler makes vectors of them."""
    row = index // columns
    column = index - row * columns
    made = min(out.size, columns - column, count - index)
    outside = False
    for each in range(made):
        at = _permuted(seed, row, column + each, rows, columns)
        out[each] = at
        outside |= at >= count
    if outside:
        for each in range(made):
            if out[each] >= count:
                out[each] = permuted(seed, out[each], count, rows, columns)
    return made


@inlined
def _restored(seed, index, rows, columns):
    """The number that `_permuted` takes to this one: its rounds undone, the last first."""
    row = index // columns
    column = index - row * columns
    for number in range(_ROUNDS - 2, -1, -2):
        column -= below(seed, row * _ROUNDS + number + 1, columns)
        if column < 0:
            column += columns
        row -= below(seed, column * _ROUNDS + number, rows)
        if row < 0:
            row += rows
    return row * columns + column


@inlined
def restored(seed, index, count, rows, columns):
    """The number that `permuted` takes to this one."""
    at = _restored(seed, index, rows, columns)
    while at >= count:
        at = _restored(seed, at, rows, columns)
    return at


def shape(count: int) -> tuple[int, int]:
    """(rows, columns) of the smallest near-square that holds so many numbers."""
    columns = isqrt(count - 1) + 1
    return -(-count // columns), columns
