"""Why a VM of a host cannot go on: who holds its memory, and which settings give it more."""

from __future__ import annotations

from mmulab.mmu.host.vm import Guest
from mmulab.mmu.machine.failures import failure_text, frames_by_kind
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.status import OUT_OF_DISK, OUT_OF_GUEST_FRAMES

_PER_MIB = 256


def why_it_ends(status: int, guest: Guest) -> str:
    """One sentence, in the words of a scenario."""
    if status not in (OUT_OF_GUEST_FRAMES, OUT_OF_DISK):
        return failure_text(status, guest.machine)
    counts = guest.vm.frames.counts
    total, free = int(counts[frames.TOTAL]), int(counts[frames.TOTAL] - counts[frames.IN_USE])
    kinds = {**frames_by_kind(guest.vm.frames), "free": free}
    who = ", ".join(f"{name} {n / _PER_MIB:,.1f}" for name, n in kinds.items() if n)
    has_disk = len(guest.vm.disk.references) > 0
    full = status == OUT_OF_DISK and has_disk
    what = "the disk that the guest pages to is full" if full else "guest memory is too small"
    cures = ["more memory", "a larger disk" if has_disk else "a disk to page to"]
    if guest.ballooned:
        cures.append("a smaller balloon")
    wanted = ", ".join(cures[:-1]) + " or " + cures[-1]
    may_give_way = guest.ballooned and not guest.vm.record[0]["deflate_on_oom"]
    return f"{what}: of {total / _PER_MIB:,.0f} MiB, {who}; give [[vm]] {guest.name} {wanted}" + (
        ", or set [balloon] deflate_on_oom = true" if may_give_way else ""
    )


def why_short(host: Host, guest: Guest, now: float) -> str:
    """One sentence on a host that has no frame for a VM, nor a place to page to."""
    swap = host.swap
    why = (
        "the host's swap device is full"
        if len(swap.references) and int(swap.record[0]["used"]) == len(swap.references)
        else "nothing is left that could be paged out"
        if len(swap.references)
        else "the host has no swap device"
    )
    where = f"vm {guest.name}: at {now:.3f} s, access {guest.accesses:,}: "
    if guest.above_limit:
        return f"{where}it is at its limit of {guest.limit:,} frames, and {why}"
    total = int(host.frames.counts[frames.TOTAL])
    free = total - int(host.frames.counts[frames.IN_USE])
    return f"{where}the host is out of memory: {free:,} of {total:,} frames free, and {why}"
