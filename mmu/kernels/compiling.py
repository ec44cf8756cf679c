"""How kernels are compiled, and which of them are kept on disk.

Two decorators, one for each role a compiled function can have:

``kernel``
    A function called from other kernels. It is compiled into its callers and
    not kept by itself, so a cold start compiles each piece of code once.
``entry``
    A function called from Python. Its machine code, callees included, is kept
    on disk until one of the sources that it is made from changes: see `cache`.

Set ``NUMBA_DISABLE_JIT=1`` to run all kernels as plain Python, for a debugger
or for coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from mmulab.mmu.kernels import structs_in_numba  # noqa: F401  (tells numba what a Struct is)
from mmulab.mmu.kernels.cache import keep
from mmulab.mmu.kernels.numba_patches import full, lean

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

_INNER = {**_OPTIONS, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any]) -> Any:
    """A function that kernels and entries call."""
    # Said, since numba gives a kernel what the one that first calls it has.
    return lean(njit(**_INNER, forceinline=False)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """A small kernel that is compiled into each place that calls it."""
    return lean(njit(**_INNER, forceinline=True)(function))


def entry(function: Callable[..., Any]) -> Any:
    """A function that Python calls."""
    return full(keep(njit(**_OPTIONS)(function)))
