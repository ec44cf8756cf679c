"""Machines and VMs, built from a configuration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmulab.mmu.config import HUGE_POLICIES, Config
from mmulab.mmu.guest import entry_points
from mmulab.mmu.guest.huge import build as huge
from mmulab.mmu.guest.reservations import ORDER
from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.build import build_vcpu
from mmulab.mmu.hardware.cores import build_cores
from mmulab.mmu.hardware.ops import OPS
from mmulab.mmu.hardware.state import VCPU, Machine
from mmulab.mmu.memory.cpus import CPU, MAX_THREADS, POST, POSTS, THREAD
from mmulab.mmu.memory.disk import make_disk
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.sharers import make_sharers
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.memory.tables import MAX_TABLES, make_memory
from mmulab.mmu.memory.untouched import keep_untouched
from mmulab.mmu.memory.vm import (
    MAX_PROCESSES,
    MAX_VMAS,
    PROCESS,
    RESERVATION,
    VM,
    VM_RECORD,
    VMA,
)
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.seam import link_defaults
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.techniques.technique import Nothing, Sizes, compiled_for
from mmulab.mmu.vmm import calls

#: What writes addresses into `VM.ops` before a technique does; first what only a VMM needs.
LINKS = (calls.link, instructions.link, link_defaults, entry_points.link)


def link(ops: np.ndarray, spec: Spec, config: Config) -> None:
    """Writes the addresses of what a VM of a technique calls into its table."""
    for each in LINKS if spec.technique.virtual else LINKS[1:]:
        each(ops)
    huge.link(ops, config.guest_thp)
    with compiled_for(spec.technique):
        spec.technique.link(ops)


def machines_of(
    spec: Spec, preset: Preset, config: Config, log_size: int = 0
) -> tuple[list[Machine], list[str]]:
    """A machine that has not booted, seen from each of its vCPUs, each on a core of its own; and
    the names of a core's TLBs and walk caches."""
    virtual = spec.technique.virtual
    host_frames = config.host_frames if virtual else config.guest_frames
    host = make_host(host_frames)
    # A walk that is logged stands alone.
    caches = "off" if log_size else config.caches
    preset = replace(
        preset, walk_caches=spec.technique.walk_caches(preset.walk_caches, spec.values)
    )
    cores, units = build_cores(
        config.cores, preset, config.seed, walk_caches=config.walk_caches, log_size=log_size,
        caches=caches, llc=config.llc,
    )  # fmt: skip
    vm = make_vm(spec, preset, config, host, vcpus=config.cores)
    vcpus = [make_vcpu(spec, preset, config, 1 if virtual else 0) for _ in cores]
    return [
        Machine(core=core, host=host, vcpu=vcpu, vm=vm, outer=NO_VM)
        for core, vcpu in zip(cores, vcpus, strict=True)
    ], units


def make_host(
    total: int,
    shared: bool = False,
    swap: int = 0,
    images: int = 0,
    remote: int = 0,
    sites: int = 0,
) -> Host:
    """The memory of a host of so many frames, and its disks, of so many pages. shared: several VMs
    may share frames, at so many sites at least, and what pages hold is followed."""
    keep_untouched()
    return Host(
        frames=make_frames(total),
        memory=make_memory(total, tracked=shared),
        swap=make_disk(swap),
        images=make_disk(images),
        remote=make_disk(remote),
        sharers=make_sharers(total if shared else 0, sites),
    )


def make_vcpu(spec: Spec, preset: Preset, config: Config, vpid: int) -> VCPU:
    """A vCPU for a VM of a technique. vpid: 0 on bare metal."""
    vcpu = build_vcpu(len(spec.technique.walk.sites))
    regs = vcpu.regs[0]
    regs["vpid"] = vpid
    regs["levels"] = config.levels
    regs["root_levels"] = config.host_levels
    regs["physical_bits"] = config.physical_bits(preset.arch)
    regs["root_ad"] = preset.ept_ad if config.ept_ad is None else config.ept_ad
    return vcpu


