"""A seccomp filter (Linux, x86-64) that refuses what could do harm, with EPERM.

The filter is classic BPF over struct seccomp_data: number, architecture, instruction pointer,
arguments (Linux Documentation/userspace-api/seccomp_filter.rst; numbers from
arch/x86/entry/syscalls/syscall_64.tbl).
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

_X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64
_LOAD, _EQUAL, _GREATER, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # SECCOMP_RET_*, EPERM in the second
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2  # prctl

_REFUSED = {
    "socket": 41, "connect": 42, "sendto": 44, "bind": 49, "socketpair": 53, "clone": 56,
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "rename": 82, "mkdir": 83,
    "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91,
    "chown": 92, "fchown": 93, "lchown": 94, "ptrace": 101, "mknod": 133, "prctl": 157,
    "setrlimit": 160, "mount": 165, "umount2": 166, "setxattr": 188, "tkill": 200, "tgkill": 234,
    "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263, "renameat": 264,
    "linkat": 265, "symlinkat": 266, "fchmodat": 268, "prlimit64": 302, "process_vm_writev": 311,
    "renameat2": 316, "execveat": 322, "bpf": 321, "io_uring_setup": 425, "clone3": 435,
    "openat2": 437, "fchmodat2": 452,
}  # fmt: skip
_OPEN, _OPENAT = 2, 257
_WRITES = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND


def available() -> bool:
    return sys.platform.startswith("linux") and platform.machine() == "x86_64"


def _program() -> bytes:
    """The filter's instructions: (code, jump if true, jump if false, operand)."""
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, _X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number
        (_GREATER, 0, 1, 0x40000000),  # the x32 interface has numbers of its own
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in sorted(_REFUSED.values()):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number, argument in ((_OPEN, 1), (_OPENAT, 2)):
        code += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * argument),  # its flags
            (_ANY, 0, 1, _WRITES),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *one) for one in code)


def install() -> bool:
    """Puts the filter on this process, for good; False where the kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program()
    text = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text))
    head = ctypes.create_string_buffer(filter_, len(filter_))
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return bool(libc.prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(head), 0, 0) == 0)
