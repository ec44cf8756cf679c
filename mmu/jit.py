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
lives in a directory named after a digest of every source file of ``mmu`` and
``workloads``: any change in the code starts a new cache.

Set ``NUMBA_DISABLE_JIT=1`` to run all kernels as plain Python, for a debugger
or for coverage.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SOURCES = Path(__file__).resolve().parent.parent


def _digest() -> str:
    """Digest of the sources that kernels are compiled from, 16 hex digits."""
    digest = hashlib.sha256()
    for package in ("mmu", "workloads"):
        for path in sorted((_SOURCES / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Directory of the compiled kernels; below ``NUMBA_CACHE_DIR`` where that is set."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    if root:
        base = Path(root)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "mmulab"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mmulab"
    return base / _digest()


def is_cold() -> bool:
    """True where no kernel of this version has been compiled on this machine yet."""
    directory = cache_directory()
    return not any(directory.rglob("*.nbc")) if directory.is_dir() else True


def _use_cache_directory() -> None:
    from numba import config

    config.CACHE_DIR = str(cache_directory())  # type: ignore[attr-defined]


_use_cache_directory()

from numba import njit  # noqa: E402  (the cache directory must be set first)

from mmu import struct_types  # noqa: E402, F401  (tells numba what a Struct is)
from mmu.lean import full, lean  # noqa: E402

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

_INNER = {**_OPTIONS, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any]) -> Any:
    """A function that kernels and entries call."""
    return lean(njit(**_INNER)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """A small kernel that is compiled into each place that calls it."""
    return lean(njit(**_INNER, forceinline=True)(function))


def entry(function: Callable[..., Any]) -> Any:
    """A function that Python calls."""
    return full(njit(**_OPTIONS, cache=True)(function))
