"""The child gives up its powers: limits first, then Landlock, seccomp and the audit hook."""

from __future__ import annotations

import math
import os
import resource
import sys
import sysconfig
import time
from typing import Any

from . import hook, landlock, seccomp

#: What a lazily loaded extension module of Python's, NumPy's or numba's may still need.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime",
              "/dev/null", "/dev/urandom")  # fmt: skip

#: Names of the layers, strongest first.
LIMITS, LANDLOCK, SECCOMP, HOOK = "limits", "landlock", "seccomp", "audit hook"

#: numba looks up functions of LLVM's library by name while it compiles.
_FOR_NUMBA = ("ctypes.dlsym",)


def confine(limits: dict[str, Any], packages: list[str], compiles: bool) -> dict[str, str]:
    """Gives up powers for good. Returns, for each layer, "" or why it is not in force."""
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    python |= {os.path.dirname(os.__file__)} | {p for p in sys.path if p.endswith("lib-dynload")}
    readable = [*sorted(python), *packages]
    layers = {LIMITS: _set_limits(limits)}
    if seccomp.no_new_privileges():
        layers[LANDLOCK] = landlock.restrict([*readable, *_LIBRARIES])
        layers[SECCOMP] = seccomp.restrict()
    else:
        layers[LANDLOCK] = layers[SECCOMP] = "needs Linux, with PR_SET_NO_NEW_PRIVS"
    hook.install([*readable, *_LIBRARIES[4:]], _FOR_NUMBA if compiles else ())
    layers[HOOK] = ""
    return layers


def _set_limits(limits: dict[str, Any]) -> str:
    """CPU time and memory over what starting took; no files, no processes, no core dumps."""
    missing = []
    cpu = math.ceil(time.process_time() + limits["cpu"])
    wanted = {
        "CPU": (cpu, cpu + 1),  # SIGXCPU, and SIGKILL for who ignores it
        "CORE": (0, 0),
        "FSIZE": (0, 0),
        "NPROC": (0, 0),  # means nothing to root; seccomp does
        "NOFILE": (limits["files"], limits["files"]),
    }
    used = _address_space()
    if used:
        wanted["AS"] = (used + limits["memory"],) * 2
    else:
        missing.append("memory is not limited: needs Linux")
    for name, (soft, hard) in wanted.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))
        except (AttributeError, ValueError, OSError) as error:
            missing.append(f"RLIMIT_{name} could not be set: {error}")
    return "; ".join(missing)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0
