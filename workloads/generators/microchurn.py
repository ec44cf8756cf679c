"""A microbenchmark of page-table changes: `churn` with rounds of little but them.

A fault in 28 accesses, where programs make one in hundreds (`churn`, from a shell) or ten thousands
(a compiler): it is an upper bound of what page-table changes cost, and no program. The parent
stores to all of its heap.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.trace import Chunk
from mmulab.workloads.generators import churn
from mmulab.workloads.generators.origins import Depends
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    LARGEST_ARENA,
    Parameter,
    size,
)

SUMMARY = (
    "churn as a microbenchmark, of hardly anything but forks and mappings (lmbench lat_proc, McVoy "
    "and Staelin, USENIX ATC 1996; forkwait of Adams and Agesen, ASPLOS 2006, the worst case of "
    "shadow paging)"
)
PARAMETERS = {
    "heap": size(1 << 20, "bytes of the parent's heap, all resident"),
    "arena": size(256 << 10, "bytes that each child maps, writes, protects and unmaps",
                  LARGEST_ARENA),
    "writes": Parameter(64, "stores of a child to random pages of the heap", least=0),
    "work": Parameter(5000, "loads of the heap by a child; then a quarter as many stores, "
                      "plus one, by its parent: with writes and arena, the accesses from "
                      "one fork to the next", least=0),
    "accesses": ACCESSES,
}  # fmt: skip


def depends(parameters: dict[str, int | float]) -> Depends:
    return churn.depends(parameters)


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    return churn.chunks({**parameters, "parent": parameters["heap"]}, seed)
