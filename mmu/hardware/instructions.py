"""The processor's instructions that change its translations, as software calls them."""

from __future__ import annotations

from mmulab.mmu.hardware import contexts, core, tlb, walk_caches
from mmulab.mmu.hardware.ops import Section
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import OK

_SECTION = Section(0, 16)

invlpg = _SECTION.op("invlpg", "gva", "INVLPG")
load_cr3 = _SECTION.op(
    "load_cr3", "frame pcid keep", "MOV to CR3; keep: its bit 63, translations stay valid"
)
flush_context = _SECTION.op(
    "flush_context", "", "drops the non-global translations of the current PCID"
)
flush_vpid = _SECTION.op(
    "flush_vpid", "", "INVEPT and INVVPID, single context: all translations of the vCPU's VPID"
)
flush_all = _SECTION.op("flush_all", "", "all translations of every kind")
enter_without_vpid = _SECTION.op(
    "enter_without_vpid",
    "",
    "VM entry of a VM without VPIDs: linear and combined translations go (Intel SDM vol. 3C, "
    "29.4.3.1)",
)


@kernel
def _invlpg(machine, gva):
    core.invlpg(machine.core, machine.vcpu, gva)
    return OK


@kernel
def _load_cr3(machine, frame, pcid, keep):
    core.load_cr3(machine.core, machine.vcpu, frame, pcid, keep)
    return OK


@kernel
def _flush_context(machine):
    core.flush_context(machine.core, machine.vcpu)
    return OK


@kernel
def _flush_vpid(machine):
    core.flush_vpid(machine.core, machine.vcpu)
    return OK


@kernel
def _flush_all(machine):
    core.flush_all(machine.core)
    contexts.renew_all(machine.core, machine.vcpu)
    return OK


@kernel
def _enter_without_vpid(machine):
    tlb.flush_all(machine.core)
    walk_caches.drop_linear(machine.core, machine.vcpu)
    return OK


link = _SECTION.linker(
    __name__,
    {
        "invlpg": _invlpg,
        "load_cr3": _load_cr3,
        "flush_context": _flush_context,
        "flush_vpid": _flush_vpid,
        "flush_all": _flush_all,
        "enter_without_vpid": _enter_without_vpid,
    },
)
