"""Why a kernel stopped: failures, and what it asks of Python before it goes on."""

from __future__ import annotations

NIL = -1  # no frame, no slot, no unit

OK = 0

# --- Faults: the hardware stopped, and software mends them ----------------------
PAGE_FAULT = 1  # the guest's page table has no such translation: #PF
EPT_VIOLATION = 2  # the nested page table has none
PML_FULL = 17  # the log of pages whose D bit was set has no room for one more

# --- Failures: the run ends ------------------------------------------------------
OUT_OF_HOST_FRAMES = 3  # where the host can page, it makes room and the kernel goes on
OUT_OF_GUEST_FRAMES = 4
OUT_OF_TABLES = 5  # no room for the contents of one more page-table page
OUT_OF_PROCESSES = 6
OUT_OF_VMAS = 7
NO_SUCH_PROCESS = 8
LIVELOCK = 9  # the same access faults over and over: a bug in a technique
OUT_OF_STATE = 10  # what a technique keeps for itself is full
OUT_OF_DISK = 11  # a guest's disk is full
FOREIGN_FRAME = 17  # a guest that may name the host's frames has named one that is not its own
REFUSED_BY_HOST = 18  # the host OS gives no process so much memory
NOT_CONTIGUOUS = 16  # the host has no free run of frames as long as a technique needs one

# --- Requests: Python carries them out, and the kernel goes on -------------------
GUEST_SHORT = 12  # the guest must page out before it can begin what it was about to do
GUEST_PAGED_OUT = 13  # the guest has paged out the page that was accessed, or is filled
CLOCK_LATE = 15  # time stamps must begin anew: see hardware.clocks
OTHER_VCPU = 19  # the next event is of another vCPU: see guest.placement
POSTS_DUE = 20  # other vCPUs must drop translations first: see guest.shootdown
