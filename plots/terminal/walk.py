"""A page walk as a table of its references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmulab.mmu.by_hand.walkthrough import Reference, Walk

_SIDE_BY_SIDE = 3  # probes of a line


def table(walk: Walk) -> str:
    """Every reference of a walk in order: table, index, address, entry; of a step, whose references
    go out at once, addresses side by side."""
    count, steps = len(walk.references), walk.steps
    width = max([18, *(len(reference.flags) for reference in walk.references)])
    together = max((len(step) for step in steps), default=0) > 1
    said = f" in {len(steps)} step{'s' if len(steps) != 1 else ''}" if together else ""
    lines = [
        f"{walk.technique}: {count} memory reference{'s' if count != 1 else ''}{said} for "
        f"{walk.gva:#x}"
    ]
    if together:
        lines.append(
            f"{'#':>3}  {'entry':<7} addresses (HPA), probed at once, and what served them"
        )
    else:
        lines.append(
            f"{'#':>3}  {'entry':<7} {'index':>5}  {'address (HPA)':<17} {'value':<18} "
            f"{'flags':<{width}} {'served by':<9} purpose"
        )
    for number, step in enumerate(steps, start=1):
        if together:
            lines += _side_by_side(str(number), step)
        else:
            lines.append(_row(number, step[0], width))
    aside = [each for each in walk.references if each.background]
    return "\n".join([*lines, *_side_by_side("-", aside, "in the background")])


def _row(number: int, reference: Reference, width: int) -> str:
    return (
        f"{number:>3}  {reference.name:<7} {reference.index:>5}  {reference.hpa:#016x}  "
        f"{reference.entry:#018x} {reference.flags:<{width}} {reference.served_by:<9} "
        f"{reference.purpose}".rstrip()
    )


def _side_by_side(number: str, step: Sequence[Reference], where: str = "") -> Iterator[str]:
    """Lines of a step: probes of one kind next to each other. number: what the first is called."""
    at = 0
    while at < len(step):
        first = step[at]
        end = at + 1
        while end < min(len(step), at + _SIDE_BY_SIDE) and step[end].name == first.name:
            end += 1
        cells = "  ".join(f"{each.hpa:#014x} {each.served_by:<6}" for each in step[at:end])
        purpose = ", ".join(each for each in (first.purpose, where) if each)
        called = number if at == 0 else ""
        yield f"{called:>3}  {first.name:<7} {cells:<{_SIDE_BY_SIDE * 23}}{purpose}".rstrip()
        at = end
