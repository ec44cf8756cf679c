"""Page faults and changes of mappings: first touches, copies after a fork, mprotect, munmap.

They run in a process of their own that has one thread, since it forks. Pages are of 4 KiB. Of
mprotect and munmap, a call's own cost is taken away by the difference of two lengths; Linux
invalidates page by page up to 33 pages (arch/x86/mm/tlb.c, tlb_single_page_flush_ceiling), and
both lengths are below that.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.kernels.compiling import entry
from mmulab.workloads.probes.memory import PAGE, WORD, reserved, touch
from mmulab.workloads.probes.timing import Run, Sample, sample, timed

#: What each is, in ns a page.
EVENTS = {
    "first_touch": "a store to each page of new memory, less a store to one that is there",
    "copy_on_write": "a store of a forked child to each page that its parent has written, less a "
    "store to one that is its own",
    "mprotect": "mprotect of 32 pages to read-only and back, less that of one, half of the rest",
    "munmap": "munmap of 32 touched pages, less that of one",
    "page_zero": "4,096 bytes of zeros stored, over 16 MiB",
    "page_copy": "4,096 bytes loaded and stored elsewhere, over 16 MiB",
}

_PAGES = 4096
_LONG = 32
_PROT_RW, _PROT_R = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ
_CALLS = 64  # of mprotect or munmap in a run


@entry
def _fill(words, value):
    for at in range(words.size):
        words[at] = value


@entry
def _copy(to, source):
    for at in range(to.size):
        to[at] = source[at]


def measure(seconds: float) -> dict[str, Sample]:
    """ns a page of each of EVENTS. Raises RunError where the process for it fails."""
    command = [sys.executable, "-m", __name__, str(seconds)]
    alone = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with subprocess.Popen(
        command, env={**os.environ, **alone}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as helper:  # fmt: skip
        try:
            out, err = helper.communicate()
        except BaseException:
            helper.kill()
            raise
    if helper.returncode:
        reason = err.strip().splitlines()[-1:] or [f"exit code {helper.returncode}"]
        raise RunError(f"page faults could not be measured: {reason[0]}")
    runs = json.loads(out)
    return {name: sample([Run(*each) for each in runs[name]]) for name in EVENTS}


def _measured(seconds: float) -> dict[str, list[Run]]:
    """All runs, for so long and at least three times."""
    runs: dict[str, list[Run]] = {name: [] for name in EVENTS}
    until = time.monotonic() + seconds
    rounds = 0
    while rounds < 4 or time.monotonic() < until:
        rounds += 1
        for name, run in _round().items():
            if rounds > 1:  # the first compiles
                runs[name].append(run)
    return runs


def _round() -> dict[str, Run]:
    found: dict[str, Run] = {}
    with reserved(_PAGES * PAGE, "4k", every=0) as words:
        found["first_touch"] = _beyond(words, timed(lambda: _touch(words), _PAGES))
        found["copy_on_write"] = _in_child(words)
        _touch(words)  # the fork left all of it write-protected
        found["page_zero"] = timed(lambda: _fill(words, np.uint64(0)), _PAGES)
        half = words.size // 2
        found["page_copy"] = timed(lambda: _copy(words[:half], words[half:]), _PAGES // 2)
    found["mprotect"] = _slope(_mprotect, 2)
    found["munmap"] = _slope(_munmap, 1)
    return found


def _touch(words: np.ndarray) -> None:
    touch(words, PAGE // WORD)


def _beyond(words: np.ndarray, run: Run) -> Run:
    """A run of faults less the same stores without."""
    again = timed(lambda: _touch(words), _PAGES)
    return Run(max(0.0, run.ns - again.ns), run.undisturbed)


def _in_child(words: np.ndarray) -> Run:
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        try:
            run = _beyond(words, timed(lambda: _touch(words), _PAGES))
            os.write(send, json.dumps(run).encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return Run(*json.loads(said))


def _slope(call: Any, halves: int) -> Run:
    """ns a page, of the difference between calls on _LONG pages and on one."""
    short, long = call(1), call(_LONG)
    ns = (long.ns - short.ns) / (_LONG - 1) / halves
    return Run(max(0.0, ns), short.undisturbed and long.undisturbed)


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    return libc


def _mprotect(pages: int) -> Run:
    libc = _libc()
    with reserved(pages * PAGE, "4k") as words:
        address, size = words.ctypes.data, pages * PAGE

        def work() -> None:
            for _ in range(_CALLS):
                libc.mprotect(address, size, _PROT_R)
                libc.mprotect(address, size, _PROT_RW)
                _touch(words)  # so that there is a translation to invalidate

        work()
        return timed(work, _CALLS)


def _munmap(pages: int) -> Run:
    libc = _libc()
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    size = pages * PAGE
    regions = [libc.mmap(None, size, _PROT_RW, flags, -1, 0) for _ in range(_CALLS)]
    for region in regions:
        ctypes.memset(region, 1, size)

    def work() -> None:
        for region in regions:
            libc.munmap(region, size)

    return timed(work, _CALLS)


if __name__ == "__main__":
    print(json.dumps(_measured(float(sys.argv[1]))))
