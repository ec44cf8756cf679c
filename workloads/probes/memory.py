"""Real memory to probe: anonymous, private, of pages of one size."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.kernels.compiling import entry

PAGE, HUGE, LINE, WORD = 4096, 2 << 20, 64, 8
MOST = 1 << 30  #: bytes that probes take together, at most
LEAST = 32 << 20

# <asm-generic/mman-common.h>; Python's mmap names them where it was built on a kernel with them.
_MADV_HUGEPAGE, _MADV_NOHUGEPAGE = 14, 15


@entry
def touch(words, step):
    """A store to every step-th word, so that its page is there."""
    for at in range(0, words.size, step):
        words[at] = 0


def budget() -> int:
    """Bytes that probes may take: MOST, or a quarter of what is free. Raises RunError where that
    is too little, or where the system does not say."""
    free = available()
    if free is None:
        raise RunError("no /proc/meminfo: the probes need Linux")
    allowed = min(MOST, free // 4)
    if allowed < LEAST:
        raise RunError(
            f"{free >> 20} MiB of memory free; the probes need {4 * LEAST >> 20} MiB, "
            "of which they take a quarter"
        )
    return allowed


def available() -> int | None:
    """Bytes that can be allocated without paging, by the kernel and by the control group; None
    where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    free = int(found.split()[1]) << 10
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group, or "max"
    return free


@contextmanager
def reserved(size: int, page_size: str, every: int = PAGE) -> Iterator[np.ndarray]:
    """Words, uint64[size / 8], in pages of "4k" or "2m" as far as the kernel gives them; all
    zero. every: bytes from one word that is touched beforehand to the next; 0: none is.

    Raises RunError where there is no such memory.
    """
    try:
        region = mmap.mmap(-1, size + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{size >> 20} MiB of memory for a probe: {error}") from None
    try:
        _advise(region, _MADV_HUGEPAGE if page_size == "2m" else _MADV_NOHUGEPAGE)
        whole = np.frombuffer(region, np.uint64)
        begin = -whole.ctypes.data % HUGE // WORD
        words = whole[begin : begin + size // WORD]
        del whole
        if every:
            touch(words, every // WORD)
        yield words
    finally:
        del words
        try:
            region.close()
        except BufferError:  # a view is still held: the last one that goes unmaps it
            pass


def _advise(region: Any, advice: int) -> None:
    try:
        region.madvise(advice)
    except OSError:
        pass  # a kernel without huge pages: what came of it is looked at, not assumed


def huge_part(words: np.ndarray) -> float:
    """The part of a region that lies in 2 MiB pages, by /proc/self/smaps; 0.0 where the system
    does not say."""
    start, size = words.ctypes.data, words.nbytes
    total, within = 0, False
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:
        return 0.0
    for line in lines:
        name = line.split(" ", 1)[0]
        if "-" in name and not name.endswith(":"):
            first, last = (int(end, 16) for end in name.split("-"))
            within = first < start + size and start < last
        elif within and name == "AnonHugePages:":
            total += int(line.split()[1]) << 10
    return min(1.0, total / size)
