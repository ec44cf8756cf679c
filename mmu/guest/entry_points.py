"""Where the guest OS is entered: compiled once for all techniques, called by address."""

from __future__ import annotations

from mmulab.mmu.guest.faults import page_fault
from mmulab.mmu.guest.process import handle
from mmulab.mmu.techniques.seam import SERVICE_SECTION

#: Writes the guest OS's addresses into `VM.ops`, and devices that do nothing.
link = SERVICE_SECTION.linker(
    __name__, {**SERVICE_SECTION.defaults, "guest_event": handle, "guest_fault": page_fault}
)
