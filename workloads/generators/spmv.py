"""Sparse matrix-vector multiplication, y = A x, in compressed sparse rows."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, repeated
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    WORD,
    Parameter,
    choice,
    mapped,
    stream,
)
from mmulab.workloads.generators.randoms import below

SUMMARY = (
    "sparse matrix-vector product in compressed rows (Saad, Iterative methods for sparse linear "
    "systems, 2003; the stencil is HPCG's, Dongarra, Heroux and Luszczek 2016)"
)
PARAMETERS = {
    "grid": Parameter(96, "points of the cubic grid along each side; a row for each", least=3,
                      most=1 << 12),
    "matrix": choice("where a row's 27 entries are", "stencil", "random"),
    "accesses": ACCESSES,
}  # fmt: skip

_ENTRIES = 27  # of a row; those of the stencil that leave the grid wrap around
_STEPS = 1 + 3 * _ENTRIES + 1


@entry
def _fill(first, address, kind, seed, grid, random, starts, columns, values, x, y):
    """A row: load its start; for each entry load its column, its value, and x there; store y."""
    rows = grid * grid * grid
    turn, step = divmod(first, _STEPS)
    row = turn % rows
    for position in range(address.size):
        what = LOAD
        if step == 0:
            where = starts + row * WORD
        elif step == _STEPS - 1:
            where = y + row * WORD
            what = STORE
        else:
            entry_, part = divmod(step - 1, 3)
            at = row * _ENTRIES + entry_
            if part == 0:
                where = columns + at * WORD
            elif part == 1:
                where = values + at * WORD
            elif random:
                where = x + below(seed, at, rows) * WORD
            else:
                layer, cell = divmod(entry_, 9)
                offset = (layer - 1) * grid * grid + (cell // 3 - 1) * grid + cell % 3 - 1
                column = row + offset
                if column < 0:
                    column += rows
                elif column >= rows:
                    column -= rows
                where = x + column * WORD
        address[position] = where
        kind[position] = what
        step += 1
        if step == _STEPS:
            step, row = 0, row + 1
            if row == rows:
                row = 0


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make the addresses of a row's start and of y; the start, those of its columns and
    values; a column, that of x there."""
    steps = range(1, _STEPS - 1)
    row = [2 if (step - 1) % 3 == 2 else step for step in steps]
    return repeated([INDEPENDENT, *row, INDEPENDENT])


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    grid, random = int(parameters["grid"]), int(parameters["matrix"])
    rows = grid**3
    entries = rows * _ENTRIES
    starts = HEAP
    columns = starts + rows * WORD
    values = columns + entries * WORD
    x = values + entries * WORD
    y = x + rows * WORD
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, y + rows * WORD - HEAP)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, grid, random, starts, columns, values, x, y
        ),
    )
