"""A guest whose pages of 2 MiB come of a policy: regions with so many pages touched, and time."""

from __future__ import annotations

from drivers.one_machine import Driver
from mmulab.mmu.check import check
from mmulab.mmu.trace import LOAD, MMAP, STORE

PAGE = 4096
SPAN = 2 << 20
BASE = 0x7F00_0000_0000
ELSEWHERE = BASE - SPAN  # a page that time goes by at


class HugeGuest(Driver):
    """A guest of a policy, in which nothing but the policy's threads has huge pages unless it is
    said; a millisecond is an access."""

    def __init__(self, policy: str, technique: str = "native", **options) -> None:
        join = "," if ":" in policy else ":"
        policy = f"{policy}{join}accesses_per_millisec=1"
        super().__init__(technique, page_size="thp", guest_thp=policy, **options)

    def map(self, regions: int = 1, at: int = 0, prot: int = 3, asked: int = 0) -> None:
        """Maps regions in the process that runs. asked: 0: nothing; else a page size + 1."""
        pid = int(self.process()["pid"])
        self.event(MMAP, BASE + at * SPAN, regions * SPAN, prot | asked << 8, pid=pid)

    def touch(self, pages: int, at: int = 0, kind: int = STORE) -> None:
        """Touches the first pages of a region."""
        self.run([BASE + at * SPAN + page * PAGE for page in range(pages)], [kind] * pages)

    def wait(self, accesses: int) -> None:
        """Lets time go by."""
        self.run([ELSEWHERE] * accesses, [LOAD] * accesses)
        check(self.simulator)

    def huge(self) -> list[int]:
        """Numbers of the regions of the current process that are one page."""
        return [gva - BASE >> 21 for gva, level, _, _ in self.leaves() if level == 2]

    def counts(self, *names: str) -> list[int]:
        return [int(self.stats[name]) for name in names]
