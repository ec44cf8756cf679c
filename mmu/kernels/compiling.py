"""How kernels are compiled, and which of them are kept on disk.

Two decorators, one for each role a compiled function can have:

``kernel``
    A function called from other kernels. It is compiled into its callers and
    not kept by itself, so a cold start compiles each piece of code once.
``entry``
    A function called from Python. Its machine code, callees included, is kept
    on disk until one of the sources that it is made from changes: see `entries`.

Set ``NUMBA_DISABLE_JIT=1`` to run all kernels as plain Python, for a debugger
or for coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmulab.mmu.kernels.entries import Entry
from mmulab.mmu.kernels.later import Later
from mmulab.mmu.kernels.structs import JIT_OFF


def kernel(function: Callable[..., Any]) -> Any:
    """A function that kernels and entries call."""
    return _kernel(function, False)


def inlined(function: Callable[..., Any]) -> Any:
    """A small kernel that is compiled into each place that calls it."""
    return _kernel(function, True)


def _kernel(function: Callable[..., Any], forceinline: bool) -> Any:
    if JIT_OFF:
        return function

    def make() -> Any:
        from mmulab.mmu.kernels.entries_in_numba import dispatcher

        # Said, since numba gives a kernel what the one that first calls it has.
        return dispatcher(function, _nrt=False, forceinline=forceinline)

    return Later(function, make)


def entry(function: Callable[..., Any]) -> Any:
    """A function that Python calls."""
    return function if JIT_OFF else Entry(function)


def is_numbas(error: BaseException) -> bool:
    """True of what numba raises where it can't compile something."""
    return type(error).__module__ == "numba.core.errors"
