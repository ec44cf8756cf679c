"""Page merging: Linux's ksmd over the memory of VMs, or ESX's scan for hints.

Wakes up every `sleep` seconds, looks at `pages_to_scan` pages, one VM after another, and
begins again at the first when it is through: a full scan, after which the unstable tree is
thrown away (Linux, Documentation/admin-guide/mm/ksm.rst; mm/ksm.c). Guest page tables and
pages that the host has paged out are left alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import InputError, check_choice, check_range
from mmulab.mmu.host import sharing
from mmulab.mmu.host.settings import refuse_fixed
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.kernels.structs import for_kernels
from mmulab.mmu.memory.state import GPT_PAGE, MERGED_PAGE
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.services.ksm_kernels import (
    ITEM,
    NOBODY,
    ORDER,
    SCAN,
    STABLE_ENTRY,
    UNSTABLE_ENTRY,
    Trees,
    prune_stable,
    scan_vm,
)

METHODS = ("ksm", "hints")


@dataclass(frozen=True)
class KSMSettings:
    """Linux's ksmd; names and defaults of /sys/kernel/mm/ksm (mm/ksm.c).

    method: "ksm", or "hints" for ESX's content-based sharing (Waldspurger, OSDI 2002, 4),
    which shares a page at first sight. sleep: seconds between two batches. cycles_per_page:
    what looking at a page costs.
    """

    method: str = "ksm"
    pages_to_scan: int = 100
    sleep: float = 0.020
    max_page_sharing: int = 256
    use_zero_pages: bool = False
    smart_scan: bool = True
    cycles_per_page: float = 1000.0  # assumption: a 4 KiB checksum at 8 bytes a cycle, and a tree

    def __post_init__(self) -> None:
        check_choice("ksm method", self.method, METHODS)
        check_range("ksm pages_to_scan", self.pages_to_scan, 1, 1 << 30)
        check_range("ksm sleep", self.sleep, 1e-6, 1e6, " s")
        check_range("ksm max_page_sharing", self.max_page_sharing, 2, 1 << 30)
        check_range("ksm cycles_per_page", self.cycles_per_page, 0, 1e9)


class KSM:
    """ksmd. `counters` has the names of /sys/kernel/mm/ksm."""

    name = "ksm"

    def __init__(self, settings: KSMSettings, system: System) -> None:
        self.settings = settings
        self.next_tick = settings.sleep
        self.full_scans = 0
        frames = system.total
        size = 1 << (2 * frames - 1).bit_length()
        # A scan may enter every page of every VM, paged out later ones included.
        mergeable = [guest for guest in system.guests if _is_mergeable(guest)]
        pages = sum(guest.frames for guest in mergeable)
        most = 1 << max((2 * frames - 1).bit_length(), (pages + pages // 2).bit_length())
        scan = np.zeros(1, SCAN)
        scan[0]["max_page_sharing"] = settings.max_page_sharing
        scan[0]["use_zero_pages"] = settings.use_zero_pages
        scan[0]["smart_scan"] = settings.smart_scan and settings.method == "ksm"
        scan[0]["hints"] = settings.method == "hints"
        scan[0]["zero_frame"] = NIL
        scan[0]["epoch"] = 1
        self.trees = Trees(
            scan=scan,
            unstable=np.zeros(most, UNSTABLE_ENTRY),
            stable=np.zeros(2 * size, STABLE_ENTRY),
            dup=np.zeros(frames, np.int32),
            orders=np.zeros(settings.pages_to_scan, ORDER),
        )
        for guest in mergeable:
            refuse_fixed(guest.settings, "merge pages", "set mergeable = false")
        self.items = {guest.number: np.zeros(guest.frames, ITEM) for guest in mergeable}
        if not self.items:
            raise InputError("ksm: no VM is mergeable; hugetlbfs never is")
        self._guest = 0
        self._gfn = 0

    def tick(self, system: System) -> None:
        """A batch, and then sleep: ksmd sleeps once its work is done (Linux mm/ksm.c,
        ksm_scan_thread()), so that it never takes more than its one core."""
        visited = self.scan(system, self.settings.pages_to_scan)
        work = visited * self.settings.cycles_per_page / system.hertz
        self.next_tick += work + self.settings.sleep

    def scan(self, system: System, budget: int) -> int:
        """One batch: looks at so many pages, or at what is left of the full scan. Returns how
        many it looked at."""
        visited = 0
        scans = self.full_scans
        while visited < budget and self.full_scans == scans:
            guest = system.guests[self._guest]
            if guest.started and not guest.off and guest.number in self.items:
                most = min(budget - visited, len(self.trees.orders))
                visited += self._scan_guest(system, guest, most)
            else:
                self._forget(guest)
                self._gfn = guest.frames
            if self._gfn >= guest.frames:
                self._next_guest(system)
        system.charge(self.name, visited * self.settings.cycles_per_page)
        return visited

    def _scan_guest(self, system: System, guest: Guest, budget: int) -> int:
        if self.trees.scan[0]["stable_used"] > len(self.trees.stable) // 2:
            prune_stable(system.host, self.trees)
        items = for_kernels(self.items[guest.number])
        at, visited, ordered = scan_vm(guest.machine, self.trees, items, self._gfn, budget)
        self._gfn = int(at)
        scan = self.trees.scan[0]
        orders = self.trees.orders[:ordered]
        for number in np.unique(orders["vm"]).tolist():
            mine = orders[orders["vm"] == number]
            other = system.guests[number - 1].machine
            gfns = np.ascontiguousarray(mine["gfn"])
            known = self.items[number]
            scan["pages_unshared"] -= int(known["unstable"][gfns].sum())
            known["unstable"][gfns] = 0
            merged, cut = sharing.join_held(
                other, gfns, np.ascontiguousarray(mine["hfn"]), np.ascontiguousarray(mine["tag"])
            )
            scan["merges"] += int(merged)
            scan["splits"] += int(cut)
        return int(visited)

    def _forget(self, guest: Guest) -> None:
        """Forgets the pages of a VM that is off (Linux mm/ksm.c, __ksm_exit())."""
        items = self.items.get(guest.number)
        if items is None or not items["known"].any():
            return
        scan = self.trees.scan[0]
        scan["rmap_items"] -= int(items["known"].sum())
        scan["pages_unshared"] -= int(items["unstable"].sum())
        items[:] = 0
        unstable = self.trees.unstable
        unstable["vm"][unstable["vm"] == guest.number] = NOBODY

    def _next_guest(self, system: System) -> None:
        self._guest += 1
        self._gfn = 0
        if self._guest == len(system.guests):
            self._guest = 0
            self.full_scans += 1
            scan = self.trees.scan[0]
            if not scan["hints"] or scan["hinted"] > len(self.trees.unstable) // 4:
                scan["epoch"] += 1
                scan["hinted"] = 0

    def held(self) -> list[int]:
        """Frames that ksmd itself has a reference to."""
        zero = int(self.trees.scan[0]["zero_frame"])
        return [] if zero == NIL else [zero]

    def counters(self, system: System) -> dict[str, float]:
        """As in sysfs; pages_sharing is what is saved, upper_bound what could be."""
        scan = self.trees.scan[0]
        heads = system.host.frames.frame
        merged = heads["references"][heads["kind"] == MERGED_PAGE]
        shared, sites = len(merged), int(merged.sum())
        zeros = 0
        if scan["zero_frame"] != NIL:
            zeros = int(heads[scan["zero_frame"]]["references"]) - 1
            shared, sites = shared - 1, sites - zeros - 1
        known = int(scan["rmap_items"])
        unshared = int(scan["pages_unshared"])
        return {
            "pages_shared": shared,
            "pages_sharing": sites - shared,
            "pages_unshared": unshared,
            "pages_volatile": max(0, known - sites - unshared),
            "ksm_zero_pages": zeros,
            "full_scans": self.full_scans,
            "pages_scanned": int(scan["pages_scanned"]),
            "pages_skipped": int(scan["pages_skipped"]),
            "merges": int(scan["merges"]),
            "splits": int(scan["splits"]),
            "upper_bound": upper_bound(system, self.items),
        }

    def note(self, system: System) -> str:
        scanned, merges = (int(self.trees.scan[0][name]) for name in ("pages_scanned", "merges"))
        if not scanned:
            return f"never acted: {system.ended_before(self.next_tick)}; set a shorter [ksm] sleep"
        if not self.full_scans:
            return (
                f"looked at {scanned:,} pages, less than one pass over the VMs' memory; set [ksm] "
                f"pages_to_scan or sleep, or run for longer"
            )
        if not merges:
            return "never merged: no two pages that it compared were equal"
        return ""


def _is_mergeable(guest: Guest) -> bool:
    """Linux mm/ksm.c passes hugetlb areas over (vma_ksm_compatible())."""
    return guest.settings.mergeable and not guest.settings.in_hugetlbfs


def upper_bound(system: System, mergeable: Collection[int]) -> int:
    """Pages that perfect sharing would free now: all but one of each content. mergeable:
    numbers of the guests that take part."""
    memory = system.host.memory
    tags = []
    for guest in system.guests:
        if guest.started and not guest.off and guest.number in mergeable:
            vm = guest.machine.vm
            backed = (vm.p2m > 0) & (vm.frames.frame["kind"] != GPT_PAGE)
            hfns = (vm.p2m[backed] >> 2) - 1
            fresh = memory.written[hfns] == 0  # what was stored to is like nothing else
            tags.append(memory.contents[hfns[fresh]])
    if not tags:
        return 0
    held = np.concatenate(tags)
    return len(held) - len(np.unique(held))
