"""Capabilities (Linux): the child keeps none, whoever the grader is.

capset(2) and include/uapi/linux/capability.h. Without any, root's child can neither raise its
limits nor trace its parent or read /proc/PID/environ and mem of it (ptrace(2), "Ptrace access
mode checking": a process with more capabilities is out of reach).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_NO_NEW_PRIVS = 38  # of prctl
_VERSION_3 = 0x20080522


def give_up() -> str:
    """Takes this process all capabilities, and programs the right to give any back. Returns ""
    or why it could not."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        return f"PR_SET_NO_NEW_PRIVS was refused: {os.strerror(ctypes.get_errno())}"
    # struct __user_cap_header_struct; two of effective, permitted and inheritable, 32 bits each.
    if libc.capset(struct.pack("Ii", _VERSION_3, 0), bytes(24)):
        return f"capset was refused: {os.strerror(ctypes.get_errno())}"
    return ""
