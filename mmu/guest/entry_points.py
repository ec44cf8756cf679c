"""Where the guest OS is entered: compiled once for all techniques, called by address."""

from __future__ import annotations

from mmulab.mmu.guest.faults import page_fault
from mmulab.mmu.guest.process import handle
from mmulab.mmu.techniques.seam import SERVICES

#: Writes the guest OS's addresses into `VM.ops`, and devices that do nothing.
link = SERVICES.linker(
    __name__, {**SERVICES.defaults, "guest_event": handle, "guest_fault": page_fault}
)
