"""The child gives up its powers: privileges and files first, then limits, calls, and Python's."""

from __future__ import annotations

import importlib
import math
import resource
import time
from typing import Any

from . import hook, landlock, places, privileges, seccomp

#: Names of the layers, in the order in which they are put on.
PRIVILEGES, LANDLOCK, LIMITS, SECCOMP, HOOK = (
    "privileges", "landlock", "limits", "seccomp", "audit hook",
)  # fmt: skip

#: numba looks up functions of LLVM's library by name while it compiles.
_FOR_NUMBA = ("ctypes.dlsym",)


def confine(told: dict[str, Any]) -> dict[str, str]:
    """Gives up powers for good. Returns, for each layer, "" or why it is not in force."""
    limits, used = dict(told["limits"]), _address_space()
    found = places.find(told["readable"], told["closed"])
    layers = {PRIVILEGES: privileges.give_up()}
    layers[LANDLOCK] = landlock.restrict(found.readable, found.listed)
    if layers[LANDLOCK]:
        # The last means: what is loaded by now is all there is, and nothing more can be opened.
        _import(told["imports"] or [])
        limits["files"] = 0
    layers[LIMITS] = _set_limits(limits, used)
    layers[SECCOMP] = seccomp.restrict()
    hook.install(found, _FOR_NUMBA if "numba" in told["preload"] else ())
    layers[HOOK] = ""
    return layers


def _import(names: list[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:  # a package that this run is not given
            pass


def _set_limits(limits: dict[str, Any], used: int) -> str:
    """CPU time and memory over what starting took (used: bytes of address space, 0 where that
    is not known); no files, no processes, no core dumps."""
    missing = []
    cpu = math.ceil(time.process_time() + limits["cpu"])
    wanted = {
        "CPU": (cpu, cpu + 1),  # SIGXCPU, and SIGKILL for who ignores it
        "CORE": (0, 0),
        "FSIZE": (0, 0),
        "NPROC": (0, 0),  # means nothing to root; seccomp does
        "NOFILE": (limits["files"], limits["files"]),
    }
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
