"""Why a machine cannot go on, in words."""

from __future__ import annotations

from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.memory.frames import IN_USE, OF_KIND, TOTAL
from mmulab.mmu.memory.state import FRAME_KINDS, Frames
from mmulab.mmu.memory.status import (
    FOREIGN_FRAME,
    LIVELOCK,
    NOT_CONTIGUOUS,
    OUT_OF_DISK,
    OUT_OF_GUEST_FRAMES,
    OUT_OF_HOST_FRAMES,
    OUT_OF_PROCESSES,
    OUT_OF_STATE,
    OUT_OF_TABLES,
    OUT_OF_VMAS,
    REFUSED_BY_HOST,
)
from mmulab.mmu.memory.tables import MAX_TABLES
from mmulab.mmu.memory.vm import MAX_PROCESSES, MAX_VMAS


def frames_by_kind(allocator: Frames) -> dict[str, int]:
    """4 KiB frames in use by kind."""
    counts = allocator.counts[OF_KIND:].tolist()
    return dict(zip(FRAME_KINDS[1:], counts[1:], strict=True))


def failure_text(status: int, machine: Machine) -> str:
    """Why a machine cannot go on."""
    host = machine.host.frames.counts
    guest = machine.vm.frames.counts
    who = ", ".join(f"{name} {n:,}" for name, n in frames_by_kind(machine.host.frames).items() if n)
    known = {
        OUT_OF_HOST_FRAMES: (
            f"host memory is too small: all of {_size(host[TOTAL])} in use ({who}); "
            f"give more with --host-memory"
        ),
        NOT_CONTIGUOUS: (
            f"the host has no free run of frames as long as the technique needs one: of "
            f"{_size(host[TOTAL])}, {_size(host[IN_USE])} are in use, and what it gives cannot be "
            f"overcommitted or scattered; give more with --host-memory"
        ),
        OUT_OF_GUEST_FRAMES: (
            f"guest memory is too small: {_size(guest[IN_USE])} of {_size(guest[TOTAL])} "
            f"in use; give more with --memory"
        ),
        FOREIGN_FRAME: (
            f"the guest maps frame {machine.vcpu.regs[0]['fault_gpa'] >> 12:#x} of the host, "
            f"which is not its own: the VM is stopped"
        ),
        REFUSED_BY_HOST: (
            f"the host OS refuses a process of {_size(len(machine.vm.p2m))}: it has "
            f"{_size(host[TOTAL])} of memory and {_size(len(machine.host.swap.references))} of "
            f"swap; give more with --host-memory"
        ),
        OUT_OF_DISK: "the disk that the guest pages to is full",
        OUT_OF_TABLES: f"more than {MAX_TABLES:,} page-table pages",
        OUT_OF_PROCESSES: f"more than {MAX_PROCESSES:,} live processes",
        OUT_OF_VMAS: f"more than {MAX_VMAS:,} memory mappings",
        OUT_OF_STATE: "what the technique keeps for itself is full",
        LIVELOCK: "an access that faults for ever; please report this as a bug",
    }
    return known.get(status, f"the technique leaves status {status} as it is: see memory/status.py")


def _size(frames: int) -> str:
    return f"{int(frames) / 256:,.0f} MiB"
