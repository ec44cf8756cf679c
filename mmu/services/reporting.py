"""Free-page reporting (virtio-balloon): guests tell of blocks that they do not use, and the
host takes the frames behind them back (Linux mm/page_reporting.c)."""

from __future__ import annotations

from dataclasses import dataclass

from mmulab.mmu.errors import check_range
from mmulab.mmu.host import reclaim
from mmulab.mmu.host.system import System


@dataclass(frozen=True)
class ReportingSettings:
    """Free-page reporting of virtio-balloon (Linux mm/page_reporting.c): the guest tells
    of free blocks of 2**order frames every `period` seconds."""

    order: int = 9
    period: float = 2.0

    def __post_init__(self) -> None:
        check_range("reporting order", self.order, 0, 18)
        check_range("reporting period", self.period, 1e-6, 1e6, " s")


class Reporting:
    name = "reporting"

    def __init__(self, settings: ReportingSettings) -> None:
        self.settings = settings
        self.next_tick = settings.period
        self.freed = 0
        self.ticks = 0

    def tick(self, system: System) -> None:
        self.next_tick += self.settings.period
        self.ticks += 1
        for guest in system.live:
            self.freed += int(reclaim.report_free(guest.machine, self.settings.order))

    def counters(self, system: System) -> dict[str, float]:
        """frames_freed: host frames taken back."""
        return {"frames_freed": self.freed}

    def note(self, system: System) -> str:
        if not self.ticks:
            late = system.ended_before(self.next_tick)
            return f"never acted: {late}; set a shorter [reporting] period"
        if not self.freed and all(guest.settings.in_hugetlbfs for guest in system.guests):
            return "never acted: what is reported of hugetlbfs frees nothing"
        if not self.freed:
            size = f"{1 << self.settings.order:,} frames"
            return f"never acted: no guest had a free block of {size} with anything behind it"
        return ""
