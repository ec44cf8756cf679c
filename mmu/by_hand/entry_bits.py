"""What each bit of a page-table entry says, in words, for readers of one.

Layouts: Intel SDM vol. 3A, tables 4-15 to 4-20, and vol. 3C, tables 29-1 to 29-6; `memory.formats`
has those of RISC-V and Arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mmulab.mmu.by_hand.walkthrough import Reference

#: (value, whether the entry maps a page itself) -> what it says.
_Meaning = Callable[[int, bool], str]


class Field(NamedTuple):
    """Bits high to low of an entry, both included. value: what they hold. meaning: in words."""

    high: int
    low: int
    name: str
    value: int
    meaning: str

    @property
    def bits(self) -> str:
        return f"{self.high}" if self.high == self.low else f"{self.high}:{self.low}"


class _Place(NamedTuple):
    high: int
    low: int
    name: str
    says: _Meaning


def _either(yes: str, no: str) -> _Meaning:
    return lambda value, leaf: yes if value else no


def _of_leaf(yes: str, no: str) -> _Meaning:
    """What only an entry that maps a page says."""
    return lambda value, leaf: (yes if value else no) if leaf else "ignored: it points to a table"


def _nothing(value: int, leaf: bool) -> str:
    return "ignored by the processor"


def _reserved(value: int, leaf: bool) -> str:
    return "reserved"


def _frame(value: int, leaf: bool) -> str:
    return f"the page begins at frame {value:#x}" if leaf else f"the next table is frame {value:#x}"


_PRESENT = _either("present", "not present: the walk ends in a fault")
_ACCESSED = _either("accessed: a walk has used it", "no walk has used it")
_DIRTY = _of_leaf("dirty: the page has been stored to", "clean: the page has not been stored to")
_GLOBAL = _of_leaf("global: kept when CR3 is loaded", "not global")
_WRITE = _either("stores are allowed", "read only")
_USER = _either("user mode may", "the kernel alone may")
_CACHED = _either("set: less caching", "clear: cached, written back")

#: EPT memory types, Intel SDM vol. 3C, 29.3.7.1.
_TYPES = {0: "uncacheable", 1: "write combining", 4: "write through", 5: "write protected",
          6: "write back"}  # fmt: skip


def _memory_type(value: int, leaf: bool) -> str:
    if not leaf:
        return "reserved: it points to a table"
    return f"memory type {value}: {_TYPES.get(value, 'reserved')}"


def _x86(level: int) -> tuple[_Place, ...]:
    seventh = (
        _Place(7, 7, "PAT", _either("memory type by PAT", "memory type by PAT: as PCD and PWT say"))
        if level == 1
        else _Place(7, 7, "PS", _either("maps a page itself", "points to a table"))
    )
    return (
        _Place(63, 63, "XD", _either("no instructions from there", "instructions may be fetched")),
        _Place(62, 52, "ign.", _nothing),
        _Place(51, 12, "frame", _frame),
        _Place(11, 9, "ign.", _nothing),
        _Place(8, 8, "G", _GLOBAL),
        seventh,
        _Place(6, 6, "D", _DIRTY),
        _Place(5, 5, "A", _ACCESSED),
        _Place(4, 4, "PCD", _CACHED),
        _Place(3, 3, "PWT", _CACHED),
        _Place(2, 2, "US", _USER),
        _Place(1, 1, "RW", _WRITE),
        _Place(0, 0, "P", _PRESENT),
    )


def _ept(level: int) -> tuple[_Place, ...]:
    large = _either("maps a page itself", "points to a table")
    return (
        _Place(63, 52, "ign.", _nothing),
        _Place(51, 12, "frame", _frame),
        _Place(11, 10, "ign.", _nothing),
        _Place(9, 9, "D", _DIRTY),
        _Place(8, 8, "A", _ACCESSED),
        _Place(7, 7, "ign." if level == 1 else "large", _nothing if level == 1 else large),
        _Place(6, 6, "IPAT", _of_leaf("the guest's PAT is ignored", "the guest's PAT counts too")),
        _Place(5, 3, "type", _memory_type),
        _Place(2, 2, "X", _either("instructions may be fetched", "no instructions from there")),
        _Place(1, 1, "W", _WRITE),
        _Place(0, 0, "R", _either("loads are allowed", "no loads")),
    )


def _riscv(level: int) -> tuple[_Place, ...]:
    return (
        _Place(63, 63, "N", _either("one of a run of pages", "one page alone")),
        _Place(
            62, 61, "PBMT", _either("another memory type", "memory type as the platform has it")
        ),
        _Place(60, 54, "res.", _reserved),
        _Place(53, 10, "frame", _frame),
        _Place(9, 8, "RSW", _nothing),
        _Place(7, 7, "D", _DIRTY),
        _Place(6, 6, "A", _of_leaf("accessed: a walk has used it", "no walk has used it")),
        _Place(5, 5, "G", _GLOBAL),
        _Place(4, 4, "U", _of_leaf("user mode may", "the kernel alone may")),
        _Place(3, 3, "X", _of_leaf("instructions may be fetched", "no instructions from there")),
        _Place(2, 2, "W", _of_leaf("stores are allowed", "read only")),
        _Place(1, 1, "R", _either("maps a page itself; loads are allowed", "points to a table")),
        _Place(0, 0, "V", _PRESENT),
    )


def _arm(level: int, nested: bool) -> tuple[_Place, ...]:
    execute = ("no instructions from there", "instructions may be fetched")
    if nested:
        rights = (
            _Place(54, 54, "XN", _of_leaf(*execute)),
            _Place(53, 53, "res.", _reserved),
        )
        lower = (
            _Place(11, 11, "res.", _reserved),
            _Place(10, 10, "AF", _of_leaf("accessed: a walk has used it", "no walk has used it")),
            _Place(9, 8, "SH", _of_leaf("shareable", "not shareable")),
            _Place(7, 7, "W", _of_leaf("stores are allowed, and it is dirty", "no store yet")),
            _Place(6, 6, "R", _of_leaf("loads are allowed", "no loads")),
        )
    else:
        rights = (
            _Place(54, 54, "UXN", _of_leaf("no instructions of user mode", execute[1])),
            _Place(53, 53, "PXN", _of_leaf("no instructions of the kernel", execute[1])),
        )
        lower = (
            _Place(11, 11, "nG", _of_leaf("of one address space", "global")),
            _Place(10, 10, "AF", _of_leaf("accessed: a walk has used it", "no walk has used it")),
            _Place(9, 8, "SH", _of_leaf("shareable", "not shareable")),
            _Place(7, 7, "RO", _of_leaf("read only, or not stored to yet", "stored to")),
            _Place(6, 6, "EL0", _of_leaf("user mode may", "the kernel alone may")),
        )
    return (
        _Place(63, 55, "ign.", _nothing),
        *rights,
        _Place(52, 52, "cont.", _of_leaf("one of a run of pages", "one page alone")),
        _Place(51, 51, "DBM", _of_leaf("hardware marks it dirty on a store", "no stores")),
        _Place(50, 48, "res.", _reserved),
        _Place(47, 12, "frame", _frame),
        *lower,
        _Place(5, 2, "attr", _of_leaf("memory type", "memory type")),
        _Place(1, 1, "table", _either("a table, or a page of 4 KiB", "a block: a large page")),
        _Place(0, 0, "V", _PRESENT),
    )


def fields(reference: Reference) -> tuple[Field, ...]:
    """The bits of an entry, bit 63 first, each once; none where it is no page table's."""
    if not reference.is_of_table:
        return ()
    level = reference.host_level or reference.guest_level
    nested = reference.is_nested
    if reference.arch == "riscv64":
        places = _riscv(level)
    elif reference.arch == "aarch64":
        places = _arm(level, nested)
    else:
        places = _ept(level) if nested else _x86(level)
    leaf = is_leaf(reference)
    found = []
    for place in places:
        value = reference.entry >> place.low & (1 << (place.high - place.low + 1)) - 1
        found.append(Field(place.high, place.low, place.name, value, place.says(value, leaf)))
    return tuple(found)


def is_leaf(reference: Reference) -> bool:
    """Whether the entry maps a page, and points to no table."""
    level = reference.host_level or reference.guest_level
    if reference.arch == "riscv64":
        return bool(reference.entry & 2)
    if reference.arch == "aarch64":
        return level == 1 or not reference.entry & 2
    return level == 1 or bool(reference.entry & 1 << 7)


def frame(reference: Reference) -> int:
    """The frame that the entry names. Raises StopIteration of what is no page table's."""
    return next(each.value for each in fields(reference) if each.name == "frame")
