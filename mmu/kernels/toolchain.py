"""What machine code depends on besides sources and types: the processor, the versions and the
settings of what compiles it, in words, as numba and LLVM have them.

Importing both to ask them takes longer than a short run, so that what they have said is kept
in a file. Its name holds what they say it by: the processor as Linux tells of it, the files
of numba and llvmlite, numba's settings in the environment and in a file of the current
directory. Where numba is loaded it is asked, since a program may have changed its settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import cache
from importlib.util import find_spec

from mmulab.mmu.kernels import store

#: Settings of numba that change the machine code.
_SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML", "ENABLE_AVX",
             "ENABLE_PROFILING", "LOOP_VECTORIZE", "NRT_STATS", "OPT", "SLP_VECTORIZE")  # fmt: skip

#: What tells processors apart; the rest of their description changes from second to second.
_TELLING = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")


def words() -> tuple[str, ...]:
    """The words; the last is numba's version. Imports numba where nothing is kept."""
    return _asked() if "numba.core.config" in sys.modules else _kept()


@cache
def _kept() -> tuple[str, ...]:
    """The words as they are kept; asked for and kept where they are not, or damaged."""
    name = _name()
    content = store.read(name) if name else None
    if content is not None:
        return tuple(json.loads(bytes(content)))
    said = _asked()
    if name:
        store.write(name, json.dumps(said).encode())
    return said


def checks_bounds() -> bool:
    """True where kernels raise an IndexError beyond an array."""
    said = next(each for each in words() if each.startswith("BOUNDSCHECK="))
    return said.partition("=")[2] not in ("None", "0", "False")


def _asked() -> tuple[str, ...]:
    """The words, as numba says them now."""
    import llvmlite
    import numba
    import numpy as np
    from numba.core import config
    from numba.core.registry import cpu_target

    processor: tuple[object, ...] = getattr(
        cpu_target.target_context.codegen(), "magic_tuple", tuple
    )()
    return (
        *map(str, processor),
        *(f"{key}={getattr(config, key, None)}" for key in _SETTINGS),
        *(sys.version, np.__version__, llvmlite.__version__, numba.__version__),
    )


def _name() -> str | None:
    """Name of the file; None where what it depends on is not known."""
    processor = _processor()
    packages = [_package("numba"), _package("llvmlite"), _package("numpy")]
    if processor is None or None in packages:
        return None
    settings = sorted(f"{key}={os.environ[key]}" for key in os.environ if _is_setting(key))
    about = [processor, *packages, *settings, _settings_here(), sys.version, *_SETTINGS]
    digest = hashlib.sha256("\0".join(map(str, about)).encode()).hexdigest()[:32]
    return f"toolchain-{digest}{store.SUFFIX}"


def _is_setting(key: str) -> bool:
    return key.startswith(("NUMBA_", "LLVM")) and key != "NUMBA_CACHE_DIR"


def _processor() -> str | None:
    """The first processor, as LLVM looks at the first that it runs on; None if not Linux's."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = []
            for line in file:
                if not line.strip():
                    break
                lines.append(line)
    except OSError:
        return None
    told = [line for line in lines if line.partition("\t")[0].strip() in _TELLING]
    return "".join(told) if len(told) == len(_TELLING) else None


def _package(name: str) -> str | None:
    """Where a package lies, which file it is and of which version."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return None
    words = []
    folder = os.path.dirname(spec.origin)
    try:
        for each in (spec.origin, _version_file(folder)):
            about = os.stat(each)
            with open(each, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            words.append(f"{each} {about.st_size} {about.st_mtime_ns} {digest}")
    except OSError:
        return None
    return "\n".join(words)


def _version_file(folder: str) -> str:
    names = (os.path.join(folder, name) for name in ("_version.py", "version.py"))
    return next((name for name in names if os.path.exists(name)), "")


def _settings_here() -> str:
    """numba's settings in a file of the current directory."""
    try:
        with open(".numba_config.yaml", "rb") as file:
            return file.read().hex()
    except OSError:
        return ""


def numba_version() -> str:
    """numba's version, where it is loaded or known; else nothing."""
    loaded = sys.modules.get("numba")
    if loaded is None and _kept.cache_info().currsize:
        return _kept()[-1]
    return str(getattr(loaded, "__version__", ""))
