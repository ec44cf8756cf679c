"""How kernels are compiled and where their machine code is cached.

Two decorators, one for each role a compiled function can have:

``kernel``
    A function called from other kernels. It is compiled into its callers and
    not cached by itself, so a cold start compiles each piece of code once.
``entry``
    A function called from Python. Its machine code, callees included, is
    cached on disk.

numba decides whether a cached entry is fresh by looking at the entry's own
file only, so a change in a callee would go unnoticed. The cache therefore
lives in directories named after digests of the sources: kernels of ``mmu``
depend on ``mmu``, those of ``workloads`` on both packages. Any change in the
code starts a new cache.

Set ``NUMBA_DISABLE_JIT=1`` to run all kernels as plain Python, for a debugger
or for coverage.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit

from mmulab.mmu.kernels import struct_types  # noqa: F401  (tells numba what a Struct is)
from mmulab.mmu.kernels.numba_patches import full, lean

_SOURCES = Path(__file__).resolve().parent.parent.parent


@cache
def _digest(package: str) -> str:
    """Digest of the sources that a package's kernels are compiled from, 16 hex digits."""
    digest = hashlib.sha256()
    for name in ("mmu", package):
        for path in sorted((_SOURCES / name).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(package: str = "mmu") -> Path:
    """Directory of a package's compiled kernels; below ``NUMBA_CACHE_DIR`` where that is set."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    if root:
        base = Path(root)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "mmulab"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmulab"
    return base / _digest(package)


def is_cold(module: str) -> bool:
    """True where no entry of a module, "run" or so, has been compiled on this machine yet
    by this version."""
    directory = cache_directory()
    return not any(directory.rglob(f"{module}.*.nbi")) if directory.is_dir() else True


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
    package = "mmu" if function.__module__.startswith("mmulab.mmu.") else "workloads"
    # numba reads this when a function is given a cache, that is in njit.
    config.CACHE_DIR = str(cache_directory(package))  # type: ignore[attr-defined]
    return full(njit(**_OPTIONS, cache=True)(function))
