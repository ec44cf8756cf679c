"""A simulated machine: built from a configuration, run over chunks of a trace."""

from __future__ import annotations

import numpy as np

from mmulab.mmu import techniques
from mmulab.mmu.config import HUGE_POLICIES, Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.guest.process import BOOT
from mmulab.mmu.hardware.build import build_core
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import run as engine
from mmulab.mmu.memory.disk import make_disk
from mmulab.mmu.memory.entries import ENTRIES
from mmulab.mmu.memory.frames import IN_USE, OF_KIND, TOTAL, make_frames
from mmulab.mmu.memory.sharers import make_sharers
from mmulab.mmu.memory.state import FRAME_KINDS, Frames, Host
from mmulab.mmu.memory.status import (
    LIVELOCK,
    NO_SUCH_PROCESS,
    OK,
    OUT_OF_DISK,
    OUT_OF_GUEST_FRAMES,
    OUT_OF_HOST_FRAMES,
    OUT_OF_PROCESSES,
    OUT_OF_STATE,
    OUT_OF_TABLES,
    OUT_OF_VMAS,
)
from mmulab.mmu.memory.tables import MAX_TABLES, make_memory
from mmulab.mmu.memory.vm import PROCESS, REVERSE, SHADOW_PAGE, VM, VM_RECORD, VMA
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import EVENT, Chunk

MAX_PROCESSES = 4000  # live at once; a PCID has 12 bits
MAX_VMAS = 1 << 17  # Linux allows one process 65,530 (vm.max_map_count)

FIRST_PID = 1  # the process that a trace begins in


def build(technique: str, preset: Preset, config: Config, log_size: int = 0) -> Simulator:
    """A cold machine that has booted its guest and runs process FIRST_PID.

    On bare metal the host is the machine that the VM would have been: its memory is
    the guest's. Raises InputError where the configuration makes no machine, RunError
    where its memory cannot hold even the first tables.
    """
    core, units = build_core(preset, config, log_size)
    virtual = techniques.get(technique).virtual
    host_frames = config.host_frames if virtual else config.guest_frames
    host = Host(
        frames=make_frames(host_frames), memory=make_memory(host_frames), swap=make_disk(0),
        sharers=make_sharers(0),
    )  # fmt: skip
    vm = make_vm(technique, preset, config, host)
    core.regs[0]["vpid"] = 1 if virtual else 0
    return Simulator(technique, Machine(core=core, host=host, vm=vm), units, config)


def make_vm(
    technique: str,
    preset: Preset,
    config: Config,
    host: Host,
    number: int = 1,
    disk_blocks: int = 0,
) -> VM:
    """The state of a VM before it boots.

    number: the owner of its host frames, from 1. disk_blocks: of its disk, in pages; a
    guest with a disk pages to it.
    """
    identity = techniques.NAMES.index(technique)
    about = techniques.get(technique)
    count = config.guest_frames
    per_gfn = count if about.virtual else 1
    host_frames = len(host.frames.frame)
    shadows = min(MAX_TABLES, host_frames) if technique == "shadow" else 1
    record = np.zeros(1, VM_RECORD)
    this = record[0]
    this["id"] = number
    this["technique"] = identity
    this["levels"] = config.levels
    this["huge"] = HUGE_POLICIES.index(config.page_size)
    this["host_size"] = HUGE_POLICIES.index(config.host_page_size)
    this["pcid"] = about.guest_pcid and (preset.pcid if config.pcid is None else config.pcid)
    this["has_vpid"] = preset.vpid if config.vpid is None else config.vpid
    this["unsync"] = config.shadow_policy == "unsync"
    this["shadows_used"] = 1
    this["reverses_used"] = 1
    return VM(
        record=record,
        frames=make_frames(count) if about.virtual else host.frames,
        contents=np.zeros(count, np.int64),
        block=np.zeros(count, np.int32),
        disk=make_disk(disk_blocks),
        balloon=np.zeros(per_gfn, np.int32),
        used=np.zeros(count, np.int32),
        p2m=np.zeros(per_gfn, np.int64),
        sharer=np.zeros(per_gfn, np.int32),
        process=np.zeros(MAX_PROCESSES, PROCESS),
        vma=np.zeros(MAX_VMAS, VMA),
        shadow=np.zeros(shadows, SHADOW_PAGE),
        shadowed=np.zeros(per_gfn, np.int32),
        spte_gfn=np.zeros(shadows * ENTRIES, np.int32),
        reverse_head=np.zeros(per_gfn, np.int32),
        reverse=np.zeros(2 * per_gfn if technique == "shadow" else 1, REVERSE),
    )


