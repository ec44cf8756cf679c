"""Runs scenarios on the kernel's own KSM, and prints its counters after each step, as JSON.

    cd tests
    echo '[{"pages": [1, 1, 2], "steps": [{"scans": 3}]}]' | python -m drivers.ksm_program

A scenario is {"pages": [tag, ...], "settings": {...}, "steps": [step, ...]}. A page is filled
with its tag, a whole number; 0 is a page of zeros. Settings: max_page_sharing, use_zero_pages,
smart_scan as in /sys/kernel/mm/ksm, and prune: 1 to clean chains at every look-up, 0 (default)
never. A step does any of, in this order: "write": [[page, tag], ...], "discard": [page, ...],
"unmerge": true, "batch": n (one batch of ksmd of n pages), "scans": n (n full scans).

Needs root, and a KSM that nobody else uses. All settings are put back at the end. ksmd is made
to work in single steps: it sleeps for hours between batches, and a change of sleep_millisecs
wakes it for exactly one (ksm_scan_thread in mm/ksm.c).
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.linux_ksm import COUNTERS

SYSFS = Path("/sys/kernel/mm/ksm")
PAGE = 4096
WHOLE_SCAN = 1_000_000_000
HOURS = 36_000_000  # ms
SETTINGS = (
    "max_page_sharing", "use_zero_pages", "smart_scan", "stable_node_chains_prune_millisecs",
    "pages_to_scan", "sleep_millisecs",
)  # fmt: skip
MADV_COLD = 20  # not in Python's mmap; include/uapi/asm-generic/mman-common.h
CUMULATIVE = ("pages_scanned", "pages_skipped")


def read(name: str) -> int:
    return int((SYSFS / name).read_text().split()[0])


def write(name: str, value: int) -> None:
    (SYSFS / name).write_text(str(value))


def obstacle() -> str | None:
    """Why the kernel's KSM can't be used here, or None."""
    if os.sysconf("SC_PAGESIZE") != PAGE:
        return "pages are not of 4 KiB"
    missing = [n for n in (*SETTINGS, *COUNTERS, "run") if not (SYSFS / n).exists()]
    if missing:
        return f"this kernel has no {SYSFS / missing[0]}"
    if os.geteuid() != 0 or not os.access(SYSFS / "run", os.W_OK):
        return f"{SYSFS} may not be written"
    if read("run") != 0 or any(read(n) for n in COUNTERS[:4]):
        return "KSM is in use"
    if (SYSFS / "advisor_mode").exists() and "[none]" not in (SYSFS / "advisor_mode").read_text():
        return "KSM's advisor is on"
    try:
        write("run", 0)
    except OSError as error:
        return f"{SYSFS}/run: {error.strerror}"
    return None


@contextmanager
def exclusive() -> Iterator[None]:
    """One user at a time; whatever happens, the settings come back."""
    with open(SYSFS / "run") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reason = obstacle()
        if reason:
            raise SystemExit(f"ksm_program: {reason}")
        before = {name: read(name) for name in SETTINGS}
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            yield
        finally:
            write("run", 2)
            write("run", 0)
            for name, value in before.items():
                write(name, value)


class Stepper:
    """ksmd, one batch at a time."""

    def __init__(self) -> None:
        # Never a value used before: ksmd, woken late, compares it with the one it slept with.
        self.sleep = HOURS + time.monotonic_ns() // 1_000_000 % 1_000_000_000
        self.started = False
        # From whatever wait ksmd is in, to the one that `run` = 1 ends.
        write("run", 2)
        write("run", 0)
        self._wake()
        time.sleep(0.1)

    def _wake(self) -> None:
        self.sleep += 1
        write("sleep_millisecs", self.sleep)

    def batch(self, pages: int) -> None:
        scans, scanned = read("full_scans"), read("pages_scanned")
        write("pages_to_scan", pages)
        if self.started:
            self._wake()
        else:
            write("run", 1)
            self.started = True
        deadline = time.monotonic() + 20
        while read("full_scans") == scans and read("pages_scanned") - scanned < pages:
            if time.monotonic() > deadline:
                raise SystemExit("ksm_program: ksmd made no progress in 20 s")
            time.sleep(0.0005)
        time.sleep(0.002)  # an unasked-for second batch would show
        if read("full_scans") - scans > 1 or read("pages_scanned") - scanned > pages:
            raise SystemExit("ksm_program: ksmd ran more than one batch")

    def unmerge(self) -> None:
        """run = 2, and ksmd back where `run` = 1 starts it."""
        write("run", 2)
        self._wake()
        time.sleep(0.05)
        self.started = False


def fill(memory: mmap.mmap, page: int, tag: int) -> None:
    memory[page * PAGE : (page + 1) * PAGE] = struct.pack("<Q", tag) * (PAGE // 8)


def run(scenario: dict[str, Any]) -> list[dict[str, int]]:
    """Counters after each step of the scenario; ties this process to one processor."""
    pages, settings = scenario["pages"], scenario.get("settings", {})
    # Writes and `drain` on one processor; ksmd may run on any.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with exclusive():
        write("run", 2)
        write("max_page_sharing", settings.get("max_page_sharing", 256))
        write("use_zero_pages", settings.get("use_zero_pages", 0))
        write("smart_scan", settings.get("smart_scan", 1))
        write("stable_node_chains_prune_millisecs", 0 if settings.get("prune") else HOURS)
        stepper = Stepper()
        start = {name: read(name) for name in CUMULATIVE}
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        with mmap.mmap(-1, len(pages) * PAGE, flags=flags) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            for page, tag in enumerate(pages):
                fill(memory, page, tag)
            memory.madvise(mmap.MADV_MERGEABLE)
            records = []
            for step in scenario["steps"]:
                take(step, memory, stepper)
                record = {name: read(name) for name in COUNTERS}
                records.append({n: v - start.get(n, 0) for n, v in record.items()})
            return records


def drain() -> None:
    """Empties this processor's LRU batch, whose references to new pages forbid merging them.

    Linux does so itself only when a full scan starts (scan_get_next_rmap_item in mm/ksm.c).
    MADV_COLD calls lru_add_drain() first (mm/madvise.c); the page it is about doesn't matter.
    """
    with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as other:
        other.madvise(MADV_COLD)


def take(step: dict[str, Any], memory: mmap.mmap, stepper: Stepper) -> None:
    for page, tag in step.get("write", []):
        fill(memory, page, tag)
    drain()
    for page in step.get("discard", []):
        memory.madvise(mmap.MADV_DONTNEED, page * PAGE, PAGE)
    if step.get("unmerge"):
        stepper.unmerge()
    if "batch" in step:
        stepper.batch(step["batch"])
    for _ in range(step.get("scans", 0)):
        stepper.batch(WHOLE_SCAN)


if __name__ == "__main__":
    json.dump([run(scenario) for scenario in json.load(sys.stdin)], sys.stdout)
