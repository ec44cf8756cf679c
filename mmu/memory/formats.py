"""What an entry is in the bits of an architecture.

In memory all entries have the layouts of `memory.entries`: the guest OS, the VMM and walkers
agree on them, whatever the architecture, and counts of references do not depend on it. These
functions say what the same entry is on RISC-V and Arm, for who looks at it. Each takes an entry,
signed, its level, and whether it is of the second stage, and returns a number without a sign.

    63   62:61  60:54  53:10   9:8   7   6   5   4   3   2   1   0      RISC-V (Sv39 to Sv57)
     N   PBMT   res.   frame   RSW   D   A   G   U   X   W   R   V

    54    53    51    47:12   11   10   9:8   7:6   5:2   1      0      Arm, 4 KiB granule
    UXN   PXN   DBM   frame   nG   AF   SH    AP    attr  table  V

A writable leaf of Arm has DBM; it is clean where AP says read-only all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_LARGE,
    EPT_R,
    EPT_RWX,
    EPT_W,
    EPT_X,
    FRAME,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    G,
    P,
)

Flags = tuple[tuple[int, str], ...]

X86_FLAGS: Flags = (
    (P, "P"),
    (RW, "RW"),
    (US, "US"),
    (A, "A"),
    (D, "D"),
    (PS, "PS"),
    (G, "G"),
    (1 << 63, "XD"),
)
EPT_FLAGS: Flags = (
    (EPT_R, "R"),
    (EPT_W, "W"),
    (EPT_X, "X"),
    (EPT_LARGE, "large"),
    (EPT_A, "A"),
    (EPT_D, "D"),
)
RISCV_FLAGS: Flags = tuple((1 << bit, name) for bit, name in enumerate("VRWXUGAD"))
ARM_STAGE_1_FLAGS: Flags = (
    (1 << 0, "V"),
    (1 << 1, "table"),
    (1 << 6, "EL0"),
    (1 << 7, "RO"),
    (1 << 10, "AF"),
    (1 << 11, "nG"),
    (1 << 51, "DBM"),
    (1 << 53, "PXN"),
    (1 << 54, "UXN"),
)
ARM_STAGE_2_FLAGS: Flags = (
    (1 << 0, "V"),
    (1 << 1, "table"),
    (1 << 6, "R"),
    (1 << 7, "W"),
    (1 << 10, "AF"),
    (1 << 51, "DBM"),
    (1 << 54, "XN"),
)


class _Meaning(NamedTuple):
    """What an entry says, whatever its format."""

    frame: int
    present: bool
    leaf: bool
    write: bool
    execute: bool
    user: bool
    is_global: bool
    accessed: bool
    dirty: bool


def _meaning(entry: int, level: int, second: bool) -> _Meaning:
    frame = (entry & FRAME) >> 12
    if second:
        large = bool(entry & EPT_LARGE)
        bits = (EPT_RWX, EPT_W, EPT_X, 0, EPT_A, EPT_D)
        user = True
    else:
        large = bool(entry & PS)
        bits = (P, RW, XD, G, A, D)
        user = bool(entry & US)
    present, write, execute, is_global, accessed, dirty = (bool(entry & bit) for bit in bits)
    execute = execute if second else not execute
    leaf = present and (level == 1 or large)
    return _Meaning(frame, present, leaf, write, execute, user, is_global, accessed, dirty)


def x86(entry: int, level: int, second: bool) -> int:
    return entry & (1 << 64) - 1


def riscv(entry: int, level: int, second: bool) -> int:
    """A leaf has R; a pointer has neither rights nor A and D."""
    what = _meaning(entry, level, second)
    if not what.leaf:
        return what.frame << 10 | what.present
    bits = (1, 1, what.write, what.execute, what.user, what.is_global, what.accessed, what.dirty)
    return what.frame << 10 | sum(bit << place for place, bit in enumerate(bits))


def arm(entry: int, level: int, second: bool) -> int:
    """A leaf above level 1 is a block, whose bit 1 is clear."""
    what = _meaning(entry, level, second)
    if not what.present:
        return what.frame << 12
    if not what.leaf:
        return what.frame << 12 | 0b11
    value = what.frame << 12 | (level == 1) << 1 | 1
    value |= what.accessed << 10 | 0b11 << 8 | what.write << 51
    if second:
        written = what.write and what.dirty
        return value | 0b1111 << 2 | 1 << 6 | written << 7 | (not what.execute) << 54
    clean = not (what.write and what.dirty)
    value |= what.user << 6 | clean << 7 | (not what.is_global) << 11
    for_kernel, for_user = (1 << 53, 1 << 54)
    if what.user:
        return value | for_kernel | (0 if what.execute else for_user)
    return value | for_user | (0 if what.execute else for_kernel)


class Format(NamedTuple):
    """encode: as above. flags: of each stage, what bits are called."""

    encode: Callable[[int, int, bool], int]
    flags: tuple[Flags, Flags]


#: By architecture.
FORMATS = {
    "x86-64": Format(x86, (X86_FLAGS, EPT_FLAGS)),
    "riscv64": Format(riscv, (RISCV_FLAGS, RISCV_FLAGS)),
    "aarch64": Format(arm, (ARM_STAGE_1_FLAGS, ARM_STAGE_2_FLAGS)),
}
