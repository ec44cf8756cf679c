"""Puts dumped page tables in place of the simulated guest's, before its program begins.

The guest's tables lie in the frames that the dump says; what a line maps is mapped readable,
writable and executable, and copied on write where two lines have one frame. Of the host's dump
the frames behind the guest's count: each technique makes its own tables of them, so that the
dump's PE1 to PE4 are checked, and not used. Host frames are renumbered: nothing goes by their
numbers but whether they lie side by side. Memory that no line maps is the guest kernel's, as ever.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.guest.dumped import map_lines
from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.hardware.walks.segments import PHYSICAL
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine import dumps
from mmulab.mmu.machine.failures import failure_text
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.specs import Spec


def read(config: Config) -> tuple[dumps.Dump, dumps.Dump | None]:
    """The dumps of a configuration that has some. Raises InputError."""
    if not config.guest_tables:
        raise InputError("--host-tables needs --guest-tables: of what the host's tables map")
    if config.levels != dumps.LEVELS or config.page_size != "4k":
        raise InputError("--guest-tables: dumps are of 4 levels and 4k pages")
    guest = dumps.read(config.guest_tables, "VA")
    return guest, dumps.read(config.host_tables, "GPA") if config.host_tables else None


def fitted(config: Config, spec: Spec) -> Config:
    """The configuration, with as much memory as its dumps need. Raises InputError."""
    if not (config.guest_tables or config.host_tables):
        return config
    if not spec.technique.dumps:
        raise InputError(
            f"technique {spec.name}: it makes tables of its own, and cannot run over dumped ones"
        )
    guest, host = read(config)
    most = max(int(guest.frame.max()), int(host.page.max()) if host else 0)
    return replace(config, memory=max(config.memory, (most + 1 + (1 << 13)) << 12))


@entry
def _back(machine: Machine, gfn, place, count):
    """Backs guest frames by a run of `count` frames, each at its place in it. Returns a status."""
    vm, host = machine.vm, machine.host.frames
    base = take_small_run(host, count, GUEST_PAGE, vm.record[0].id)
    if base == NIL:
        return NOT_CONTIGUOUS
    for number in range(gfn.size):
        one = gfn[number]
        if vm.p2m[one] == 0:
            hfn = base + place[number]
            vm.p2m[one] = (hfn + 1) << 2
            host.frame[hfn].reverse = one + 1
            vm.record[0].held += 1
            contents.write(machine, one, 0)
    for hfn in range(base, base + count):
        if host.frame[hfn].reverse == 0:
            frames.release(host, hfn)
    return OK


@entry
def _use_all(machine: Machine, gfn):
    """All guest frames are mapped, accessed and dirty. Returns a status."""
    for one in gfn:
        status = seam.touch(machine, one)
        if status != OK:
            return status
    return seam.adopted(machine)


def load(machine: Machine, config: Config, technique: str) -> None:
    """Raises InputError or RunError where the dumps do not fit."""
    guest, host = read(config)

    def must(status: int) -> None:
        if status != OK:
            why = failure_text(status, machine)
            raise RunError(f"{technique}: dumped tables: {why}")

    gfn = np.zeros(0, np.int64)
    # Bare metal, and what stands for it, has no use for a host's.
    in_segment = machine.vcpu.regs[0]["segment_end"][PHYSICAL] > 0
    of_host = not machine.vm.record[0]["identity"] and not in_segment
    if host and of_host:
        gfn, place = dumps.frames_of(guest, host)
        must(_back(machine, gfn, place, int(place.max()) + 1))
    pa = guest.frame[:, dumps.LEVELS]
    _, which, times = np.unique(pa, return_inverse=True, return_counts=True)
    shared = times[which] > 1
    status, row = map_lines(machine, guest.page, guest.frame, shared)
    if row >= 0:
        line = int(guest.line[row])
        raise InputError(f"{guest.name}, line {line:,}: a frame of it is the guest kernel's own")
    must(status)
    must(_use_all(machine, np.ascontiguousarray(gfn)))