class Simulator:
    """One machine under one technique."""

    def __init__(self, technique: str, machine: Machine, units: list[str], config: Config):
        self.technique = technique
        self.machine = machine
        self.units = units
        self.config = config
        self.accesses = 0
        self.run(*boot_chunk())
        self.reset_counters()

    def run(self, chunk: Chunk, kinds: np.ndarray, start: int, end: int, event: int) -> int:
        """Runs accesses [start, end) of a chunk with its events from `event` on.

        kinds: the chunk's kinds as `engine.prepare` marks them. Returns the next event.
        Raises RunError where the run cannot go on, InputError for an impossible event.
        """
        status, position, event = engine.run(
            self.machine,
            to_read(chunk.address),
            to_read(kinds),
            to_read(chunk.events),
            event,
            start,
            end,
        )
        self.accesses += position - start
        if status == NO_SUCH_PROCESS:
            bad = chunk.events[event]
            raise InputError(
                f"event before access {self.accesses:,}: process {bad['pid']} does not exist; "
                f"expected a fork of it or a switch to it first"
            )
        if status != OK:
            raise self._failure(status, f"at access {self.accesses:,}")
        return event

    def reset_counters(self) -> None:
        """Zeroes what has been counted; the state of the machine stays."""
        core = self.machine.core
        core.stats[:] = np.zeros((), core.stats.dtype)
        core.references[:] = 0
        core.unit["hits"] = 0
        core.unit["misses"] = 0

    def frames_by_kind(self, which: str = "host") -> dict[str, int]:
        """4 KiB frames in use by kind, of the host's or the guest's allocator."""
        return frames_by_kind(
            self.machine.host.frames if which == "host" else self.machine.vm.frames
        )

    def _failure(self, status: int, when: str) -> RunError:
        return RunError(f"{self.technique}: {when}: {failure_text(status, self.machine)}")


def frames_by_kind(allocator: Frames) -> dict[str, int]:
    """4 KiB frames in use by kind."""
    counts = allocator.counts[OF_KIND:].tolist()
    return dict(zip(FRAME_KINDS[1:], counts[1:], strict=True))


def failure_text(status: int, machine: Machine) -> str:
    """Why a machine cannot go on."""
    host = machine.host.frames.counts
    guest = machine.vm.frames.counts
    who = ", ".join(f"{name} {n:,}" for name, n in frames_by_kind(machine.host.frames).items() if n)
    return {
        OUT_OF_HOST_FRAMES: (
            f"host memory is too small: all of {_size(host[TOTAL])} in use ({who}); "
            f"give more with --host-memory"
        ),
        OUT_OF_GUEST_FRAMES: (
            f"guest memory is too small: {_size(guest[IN_USE])} of {_size(guest[TOTAL])} "
            f"in use; give more with --memory"
        ),
        OUT_OF_DISK: "the disk that the guest pages to is full",
        OUT_OF_TABLES: f"more than {MAX_TABLES:,} page-table pages",
        OUT_OF_PROCESSES: f"more than {MAX_PROCESSES:,} live processes",
        OUT_OF_VMAS: f"more than {MAX_VMAS:,} memory mappings",
        OUT_OF_STATE: "more shadow mappings than the reverse map holds",
        LIVELOCK: "an access that faults for ever; please report this as a bug",
    }[status]


def boot_chunk() -> tuple[Chunk, np.ndarray, int, int, int]:
    """What `Simulator.run` takes to start the machine."""
    events = np.zeros(1, EVENT)
    events[0]["kind"] = BOOT
    events[0]["pid"] = FIRST_PID
    nothing = np.zeros(0, np.uint8)
    chunk = Chunk(np.zeros(0, np.int64), nothing, np.zeros(0, np.uint16), events)
    return chunk, nothing, 0, 0, 0


def _size(frames: int) -> str:
    return f"{int(frames) / 256:,.0f} MiB"
