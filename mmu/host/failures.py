"""Why a VM of a host cannot go on: who holds its memory, and which settings give it more."""

from __future__ import annotations

from mmulab.mmu.host.vm import Guest
from mmulab.mmu.machine.failures import failure_text, frames_by_kind
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.status import OUT_OF_GUEST_FRAMES

_PER_MIB = 256


def why_it_ends(status: int, guest: Guest) -> str:
    """One sentence, in the words of a scenario; guests that page run out of disk first."""
    disk = guest.vm.disk
    if status != OUT_OF_GUEST_FRAMES and not (guest.ballooned and len(disk.references) == 0):
        return failure_text(status, guest.machine)
    counts = guest.vm.frames.counts
    total, free = int(counts[frames.TOTAL]), int(counts[frames.TOTAL] - counts[frames.IN_USE])
    kinds = {**frames_by_kind(guest.vm.frames), "free": free}
    who = ", ".join(f"{name} {n / _PER_MIB:,.1f}" for name, n in kinds.items() if n)
    cures = ["more memory"]
    if len(disk.references) == 0:
        cures.append("a disk to page to")
    if guest.ballooned:
        cures.append("a smaller balloon, or [balloon] deflate_on_oom = true")
    return (
        f"guest memory is too small: of {total / _PER_MIB:,.0f} MiB, {who}; give "
        f"[[vm]] {guest.name} {', '.join(cures)}"
    )
