"""Matrix multiplication, C = A B: as written, or in blocks."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import ACCESSES, HEAP, WORD, Parameter, mapped, stream

SUMMARY = (
    "matrix multiplication, naive or blocked "
    "(Lam, Rothberg and Wolf, The cache performance of blocked algorithms, ASPLOS 1991)"
)
PARAMETERS = {
    "n": Parameter(1024, "rows and columns of the matrices", least=2, most=1 << 18),
    "block": Parameter(0, "rows and columns of a block, a divisor of n; 0: naive", least=0,
                       most=1 << 18),
    "accesses": ACCESSES,
}  # fmt: skip


@entry
def _fill(first, address, kind, n, block, length):
    """For each block of k, of j, then i and j: load C; for k in the block: load A, B; store C.

    The naive loop is one block of all, whose C begins at zero and is not loaded.
    """
    a, b, c = HEAP, HEAP + length, HEAP + 2 * length
    begin = 0 if block == n else 1  # C is loaded
    steps = 2 * block + 1 + begin
    blocks = n // block
    rest, step = divmod(first, steps)
    rest, j = divmod(rest, block)
    rest, i = divmod(rest, n)
    rest, jj = divmod(rest, blocks)
    kk = rest % blocks
    for position in range(address.size):
        column = jj * block + j
        what = LOAD
        if step < begin or step == steps - 1:
            where = c + (i * n + column) * WORD
            if step == steps - 1:
                what = STORE
        else:
            k = kk * block + (step - begin) // 2
            if (step - begin) & 1:
                where = b + (k * n + column) * WORD
            else:
                where = a + (i * n + k) * WORD
        address[position] = where
        kind[position] = what
        step += 1
        if step == steps:
            step, j = 0, j + 1
            if j == block:
                j, i = 0, i + 1
                if i == n:
                    i, jj = 0, jj + 1
                    if jj == blocks:
                        jj, kk = 0, (kk + 1) % blocks


def check(parameters: dict[str, int | float]) -> None:
    n, block = int(parameters["n"]), int(parameters["block"])
    if block and n % block:
        raise InputError(f"matmul: block={block}: expected a divisor of n={n}")


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    n, block = int(parameters["n"]), int(parameters["block"])
    length = -(-n * n * WORD // 4096) * 4096
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, 3 * length)),
        lambda first, address, kind: _fill(first, address, kind, n, block or n, length),
    )
