"""Where the guest OS is entered: compiled once for all techniques, called by address."""

from __future__ import annotations

from mmulab.mmu.guest.faults import page_fault
from mmulab.mmu.guest.process import handle
from mmulab.mmu.techniques.technique import linker

#: Writes the guest OS's addresses into `VM.ops`.
link = linker(__name__, {"guest_event": handle, "guest_fault": page_fault})