def make_vm(
    spec: Spec,
    preset: Preset,
    config: Config,
    host: Host,
    number: int = 1,
    disk_blocks: int = 0,
    timed: bool = False,
    vcpus: int = 1,
) -> VM:
    """The state of a VM before it boots.

    number: the owner of its host frames, from 1. disk_blocks: of its disk, in pages; a
    guest with a disk pages to it. timed: a host tells it the time. vcpus: so many.
    """
    technique, values = spec.technique, spec.values
    virtual = technique.virtual
    count = config.guest_frames
    per_gfn = count if virtual else 1
    host_frames = len(host.frames.frame)
    record = np.zeros(1, VM_RECORD)
    this = record[0]
    this["id"] = number
    this["identity"] = not virtual
    this["machine_frames"] = technique.machine_frames
    this["levels"] = config.levels
    this["huge"] = HUGE_POLICIES.index(config.page_size)
    this["host_size"] = HUGE_POLICIES.index(values.get("host_page_size", "4k"))
    this["pcid"] = technique.guest_pcid and (preset.pcid if config.pcid is None else config.pcid)
    this["has_vpid"] = preset.vpid if config.vpid is None else config.vpid
    this["reserves"] = config.guest_allocator == "ptemagnet"
    blocks = _blocks(max(count, host_frames)) if this["reserves"] else 1
    ops = np.zeros(OPS, np.int64)
    link(ops, spec, config)
    sizes = Sizes(
        guest_frames=count,
        host_frames=host_frames,
        tables=min(MAX_TABLES, host_frames),
        processes=MAX_PROCESSES,
    )
    return VM(
        record=record,
        ops=ops,
        private=technique.state(sizes, values),
        frames=make_frames(count) if virtual else host.frames,
        contents=np.zeros(count, np.int64),
        block=np.zeros(count, np.int32),
        disk=make_disk(disk_blocks),
        balloon=np.zeros(per_gfn, np.int32),
        used=np.zeros(count, np.int32),
        p2m=np.zeros(per_gfn, np.int64),
        sharer=np.zeros(per_gfn, np.int32),
        dirty=np.zeros(per_gfn, np.uint8),
        process=np.zeros(MAX_PROCESSES, PROCESS),
        vma=np.zeros(MAX_VMAS, VMA),
        **huge.make(config.guest_thp, count, timed),
        reservation=np.zeros(blocks, RESERVATION),
        **_cpus(vcpus),
    )


def _cpus(vcpus: int) -> dict[str, np.ndarray]:
    """What a VM of so many vCPUs knows of them."""
    cpu = np.zeros(vcpus, CPU)
    cpu["process"], cpu["idle"] = NIL, 1
    return {
        "cpu": cpu,
        "post": np.zeros(POSTS if vcpus > 1 else 1, POST),
        "thread": np.zeros(MAX_THREADS if vcpus > 1 else 1, THREAD),
    }


def _blocks(gfns: int) -> int:
    """Blocks that a guest can reserve, up to a power of two."""
    return 1 << (gfns >> ORDER).bit_length()


def _no_vm() -> VM:
    """The outer VM of a VM that lies on the host itself."""
    return VM(
        record=np.zeros(1, VM_RECORD),
        ops=np.zeros(OPS, np.int64),
        private=Nothing(),
        frames=make_frames(1),
        contents=np.zeros(0, np.int64),
        block=np.zeros(0, np.int32),
        disk=make_disk(0),
        balloon=np.zeros(0, np.int32),
        used=np.zeros(0, np.int32),
        p2m=np.zeros(0, np.int64),
        sharer=np.zeros(0, np.int32),
        dirty=np.zeros(0, np.uint8),
        process=np.zeros(0, PROCESS),
        vma=np.zeros(0, VMA),
        **huge.make("fault", 1),
        reservation=np.zeros(1, RESERVATION),
        **_cpus(1),
    )


NO_VM = _no_vm()
