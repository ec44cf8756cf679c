"""Zeros that nobody has touched cost nothing: arrays as large as memory come from the system.

What frames, tables and a p2m are kept in is made for all of a machine's memory and touched where it
is used. glibc takes a block from the system only above a threshold, which it raises to 32 MiB as
such blocks are freed; below it calloc() fills used memory with zeros, all of it, and a thread's
share of that is never given back (mallopt(3), M_MMAP_THRESHOLD). Two dozen machines in turn held
several GB so. Set once, the threshold stays.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

_M_MMAP_THRESHOLD = -3  # malloc.h
#: Above the columns of a chunk, which are better used again; below an int32 a page of 16 GiB.
_BYTES = 12 << 20


@cache
def keep_untouched() -> None:
    """Before the first machine is made. Does nothing where the C library has no such setting."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BYTES)
