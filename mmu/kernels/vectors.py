"""Several slots of an array at once, as one vector.

The sets of TLBs and caches are small, and where in a set a tag is found is
unpredictable: a loop that stops at the match costs a mispredicted branch more
often than not. These look at a whole group of slots and do not branch. LLVM makes
of them what the processor has: vectors of 512 bits, or several of 256 or 128.

Here they are in plain Python; `vectors_in_numba` has what they are compiled to.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.kernels.later import later

#: Slots of an int32 array that are taken at once: the literals that are passed as `lanes`.
NARROW, MEDIUM, WIDE = 8, 16, 32


def _in_numba() -> Any:
    from mmulab.mmu.kernels import vectors_in_numba

    return vectors_in_numba


@later(_in_numba)
def equal_mask(array: Any, start: Any, lanes: int, value: Any) -> int:
    """Bit i is set where array[start + i] == value, for i below lanes (a literal)."""
    return sum(1 << i for i in range(lanes) if array[int(start) + i] == value)


@later(_in_numba)
def least(array: Any, start: Any, lanes: int) -> int:
    """The smallest of array[start], ..., array[start + lanes - 1]; lanes is a literal."""
    return int(min(array[int(start) : int(start) + lanes]))


@later(_in_numba)
def lowest_bit(mask: Any) -> int:
    """Number of the lowest bit set of a mask that is not zero."""
    return (int(mask) & -int(mask)).bit_length() - 1


@later(_in_numba)
def move_to_front(array: Any, start: Any, last: Any, value: Any, lanes: int) -> int:
    """Makes a value the first of array[start], ..., array[start + last]; those before it
    move up by one; all of them where it is not there, and the last is gone. Returns 0
    where it was not there, else anything else. last is below lanes, NARROW, MEDIUM or WIDE."""
    group = array[int(start) : int(start) + int(last) + 1].tolist()
    place = group.index(value) if value in group else int(last)
    array[int(start) : int(start) + place + 1] = [int(value), *group[:place]]
    return 1 if value in group else 0


@later(_in_numba)
def prefetch(array: Any, index: Any) -> None:
    """Asks for the cache line of array[index]."""


@later(_in_numba)
def seldom() -> None:
    """In the body of a kernel: it is rarely called, and compiled out of its callers' way."""
