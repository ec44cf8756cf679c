"""What a VM holds of its host's memory, and may hold."""

from __future__ import annotations

from mmulab.mmu.host.settings import VMSettings
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import BALLOON_PAGE
from mmulab.mmu.memory.vm import VM


class Holdings:
    """Of a VM with these settings."""

    settings: VMSettings
    vm: VM

    @property
    def reservation(self) -> int:
        """Frames."""
        return self.settings.reserved >> 12

    @property
    def limit(self) -> int:
        """Frames."""
        return (self.settings.limit or self.settings.memory) >> 12

    @property
    def margin(self) -> int:
        """Frames below its limit at which it gives some up; 0 without one."""
        return min(self.need, int(self.vm.record[0]["limit"]) >> 3)  # as `frames_at_hand` has it

    @property
    def above_limit(self) -> int:
        """Frames that it must give up before it can go on."""
        record = self.vm.record[0]
        if not record["limit"]:
            return 0
        room = int(record["limit"]) - (int(record["held"]) - int(record["merged"]))
        return max(0, max(1, self.margin) - room)

    @property
    def held(self) -> int:
        """Host frames behind its memory, shared ones counted for each site."""
        return int(self.vm.record[0]["held"])

    @property
    def ballooned(self) -> int:
        """Frames in the balloon."""
        return int(self.vm.record[0]["ballooned"])

    @property
    def unplugged(self) -> int:
        """Frames in blocks that were unplugged."""
        counts = self.vm.frames.counts
        return int(counts[frames.OF_KIND + BALLOON_PAGE]) - self.ballooned

    @property
    def need(self) -> int:
        """Host frames that must be free before it can go on."""
        return int(self.vm.record[0]["need"])
