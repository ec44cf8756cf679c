"""seccomp (Linux): the system calls that are left, and with which arguments.

The filter names what may be done, so that what nobody thought of may not. It is a classic
BPF program over struct seccomp_data (Linux Documentation/userspace-api/seccomp_filter.rst):

    offset 0   int nr        4   u32 arch        8   u64 instruction_pointer
    offset 16  u64 args[6]

A call that is not allowed fails with EPERM, which Python reports as a PermissionError. One
through another architecture's interface (32-bit, x32) kills the process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_*
_EPERM = 1
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|ABS, JEQ, JSET, RET
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_SET_SECCOMP, _MODE_FILTER = 22, 2  # prctl
_SET_MODE_FILTER, _TSYNC = 1, 1  # seccomp

#: Audit number of an architecture, column in the tables below, and number of seccomp itself.
_MACHINES = {"x86_64": (0xC000003E, 0, 317), "aarch64": (0xC00000B7, 1, 277)}

#: Allowed with any arguments: numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and
#: of AArch64 (include/uapi/asm-generic/unistd.h); -1 where there is no such call. Memory, time,
#: reading what is open or (Landlock permitting) what has a name, waiting, and ending.
_CALLS = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "close": (3, 57), "lseek": (8, 62), "dup": (32, 23),
    "stat": (4, -1), "fstat": (5, 80), "lstat": (6, -1), "newfstatat": (262, 79),
    "statx": (332, 291), "access": (21, -1), "faccessat": (269, 48), "faccessat2": (439, 439),
    "getdents64": (217, 61), "getcwd": (79, 17), "readlink": (89, -1), "readlinkat": (267, 78),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, -1), "times": (100, 153), "getrusage": (98, 165), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "uname": (63, 160), "sysinfo": (99, 179),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getrandom": (318, 278), "getrlimit": (97, 163), "rseq": (334, 293),
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

_OPEN, _OPENAT = (2, -1), (257, 56)
_FCNTL, _FCNTL_COMMANDS = (72, 25), (0, 1, 2, 3, 4, 1030)  # duplicate, and read and set flags
_TGKILL = (234, 131)
#: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND; the same on both architectures.
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000

_Code = list[tuple[int, int, int, int]]


def _returned(action: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, action)


def _argument(number: int) -> tuple[int, int, int, int]:
    """Loads the lower half of an argument: all of them are ints to the kernel here."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number)


def program(machine: str, pid: int) -> bytes:
    """The filter for a machine ("x86_64", "aarch64"), for the process pid."""
    architecture, column, _ = _MACHINES[machine]
    refuse = _returned(_ERRNO | _EPERM)
    code: _Code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        _returned(_KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            code += [(_EQUAL, 0, 1, numbers[column]), _returned(_ALLOW)]
    for numbers, flags in ((_OPEN, 1), (_OPENAT, 2)):
        if numbers[column] >= 0:
            checks = [_argument(flags), (_ANY_BIT, 1, 0, _WRITING), _returned(_ALLOW), refuse]
            code += [(_EQUAL, 0, len(checks), numbers[column]), *checks]
    checks = [_argument(1)]
    for command in _FCNTL_COMMANDS:
        checks += [(_EQUAL, 0, 1, command), _returned(_ALLOW)]
    code += [(_EQUAL, 0, len(checks) + 1, _FCNTL[column]), *checks, refuse]
    # abort() sends itself a signal; nobody else may be sent one.
    checks = [_argument(0), (_EQUAL, 0, 1, pid), _returned(_ALLOW), refuse]
    code += [(_EQUAL, 0, len(checks), _TGKILL[column]), *checks, refuse]
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def restrict() -> str:
    """Puts the filter on all threads of this process, for good. Returns "" or why it could
    not. Needs PR_SET_NO_NEW_PRIVS."""
    machine = platform.machine().replace("arm64", "aarch64")
    if not sys.platform.startswith("linux") or machine not in _MACHINES:
        return "needs Linux on x86-64 or AArch64"
    if sys.maxsize < 1 << 32:
        return "needs a 64-bit Python"
    libc = ctypes.CDLL(None, use_errno=True)
    text = program(machine, os.getpid())
    holder = ctypes.create_string_buffer(text, len(text))
    filter_ = struct.pack("HxxxxxxP", len(text) // 8, ctypes.addressof(holder))
    number = ctypes.c_long(_MACHINES[machine][2])
    flags = ctypes.c_ulong(_TSYNC)
    if libc.syscall(number, ctypes.c_long(_SET_MODE_FILTER), flags, filter_) == 0:
        return ""
    if libc.prctl(_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), filter_, 0, 0) == 0:
        return ""
    return f"the kernel refused: {os.strerror(ctypes.get_errno())}"
