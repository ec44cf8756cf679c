"""The comparisons of the two-dimensional page-walk study, with the preset opteron-2008.

    python benchmarks/study2008.py

Bhargava et al., Accelerating Two-Dimensional Page Walks for Virtualized Systems, ASPLOS 2008: what
a program gains where the page walk cache has the nested dimension as well as the guest's, where the
nested TLB is added, and where the hypervisor backs memory with 2 MiB pages. Prints the table of
docs/validation.md. Cycles are those of a program that has touched its memory: without first
touches.
"""

from __future__ import annotations

from typing import NamedTuple

from tiny import sized

import mmulab
from mmulab.mmu.report.cost import total

NO_NTLB = ("walk_cache.ntlb.entries=0",)
NO_CACHE = ("walk_cache.pwc.entries=0", *NO_NTLB)

#: (what the processor has otherwise, technique), each with one step more than the one before.
VARIANTS = (
    (NO_CACHE, "nested"),
    ((*NO_CACHE, "walk_cache.guest_pwc.entries=24"), "nested"),
    (NO_NTLB, "nested"),
    ((), "nested"),
    ((), "nested:host_page_size=2m"),
)

#: (trace, accesses of warm-up)
WORKLOADS = (
    ("@python", "auto"),
    ("@shell", "auto"),
    ("@xz", "auto"),
    *((f"{name}:accesses={sized('8M', '20K')}", sized("2M", "5K")) for name in (
        "zipf", "hashjoin", "btree", "graph", "matmul", "fft", "spmv", "quicksort", "gcheap",
        "churn", "webserver", "gups", "chase",
    )),
    (f"ycsb:records=100K,accesses={sized('8M', '20K')}", sized("2M", "5K")),
    (f"buildfarm:accesses={sized('20M', '20K')}", sized("5M", "5K")),
)  # fmt: skip


class Ran(NamedTuple):
    references: float  # a walk
    cycles: float  # an access, without first touches


def ran(trace: str, warmup: str, changes: tuple[str, ...], technique: str) -> Ran:
    comparison = mmulab.compare(
        trace, preset="opteron-2008", techniques=[technique], set=changes, warmup=warmup
    )
    (result,) = comparison.results
    spent = total(result.cycles).likely - total(result.first_touch).likely
    return Ran(result.references_per_walk, spent / comparison.accesses)


def main() -> None:
    print(
        "| trace | references a walk: no caches, guest's entries cached, both dimensions', "
        "and nested TLB, and 2 MiB host pages | second dimension | nested TLB | 2 MiB host pages |"
    )
    print("|---|---|---|---|---|")
    for trace, warmup in sized(WORKLOADS, WORKLOADS[1:4]):
        found = [ran(trace, warmup, *variant) for variant in VARIANTS]
        references = ", ".join(f"{each.references:.1f}" for each in found)
        pairs = zip(found[1:], found[2:], strict=False)
        gains = " | ".join(f"{100 * (one.cycles / two.cycles - 1):+.1f} %" for one, two in pairs)
        print(f"| `{trace.partition(':')[0]}` | {references} | {gains} |", flush=True)


if __name__ == "__main__":
    main()
