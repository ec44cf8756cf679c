"""Keeps the seed out of what a system shows of a process to others.

On Linux /proc/PID/cmdline is for everybody and /proc/PID/environ for processes of the same user
(proc(5)): the arguments and the environment with which the process was started, as they lie in
its memory. The seed is written over there; Python's copies (sys.argv, os.environ) stay.
"""

from __future__ import annotations

import ctypes
import os
import sys

#: Fields of /proc/self/stat behind the name: arg_start, arg_end, env_start, env_end are the
#: 48th to the 51st of all, and the first behind the name is the 3rd.
_ARGUMENTS, _ENVIRONMENT = (45, 46), (47, 48)


def conceal(seed: str) -> None:
    """Overwrites each argument and variable whose value is the seed. Does nothing where there is
    no /proc."""
    if not sys.platform.startswith("linux") or not seed:
        return
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        spans = [(int(fields[a]), int(fields[b])) for a, b in (_ARGUMENTS, _ENVIRONMENT)]
    except (OSError, ValueError, IndexError):
        return
    for start, end in spans:
        if 0 < start < end:
            _overwrite(start, ctypes.string_at(start, end - start), os.fsencode(seed))


def _overwrite(start: int, text: bytes, seed: bytes) -> None:
    for each in text.split(b"\0"):
        if each == seed or each.endswith(b"=" + seed):
            ctypes.memset(start + len(each) - len(seed), ord("*"), len(seed))
        start += len(each) + 1
