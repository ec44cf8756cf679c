"""Landlock (Linux 5.13): which files this process may still reach, and for what.

Linux Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h. What a
ruleset handles is forbidden, except below the paths that it names. It cannot be undone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable

# System-call numbers, the same on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1  # flag of _CREATE: only say which version the kernel has
_PATH_BENEATH = 1

_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
#: Rights on files that a version knows, as a mask: 1.. executing, writing, reading, making and
#: removing; 2 moving between directories; 3 truncating; 5 device ioctls.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK_FROM, _NETWORK = 4, 3  # TCP bind and connect
_SCOPE_FROM, _SCOPE = 6, 3  # abstract Unix sockets and signals to processes outside


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(ctypes.c_long(number), *arguments))


def version() -> int:
    """Version of the kernel's Landlock; 0 where it has none or does not use it."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)))


def restrict(readable: Iterable[str], listed: Iterable[str] = ()) -> str:
    """Leaves this process reading below `readable`, and the names below `listed`, and nothing
    else; no TCP either, where the kernel can do so. Returns "" or why it could not. Needs
    PR_SET_NO_NEW_PRIVS."""
    known = version()
    if not known:
        return "needs Linux 5.13 or newer, with Landlock switched on"
    rights = _FILE_RIGHTS[max(each for each in _FILE_RIGHTS if each <= known)]
    attributes = struct.pack(
        "QQQ",
        rights,
        _NETWORK if known >= _NETWORK_FROM else 0,
        _SCOPE if known >= _SCOPE_FROM else 0,
    )
    size = 24 if known >= _SCOPE_FROM else 16 if known >= _NETWORK_FROM else 8
    ruleset = _call(_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    if ruleset < 0:
        return f"the kernel refused a ruleset: {os.strerror(ctypes.get_errno())}"
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIRECTORY)
        for path in listed:
            _allow(ruleset, path, _READ_DIRECTORY)
        if _call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)):
            return f"the kernel refused: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(ruleset)
    return ""


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Rights below a directory, or on a file; a path that is not there is left out."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _READ_FILE
        rule = struct.pack("=Qi", rights, handle)
        if _call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)):
            code = ctypes.get_errno() or errno.EINVAL
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(handle)
