"""What pages of a running program hold, for deduplication.

A program under Valgrind has its memory at its own addresses in Valgrind's process, so
that /proc/PID/mem shows it. Pages are read when a part of the trace has been parsed: the
tag is what the page held then, somewhat after its accesses; pages that are gone by
then, such as those of a process that has ended, have none.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mmulab.mmu.memory.entries import PAGE_BYTES, PAGE_SHIFT
from mmulab.mmu.trace import CONTENT, EVENT, STORE, Chunk
from mmulab.workloads.content_tags import FILE, ZERO

#: Accesses after which the pages that were touched since are read. An assumption: reading a
#: page takes microseconds, so that this adds little to Valgrind's own time.
EVERY = 1_000_000

_ZEROS = bytes(PAGE_BYTES)


def tag_of(page: bytes) -> int:
    """Tag of a page's contents: 0 for zeros, else 62 bits of BLAKE2b, of which one is set."""
    if page == _ZEROS:
        return ZERO
    digest = hashlib.blake2b(page, digest_size=8).digest()
    return int.from_bytes(digest, "little") % FILE or 1


class PageContents:
    """Adds CONTENT events to chunks. first_pid: the operating system's pid of process 1."""

    def __init__(self, first_pid: int) -> None:
        self._first_pid = first_pid
        self._known: dict[tuple[int, int], int] = {}
        self._touched: dict[int, set[int]] = {}
        self._accesses = 0

    def annotate(self, chunk: Chunk, pid: int) -> Chunk:
        """The chunk, with the contents of pages at its end when it is time to read them."""
        pages = np.unique(chunk.address >> PAGE_SHIFT)
        stored = np.unique(chunk.address[chunk.kind == STORE] >> PAGE_SHIFT)
        mine = self._touched.setdefault(pid, set())
        mine.update(page for page in pages.tolist() if (pid, page) not in self._known)
        mine.update(stored.tolist())
        self._accesses += chunk.accesses
        if self._accesses < EVERY:
            return chunk
        self._accesses = 0
        rows = [row for owner in self._touched for row in self._read(owner, chunk.accesses)]
        self._touched.clear()
        if not rows:
            return chunk
        return chunk._replace(events=np.concatenate([chunk.events, np.array(rows, EVENT)]))

    def _read(self, pid: int, position: int) -> list[tuple[int, ...]]:
        """CONTENT events of the pages of a process whose contents have changed."""
        rows: list[tuple[int, ...]] = []
        try:
            with open(f"/proc/{self._first_pid if pid == 1 else pid}/mem", "rb", 0) as memory:
                for page in sorted(self._touched[pid]):
                    try:
                        memory.seek(page << PAGE_SHIFT)
                        data = memory.read(PAGE_BYTES)
                    except (OSError, ValueError, OverflowError):
                        continue  # unmapped since
                    tag = tag_of(data)
                    if len(data) == PAGE_BYTES and self._known.get((pid, page)) != tag:
                        self._known[pid, page] = tag
                        rows.append((position, CONTENT, pid, page << PAGE_SHIFT, PAGE_BYTES, tag))
        except OSError:
            pass  # the process has ended
        return rows
