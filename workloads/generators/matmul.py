"""Matrix multiplication, C = A B: as written, or in blocks."""

from __future__ import annotations

from collections.abc import Iterator

from mmu.errors import InputError
from mmu.jit import entry
from mmu.trace import LOAD, STORE, Chunk
from workloads.generators.parameters import ACCESSES, HEAP, WORD, Parameter, mapped, stream

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
    for position in range(address.size):
        rest, step = divmod(first + position, steps)
        rest, j = divmod(rest, block)
        rest, i = divmod(rest, n)
        rest, jj = divmod(rest, blocks)
        kk = rest % blocks
        j += jj * block
        if step < begin or step == steps - 1:
            address[position] = c + (i * n + j) * WORD
            kind[position] = STORE if step == steps - 1 else LOAD
            continue
        k = kk * block + (step - begin) // 2
        if (step - begin) & 1:
            address[position] = b + (k * n + j) * WORD
        else:
            address[position] = a + (i * n + k) * WORD
        kind[position] = LOAD


def check(parameters: dict[str, int | float]) -> None:
    n, block = int(parameters["n"]), int(parameters["block"])
    if block and n % block:
        raise InputError(f"matmul: block={block}: expected a divisor of n={n}")


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    n, block = int(parameters["n"]), int(parameters["block"])
    length = -(-n * n * WORD // 4096) * 4096
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, 3 * length)),
        lambda first, address, kind: _fill(first, address, kind, n, block or n, length),
    )
