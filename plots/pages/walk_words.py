"""What one reference of a walk is and says, in a sentence, and where the walk ends."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.mmu.by_hand import entry_bits
from mmulab.mmu.by_hand.walkthrough import ENTRY_NAMES, Reference, Walk


def is_two_dimensional(walk: Walk) -> bool:
    return any(reference.is_nested for reference in walk.references)


def step_in_words(walk: Walk, step: Sequence[Reference]) -> str:
    """A step: its reference, or that several go out at once."""
    if len(step) == 1:
        return reference_in_words(walk, step[0])
    names = ", ".join(dict.fromkeys(reference.name for reference in step))
    return f"{len(step)} references at once: {names}. {_found(walk, step[-1])}".rstrip()


def reference_in_words(walk: Walk, reference: Reference) -> str:
    """Which entry is read, where, what served it, and what it says of the way on."""
    where = f"is read at host address {reference.hpa:#x}, from {reference.served_by}."
    if not reference.is_of_table:
        return f"An entry of the {reference.table} {where}"
    level = reference.host_level or reference.guest_level
    table = {"nPT": "nested", "gPT": "guest's", "sPT": "shadow"}.get(reference.table)
    of = f"the {table} table" if table else f"the {reference.table}"
    entry = f"{reference.name}, entry {reference.index} of level {level} of {of},"
    return f"{entry} {where} {_found(walk, reference)}"


def _found(walk: Walk, reference: Reference) -> str:
    """What is known once an entry has been read."""
    if not reference.is_of_table:
        return ""
    frame, leaf = entry_bits.frame(reference), entry_bits.is_leaf(reference)
    if reference.is_nested:
        if not leaf:
            return f"It points to a nested table in host frame {frame:#x}."
        located = reference.guest_level
        what = f"the g{ENTRY_NAMES[located][:-1]} page" if located else "the page itself"
        return f"It says that {what} lies in host frame {frame:#x}."
    what = "the page" if leaf else "the next table"
    if is_two_dimensional(walk) and reference.table == "gPT":
        return (
            f"It says that {what} is guest frame {frame:#x}, which is no address of the host: "
            "that has to be located, too."
        )
    return f"It says that {what} lies in frame {frame:#x}."


def address_found(walk: Walk) -> int | None:
    """The host-physical address of gva; None where the walk's own entries do not say it."""
    waited = [each for each in walk.references if not each.background]
    if not waited or not _is_leaf(waited[-1]):
        return None
    last = waited[-1]
    if not last.is_nested:
        if is_two_dimensional(walk):
            return None
        return _within(last, last.guest_level, walk.gva)
    guests = [each for each in waited if not each.is_nested and _is_leaf(each)]
    if last.guest_level or not guests:
        return None
    guest_physical = _within(guests[-1], guests[-1].guest_level, walk.gva)
    return _within(last, last.host_level, guest_physical)


def _is_leaf(reference: Reference) -> bool:
    return reference.is_of_table and entry_bits.is_leaf(reference)


def _within(leaf: Reference, level: int, address: int) -> int:
    """Where an address lies in the page that a leaf maps."""
    offset = (1 << 12 + 9 * (level - 1)) - 1
    return (entry_bits.frame(leaf) << 12) & ~offset | address & offset
