"""The host's own paging: which pages leave when the host runs short of frames.

The host knows nothing of the guests' plans ("uncooperative"): it goes by use, at random,
or by who holds more than the policy grants. Reservations are never touched.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.host import reclaim
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS
from mmulab.mmu.memory.state import Host

WINDOW = 4096  # pages that one step of the clock looks at

#: Turns of the clock's hand, or random draws, without a page out after which there is
#: nothing left to take: the first turn clears A bits, the second finds them clear.
PATIENCE = 3


class HostPaging:
    """Pages guests' memory out to the host's swap device.

    over: guests' frames above what a policy grants them, by number; the "shares" victims.
    """

    def __init__(
        self, host: Host, guests: list[Guest], victims: str, rng: np.random.Generator
    ) -> None:
        self.host = host
        self.guests = guests
        self.victims = victims
        self.rng = rng
        self.grants: dict[int, int] = {}
        self.asked = False  # whether anybody wanted frames
        self._fruitless = 0
        self._guest = 0
        self._gfn = 0

    def free_up(self, want: int) -> int:
        """Pages out until `want` frames are free. Returns what is free then, which may be less."""
        step = self._clock if self.victims == "clock" else self._at_random
        self._fruitless = 0
        self.asked |= self._available() < want
        while self._available() < want and self._fruitless < PATIENCE and self._has_place():
            if step(want - self._available()):
                self._fruitless = 0
        return self._available()

    def take(self, guest: Guest, count: int, down_to: int | None = None) -> int:
        """Pages out random pages of one guest, as ESX does; returns how many. down_to: frames
        that stay its own, its reservation unless given."""
        done = 0
        self.asked |= count > 0
        for _ in range(PATIENCE):
            if done >= count or not self._has_place():
                break
            spare = self._spare_of(guest) if down_to is None else guest.held - down_to
            gfns = guest.gfns(self.rng, min(count - done, spare))
            done += self._page_out(guest, gfns, False) if len(gfns) else 0
        return done

    def note(self) -> str:
        """Why nothing has left; empty where something has."""
        counts = (guest.counted.stats[0] for guest in self.guests)
        if any(each["host_swap_outs"] or each["host_drops"] for each in counts):
            return ""
        if not self.asked:
            return "never acted: the host had frames to spare at all times"
        return (
            "never acted: no page could leave; those that are reserved, merged or pinned, and "
            "guest page tables, stay"
        )

    def _available(self) -> int:
        counts = self.host.frames.counts
        return int(counts[frames.TOTAL] - counts[frames.IN_USE])

    def _has_place(self) -> bool:
        """False where nothing can leave: pages that need no block of the swap device are those
        of guests whose disk the VMM knows."""
        swap = self.host.swap
        if int(swap.record[0]["used"]) < len(swap.references):
            return True
        return any(g.settings.map_disk for g in self.guests if g.started and not g.off)

    def _spare_of(self, guest: Guest) -> int:
        """Frames that may be taken from a guest before it falls to its reservation."""
        return max(0, guest.held - guest.reservation)

    def _page_out(self, guest: Guest, gfns: np.ndarray, second_chance: bool) -> int:
        return int(reclaim.page_out(guest.machine, gfns, second_chance))

    def _clock(self, short: int) -> int:
        """One window of the clock over all guests' pages: second chance by A bits (the CLOCK
        of Corbato, A paging experiment with the Multics system, 1968)."""
        guest = self.guests[self._guest % len(self.guests)]
        if not guest.started or guest.off or self._gfn >= guest.frames:
            self._guest, self._gfn = (self._guest + 1) % len(self.guests), 0
            self._fruitless += int(self._guest == 0)
            return 0
        window = guest.machine.vm.p2m[self._gfn : self._gfn + WINDOW]
        backed = np.flatnonzero(window > 0)[: min(short, self._spare_of(guest))] + self._gfn
        done = 0
        if len(backed):
            done = self._page_out(guest, backed, True)
        if len(backed) < short:
            self._gfn += WINDOW
        else:  # a large host page that stays is stepped over whole
            last = int(backed[-1])
            entry = int(guest.machine.vm.p2m[last])
            size = entry & 3 if entry > 0 else 0
            self._gfn = (last | ((1 << (INDEX_BITS * size)) - 1)) + 1
        return done

    def _at_random(self, short: int) -> int:
        """Random pages of one guest: of any, or of the one furthest above its grant."""
        running = [g for g in self.guests if g.started and not g.off and self._spare_of(g) > 0]
        self._fruitless += 1
        if not running:
            return 0
        if self.victims == "shares" and self.grants:
            guest = max(running, key=self._excess)
        else:
            held = np.array([float(g.held) for g in running])
            if not held.any():
                return 0
            guest = running[int(self.rng.choice(len(running), p=held / held.sum()))]
        gfns = guest.gfns(self.rng, min(short, 512, self._spare_of(guest)))
        return self._page_out(guest, gfns, False)

    def _excess(self, guest: Guest) -> float:
        return guest.held - self.grants.get(guest.number, guest.frames)
