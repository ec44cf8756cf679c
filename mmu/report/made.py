"""What a result says of its making: when, where and by which command; and of which files.

`made` is never compared: two results that differ in it alone are the same. `files` is part of
what a result was made of: the digest of each, by the name that it was given by.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmulab.mmu.trace import Trace

#: The command line that is being run; empty where there is none.
command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())

_BLOCK = 1 << 20


class Making:
    """Begins when work on a result does: takes the time, and digests of files beside it.

    files: paths by the names that users gave them by. What is no regular file, such as a pipe,
    has no digest: None.
    """

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._date = datetime.now(timezone.utc)
        self._begun = time.perf_counter()
        self._digests: dict[str, str | None] = {}
        self._thread = threading.Thread(target=self._digest, args=(dict(files or {}),), daemon=True)
        self._thread.start()

    def _digest(self, files: Mapping[str, str]) -> None:
        for name, path in files.items():
            self._digests[name] = digest(path)

    def files(self) -> dict[str, str | None]:
        """SHA-256 of each file, hexadecimal. Waits for the last of them."""
        self._thread.join()
        return dict(self._digests)

    def made(self) -> dict[str, Any]:
        """When it began (UTC), how many seconds it took until now, where, and by what."""
        return {
            "date": self._date.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._begun, 3),
            "machine": _machine(),
            "command": list(command.get()),
            "directory": os.getcwd(),
        }


def digest(path: str) -> str | None:
    """SHA-256 of a file, hexadecimal; None of what is no regular file, or cannot be read."""
    if not os.path.isfile(path):
        return None
    hashed = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
    except OSError:
        return None
    return hashed.hexdigest()


def of_trace(trace: Trace) -> dict[str, Any]:
    """How a trace was named. spec: None where it was no text, but an object of Python's."""
    from mmulab.mmu.trace import origin

    known = origin(trace)
    return {
        "name": trace.name,
        "spec": known.spec if known else None,
        "format": known.format if known else None,
        "seed": known.seed if known else None,
    }


def files_of(traces: Iterable[Trace]) -> dict[str, str]:
    """Paths of traces that are files, by the names that users gave them by."""
    from mmulab.mmu.trace import origin

    origins = (origin(trace) for trace in traces)
    return {known.spec: known.path for known in origins if known and known.path}


def _machine() -> dict[str, Any]:
    from mmulab.mmu.kernels.toolchain import numba_version

    numpy = sys.modules.get("numpy")
    found = {"numpy": getattr(numpy, "__version__", ""), "numba": numba_version()}
    versions = {name: version for name, version in found.items() if version}
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    """The processor's name, as Linux has it; else what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, UnicodeDecodeError):
        pass
    return platform.processor() or platform.machine()
