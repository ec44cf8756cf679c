"""A page walk as a table of its references."""

from __future__ import annotations

from mmulab.mmu.by_hand.walkthrough import Walk


def table(walk: Walk) -> str:
    """Every reference of a walk in order: table, index, address, entry."""
    count = len(walk.references)
    width = max([18, *(len(reference.flags) for reference in walk.references)])
    lines = [
        f"{walk.technique}: {count} memory reference{'s' if count != 1 else ''} for {walk.gva:#x}",
        f"{'#':>3}  {'entry':<7} {'index':>5}  {'address (HPA)':<17} {'value':<18} "
        f"{'flags':<{width}} {'served by':<9} purpose",
    ]
    for number, reference in enumerate(walk.references, start=1):
        lines.append(
            f"{number:>3}  {reference.name:<7} {reference.index:>5}  {reference.hpa:#016x}  "
            f"{reference.entry:#018x} {reference.flags:<{width}} {reference.served_by:<9} "
            f"{reference.purpose}".rstrip()
        )
    return "\n".join(lines)
