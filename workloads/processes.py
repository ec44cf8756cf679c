"""Ending a program together with the programs that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress


def end(process: subprocess.Popen[bytes]) -> set[int]:
    """Kills a process and all that descend from it, and waits for it; returns their numbers. On a
    system without /proc, the process alone. It leaves those whose parent has ended before them."""
    seen: set[int] = set()
    # Stopped first, a parent starts no more while its children are looked for.
    while new := (_descendants(process.pid) | {process.pid}) - seen:
        if process.poll() is not None:
            break
        for pid in new:
            _send(pid, signal.SIGSTOP)
        seen |= new
    for pid in seen:
        _send(pid, signal.SIGKILL)
    process.wait()
    return seen


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                children.setdefault(_parent(name), []).append(int(name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found.update(mine)
        waiting += mine
    return found


def _parent(pid: str) -> int:
    """The parent's number; 0 of a process that has ended. See proc(5), /proc/pid/stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
