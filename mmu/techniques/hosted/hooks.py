"""What a hosted VMM does: nested paging's or shadow paging's hooks, by its `mmu`."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.hosted import process as host
from mmulab.mmu.techniques.hosted.process import SHADOW, WORLD_SWITCHES, state_of
from mmulab.mmu.techniques.shadow import hooks as shadow

_touch, _read, _fault, _store = (nested.HOOKS[name] for name in ("touch", "read", "fault", "store"))
_drop_mapping, _is_mapped, _was_accessed = (
    nested.HOOKS[name] for name in ("drop_mapping", "is_mapped", "was_accessed")
)


@inlined
def _is_shadow(machine):
    return state_of(machine).mode[0] == SHADOW


@kernel
def start(machine):
    status = host.admit(machine)
    if status != OK or _is_shadow(machine):
        return status
    return nested.make_root(machine)


@kernel
def stop(machine):
    host.end(machine)
    return shadow.stop(machine) if _is_shadow(machine) else nested.stop(machine)


@kernel
def touch(machine, gfn):
    return shadow.touch(machine, gfn) if _is_shadow(machine) else _touch(machine, gfn)


@kernel
def read(machine, gfn):
    return shadow.read(machine, gfn) if _is_shadow(machine) else _read(machine, gfn)


@kernel
def new_root(machine, process, cr3):
    return shadow.new_root(machine, process, cr3) if _is_shadow(machine) else OK


@kernel
def table_freed(machine, gfn):
    return shadow.table_freed(machine, gfn) if _is_shadow(machine) else OK


@kernel
def store(machine, table, index, entry):
    if _is_shadow(machine):
        return shadow.store(machine, table, index, entry)
    return _store(machine, table, index, entry)


@kernel
def invlpg(machine, gva):
    return shadow.invlpg(machine, gva) if _is_shadow(machine) else instructions.invlpg(machine, gva)


@kernel
def load_cr3(machine, process, keep):
    if _is_shadow(machine):
        return shadow.load_cr3(machine, process, keep)
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)


@kernel
def fault(machine, status, gva, kind, user):
    if _is_shadow(machine):
        return shadow.fault(machine, status, gva, kind, user)
    return _fault(machine, status, gva, kind, user)


@kernel
def drop_mapping(machine, gfn):
    return shadow.drop_mapping(machine, gfn) if _is_shadow(machine) else _drop_mapping(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    return shadow.is_mapped(machine, gfn) if _is_shadow(machine) else _is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    return shadow.was_accessed(machine, gfn) if _is_shadow(machine) else _was_accessed(machine, gfn)


@kernel
def world_in(machine):
    """The host's scheduler runs the process, whose driver switches to the VMM's world."""
    machine.vcpu.own[WORLD_SWITCHES] += 1
    return OK


@kernel
def world_out(machine):
    machine.vcpu.own[WORLD_SWITCHES] += 1
    return OK
