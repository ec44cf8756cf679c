"""Free-page reporting (virtio-balloon): guests tell of blocks that they do not use, and the
host takes the frames behind them back (Linux mm/page_reporting.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmulab.mmu.host import reclaim

if TYPE_CHECKING:
    from mmulab.mmu.host.system import System
    from mmulab.mmu.scenario.settings import ReportingSettings


class Reporting:
    name = "reporting"

    def __init__(self, settings: ReportingSettings) -> None:
        self.settings = settings
        self.next_tick = settings.period
        self.freed = 0

    def tick(self, system: System) -> None:
        self.next_tick += self.settings.period
        for guest in system.live:
            self.freed += int(reclaim.report_free(guest.machine, self.settings.order))

    def counters(self, system: System) -> dict[str, float]:
        """frames_freed: host frames taken back."""
        return {"frames_freed": self.freed}
