"""What telling other cores to drop translations costs, in cycles: of runs on several cores."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.common import DALL_2016

_LATR = (
    "Kumar et al., Latr, ASPLOS 2018, has munmap of one page on 16 cores of two sockets at some "
    "8 microseconds, and an IPI at 2.7 (figures as recalled: the paper's abstract alone was read)"
)

#: By name; a preset may override each. Those in VMs are beside the preset's `vm_exit`.
SHOOTDOWNS: dict[str, Cited] = {
    "shootdown": Cited(
        2500,
        "assumption: about 1 microsecond until the first core has answered, most of a single IPI's "
        "way there and back, spent waiting: an IPI between physical processors typically takes "
        f"less than that (QNX Hypervisor 7.0 User's Guide, Guest IPIs); {_LATR}. Low: half a "
        "microsecond at 2 GHz. High: Latr's 2.7 microseconds at 3 GHz",
        1000,
        8100,
    ),
    "ipi_send": Cited(
        700,
        "assumption: what each core adds for the one that waits, a write to its APIC and a cache "
        f"line that comes back: a quarter of a microsecond; {_LATR}. From a write alone to twice "
        "the likely value",
        200,
        1400,
    ),
    "ipi_receive": Cited(
        1200,
        "assumption: an interrupt's entry and return, 1,050 cycles as of a page fault on Haswell "
        "(`guest_fault`), and the function that it calls, without what it then flushes. From the "
        "500 of a processor with cheap entries to 3,000 where mitigations flush on entry",
        500,
        3000,
    ),
    "virtual_ipi": Cited(
        3900,
        "what a guest's IPI takes beyond an exit: a virtual IPI from one vCPU to another takes "
        f"5,230 cycles under x86 KVM ({DALL_2016}, table II, as recalled), of which `vm_exit` is "
        "1,300; 2.2 microseconds, 5,600 cycles, on a Xeon Skylake at 2.5 GHz (W. Li, KVM: X86: "
        'Implement "send IPI" hypercall, Linux commit 4180bf1b655a, Normal IPI of 100,000). '
        "Low: IPI virtualization, where the processor delivers it and there is no exit to emulate. "
        "High: assumption: twice the likely value",
        500,
        7800,
    ),
    "flush_hypercall": Cited(
        1500,
        "assumption: the VMM looks up the vCPUs that the guest names and marks each, as long as it "
        "takes to handle a null hypercall once more. From a third of it to thrice",
        500,
        4500,
    ),
    "kick": Cited(
        2500,
        "assumption: as `shootdown`: the VMM sends an IPI to a core that runs a vCPU, and waits "
        "until that has left the guest",
        1000,
        8100,
    ),
    "kicked": Cited(
        500,
        "assumption: INVEPT or INVVPID and the request's look-up, beside the exit. From 200 cycles "
        "to 2,000, as an interrupt's entry on the way",
        200,
        2000,
    ),
}
