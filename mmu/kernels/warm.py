"""Parts that are compiled apart are compiled at the same time, one process a core.

The parent and its helpers go through the same list; whoever has the lock of a part compiles
it, and the others skip it (see `store.lock`). In the end the parent loads them all. It needs
no helper: what one does not deliver, the parent compiles.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mmulab
from mmulab.mmu.kernels import store, structs


class Part(NamedTuple):
    """What is compiled apart: `function(*arguments)` of a module returns (an entry, the tuple
    of kinds it is compiled for). Plain text, so that a helper can be told."""

    module: str
    function: str
    arguments: tuple[str | bool, ...] = ()

    def resolve(self) -> tuple[Any, Any]:
        """(the entry, the kinds)."""
        found = getattr(importlib.import_module(self.module), self.function)(*self.arguments)
        entry, given = found
        return entry, given


def is_cold(parts: Sequence[Part]) -> bool:
    """True where any of the parts has to be compiled."""
    if structs.JIT_OFF:
        return False
    return not all(entry.is_cached(given) for entry, given in (part.resolve() for part in parts))


def compile_together(parts: Sequence[Part]) -> None:
    """Compiles what is missing of parts, in all cores, and loads all: those that take longest
    should come first. Raises what compiling raises."""
    if structs.JIT_OFF:
        return
    resolved = [(part, *part.resolve()) for part in parts]
    cold = [each for each in resolved if not each[1].is_cached(each[2])]
    with _helpers([part for part, entry, given in cold if entry.can_be_kept(given)]):
        for _, entry, given in cold:
            entry.compile_unless_taken(given)
        for _, entry, given in resolved:
            entry.compile(given)


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _helpers(parts: Sequence[Part]) -> Iterator[None]:
    """Processes that compile parts, as long as this lasts: none where they would not help."""
    count = min(cores(), len(parts)) - 1
    started: list[subprocess.Popen[bytes]] = []
    try:
        if count > 0 and store.can_lock():
            with contextlib.suppress(OSError):
                for _ in range(count):
                    started.append(_start(parts))
        yield
    finally:
        for helper in started:
            helper.kill()
        for helper in started:
            with contextlib.suppress(OSError):
                helper.communicate()


def _start(parts: Sequence[Part]) -> subprocess.Popen[bytes]:
    """A helper: it finds modules where this process does, whatever its directory holds."""
    code = (
        f"import sys; sys.path[:] = {[str(each) for each in sys.path]!r}; "
        f"import mmulab; mmulab.__path__[:] = {list(mmulab.__path__)!r}; "
        f"from {__name__} import help_out; help_out()"
    )
    helper = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert helper.stdin is not None
    with contextlib.suppress(OSError):  # it has ended already
        helper.stdin.write(json.dumps(parts).encode() + b"\n")
        helper.stdin.flush()
    return helper


def help_out() -> None:
    """A helper's work: compiles the parts on standard input that nobody else has taken. Ends
    with the parent, which holds the other end open."""
    parts = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for module, function, arguments in parts:
        # What fails here fails in the parent too, which says so.
        with contextlib.suppress(Exception):
            entry, given = Part(module, function, tuple(arguments)).resolve()
            if not entry.is_cached(given):
                entry.compile_unless_taken(given)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
