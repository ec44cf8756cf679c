"""Where misses come from, as a table: a row a label."""

from __future__ import annotations

from typing import Any

from mmulab.workloads.analysis.blame import Blame, Part

#: Rows that are shown unless told otherwise.
MOST = 20

_WHAT = {"region": "region", "range": "range from", "ip": "instruction"}


def table(blame: Blame, most: int = MOST) -> str:
    """The labels with most cycles of translation, and all others in a row."""
    total = sum(map(blame.cycles, blame.parts))
    lines = [
        f"{blame.trace}: {blame.accesses:,} accesses under {blame.technique}; {blame.preset}; "
        f"cycles of translation {total / blame.accesses:.3f} an access",
        "",
    ]
    rows = [list(_HEAD), *(_row(blame, part, total) for part in blame.parts[:most])]
    rows[0][0] = _WHAT[blame.by]
    left = blame.parts[most:]
    if left:
        rows.append(_others(blame, left, total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = "".join(f"  {cell:>{wide}}" for cell, wide in zip(cells, widths[1:], strict=True))
        lines.append(f"{name:<{widths[0]}}{line}".rstrip())
    return "\n".join(lines)


_HEAD = (
    "", "cycles", "", "accesses", "L1 misses", "L2 misses", "walks", "refs a walk", "faults",
    "exits",
)  # fmt: skip


def _row(blame: Blame, part: Part, total: float) -> list[str]:
    found = part.to_dict(blame)
    return _cells(part.name, found, total)


def _others(blame: Blame, left: tuple[Part, ...], total: float) -> list[str]:
    rows = [part.to_dict(blame) for part in left]
    sums = {name: sum(row[name] for row in rows) for name in rows[0] if name != "name"}
    return _cells(f"{len(left):,} others", sums, total)


def _cells(name: str, found: dict[str, Any], total: float) -> list[str]:
    walks = found["walks"]
    return [
        name,
        f"{found['cycles']:,.0f}",
        f"{100 * found['cycles'] / total:.1f} %" if total else "-",
        f"{found['accesses']:,}",
        f"{found['l1_tlb_misses']:,}",
        f"{found['l2_tlb_misses']:,}",
        f"{walks:,}",
        f"{found['references'] / walks:.2f}" if walks else "-",
        f"{found['guest_faults']:,}",
        f"{found['exits']:,}",
    ]
