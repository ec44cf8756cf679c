"""A VM is held back so that pre-copy can end: QEMU's auto-converge.

Where pages are dirtied at more than half the rate at which they are sent, in two rounds (QEMU looks
at periods of at least a second), the vCPU sleeps so that it loses 20 % of its time, each time that
this is so again 10 % more, 99 % at most: migration/options.c, throttle-trigger-threshold,
cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle.
"""

from __future__ import annotations

from dataclasses import dataclass

TRIGGER, FIRST, MORE, MOST = 0.50, 0.20, 0.10, 0.99
TIMES = 2


@dataclass
class Throttle:
    """part: of its time that the VM loses."""

    part: float = 0.0
    _seen: int = 0

    def look(self, sent: int, dirtied: int) -> float:
        """After a round that sent so many pages while so many were dirtied: the part from now
        on."""
        if dirtied > TRIGGER * sent:
            self._seen += 1
            if self._seen >= TIMES:
                self._seen = 0
                self.part = min(MOST, self.part + MORE) if self.part else FIRST
        return self.part


def sleep_after(ran: float, part: float) -> float:
    """Seconds that a vCPU sleeps after it ran for some, to lose that part of its time."""
    return ran * part / (1 - part)
