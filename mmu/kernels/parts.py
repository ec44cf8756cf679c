"""Parts: kernels that are compiled and cached apart, and call each other by address.

A part writes the addresses of its kernels into a table of a machine, an int64 array; whoever
calls them loads an address from there and calls what lies at it, as Linux calls through
kvm_x86_ops. So what calls a part needs not be compiled again for each part there is, and
parts can be compiled at the same time in several processes.

    touch = far_call(int64, MACHINE, int64)                                  # in the seam
    touch(machine.vm.ops[TOUCH], machine, gfn)

    write = addresses_of(((TOUCH, Far(nested_touch, (MACHINE, int64), int64)),))  # in the part

    @entry                                           # one a part, cached on disk
    def link(ops):
        write(ops)

Addresses are those of numba's own calling convention, so that a call costs what any call
costs. They hold in this process only: they are linked anew, never saved. `parts_in_numba` has what
this is compiled to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmulab.mmu.kernels import kinds
from mmulab.mmu.kernels.later import Later
from mmulab.mmu.kernels.structs import JIT_OFF, Struct


class Far(NamedTuple):
    """A kernel that is called by address, with the kinds of what it takes and returns, or their
    numba types."""

    kernel: Any
    takes: tuple[Any, ...]
    returns: Any


#: In plain Python an address is a number in this list.
_KERNELS: list[Callable[..., Any]] = []


def type_of(struct: type[Struct]) -> Any:
    """The kind of a Struct class."""
    return kinds.struct(struct)


def as_struct(struct: type[Struct]) -> Any:
    """A function that takes what lies in a `Private` field as a Struct of a class."""

    def view(value: Any) -> Any:
        return value

    return _later(view, "as_struct", struct)


def far_call(returns: Any, *takes: Any) -> Any:
    """A function that calls the kernel at an address: call(address, arguments ...)."""

    def call(address: Any, *arguments: Any) -> Any:
        return _KERNELS[int(address)](*arguments)

    return _later(call, "far_call", returns, takes)


def addresses_of(kernels: Sequence[tuple[int, Far]]) -> Any:
    """A function that writes the addresses of kernels into a table, at their numbers."""
    numbers = {}
    if JIT_OFF:
        for index, far in kernels:
            numbers[index] = len(_KERNELS)
            _KERNELS.append(far.kernel)

    def write(table: Any) -> None:
        for index, number in numbers.items():
            table[index] = number

    return _later(write, "addresses_of", tuple(kernels))


def _later(plain: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """A function in plain Python, or what a function of `parts_in_numba` makes."""
    if JIT_OFF:
        return plain

    def make() -> Any:
        from mmulab.mmu.kernels import parts_in_numba

        return getattr(parts_in_numba, name)(*arguments)

    return Later(plain, make, arguments)
