"""State of a VM: guest memory, processes, mappings.

Links are an index + 1, so that untouched zeros mean none.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.structs import ArrayField, Private, Struct
from mmulab.mmu.memory.cpus import CPU, POST, THREAD
from mmulab.mmu.memory.huge import HUGE, PROMOTABLE, REGION
from mmulab.mmu.memory.state import Disk, Frames

#: Configuration and scalars of a VM.
VM_RECORD = np.dtype(
    [
        ("id", np.int64),
        ("identity", np.int64),  # 1: bare metal, a gfn is an hfn
        ("machine_frames", np.int64),  # 1: its page tables hold hfns, not gfns
        ("levels", np.int64),
        ("huge", np.int64),  # huge-page policy of the guest OS
        ("host_size", np.int64),  # page size that the VMM backs memory with
        ("pcid", np.int64),
        ("has_vpid", np.int64),
        ("current", np.int64),  # process that runs
        ("tracked", np.int64),  # 1: contents are followed: see hardware.contents
        ("filled", np.int64),  # bytes of the CONTENT event at hand that are done
        ("unique", np.int64),  # writes with contents of their own, so far
        ("tables", np.int64),  # gPT pages
        ("need", np.int64),  # host frames that must be free before the next event
        ("limit", np.int64),  # of its private host frames; 0: none
        ("guest_need", np.int64),  # guest frames that must be
        ("ballooned", np.int64),
        ("deflate_on_oom", np.int64),  # 1: the balloon gives way to a guest that is out of memory
        ("held", np.int64),  # gfns that host frames back, merged ones included
        ("merged", np.int64),
        ("paged_out", np.int64),
        ("host_tables", np.int64),  # page tables of the VMM
        ("hand_process", np.int64),  # the guest's page-out scan: where it goes on
        ("hand_gva", np.int64),
        ("shared_tables", np.int64),  # gPT pages on frames that other VMs may share
        ("logging", np.int64),  # how stores are logged by page: see vmm.dirty_log
        ("map_disk", np.int64),  # the VMM knows which pages equal blocks of the guest's disk
        ("hugetlb", np.int64),  # 1: its memory lies in pages of hugetlbfs: see host.hugetlb
        ("emulate_writes", np.int64),  # overwriting a page that is paged out reads nothing
        ("kernel_half", np.int64),  # 1 once a kernel address has been mapped
        ("reserves", np.int64),  # 1: its kernel allocates as guest.reservations has it
        ("reservations", np.int64),  # the first of those with frames left, + 1
        ("free_vma", np.int64),
        ("vmas_used", np.int64),
        ("processes_used", np.int64),
        # Of several vCPUs: see memory.cpus and guest.shootdown.
        ("posts", np.int64),  # in use
        ("gathering", np.int64),  # changes under way whose shootdowns are sent together
        ("targets", np.int64),  # of those, the vCPUs that must be told, as bits
        ("skipped", np.int64),  # those that need not be
        ("lazy", np.int64),  # of them, those that have the address space loaded
        ("freed_tables", np.int64),  # 1: page tables were freed
        ("flushed", np.int64),  # 1: others have been told to flush since the VMM was entered
        ("next_vcpu", np.int64),  # that the next event is of
        ("remote_flush", np.int64),  # how the guest tells its other vCPUs
        ("threads", np.int64),  # that have been placed
    ]
)

PROCESS = np.dtype(
    [
        ("pid", np.int64),
        ("alive", np.int64),
        ("cr3", np.int64),  # gfn of the top-level gPT page
        ("asid", np.int64),
        # By vCPU, as bits: its cached translations must go before it runs there.
        ("stale", np.int64),
        ("ran_on", np.int64),  # vCPUs that it has run on, as bits
        ("vma", np.int64),  # first VMA, + 1
        ("brk_base", np.int64),
        ("brk", np.int64),
        # Of Ingens, see guest.huge.ingens: where the scan goes on, and pages at the last sample.
        ("scan", np.int64),
        ("huge_pages", np.int64),
        ("idle_pages", np.int64),  # of those
        ("resident", np.int64),  # in regions
    ]
)

#: A virtual memory area; a process's form a list sorted by address.
VMA = np.dtype(
    [
        ("start", np.int64),  # first byte
        ("end", np.int64),  # first byte after
        ("prot", np.int64),
        ("size", np.int64),  # page size asked for, + 1; 0: the guest's policy decides
        ("next", np.int64),  # + 1
    ]
)

#: Frames set aside for a group of pages, by their block; see guest.reservations. Links are + 1.
RESERVATION = np.dtype(
    [
        ("process", np.int64),  # + 1
        ("group", np.int64),  # of pages: gva >> 15
        ("unused", np.int64),  # a bit for each page
        ("chain", np.int64),  # the next of its bucket
        ("next", np.int64),
        ("previous", np.int64),
        ("bucket", np.int64),  # first reservation of the bucket of this number
    ]
)

HUGE_NEVER, HUGE_2M, HUGE_1G, HUGE_ALIGNED = 0, 1, 2, 3  # huge-page policies


MAX_PROCESSES = 4000  # live at once; a PCID has 12 bits
MAX_VMAS = 1 << 17  # Linux allows one process 65,530 (vm.max_map_count)


EVERYWHERE = -1  # all vCPUs, as bits


class VM(Struct):
    record: np.ndarray  # [1]
    ops: np.ndarray  # [see techniques.seam]: addresses of the technique's hooks, the guest's code
    private: Struct  # what the technique keeps: a Struct of its own
    frames: Frames  # the guest's own: gfns
    contents: np.ndarray  # [gfns]: tag of what the guest last wrote: see hardware.contents
    block: np.ndarray  # [gfns]: block of the disk that a page was read from or written to, + 1
    disk: Disk
    balloon: np.ndarray  # [gfns]: the first `ballooned` are the balloon's
    used: np.ndarray  # [gfns]: entries in use in a gPT page
    p2m: np.ndarray  # [gfns]: see memory.p2m
    sharer: np.ndarray  # [gfns]: its node in Host.sharers; 0: it shares no frame
    dirty: np.ndarray  # [gfns]: 1: stored to since the log was last emptied; see vmm.dirty_log
    process: np.ndarray
    vma: np.ndarray
    huge: np.ndarray  # [1]: see memory.huge
    region: np.ndarray  # [gfns]; [1] where no policy asks for it
    promotable: np.ndarray  # [WAITING]; [1]
    reservation: np.ndarray  # [blocks of 8 gfns; a power of two]; [1] where it reserves nothing
    cpu: np.ndarray  # [vCPUs]
    post: np.ndarray  # [cpus.POSTS]: what other vCPUs must drop; [1] of one vCPU
    thread: np.ndarray  # [cpus.MAX_THREADS]: where threads run; [1] of one vCPU

    FIELDS = {
        "record": ArrayField(VM_RECORD),
        "ops": ArrayField(np.int64),
        "private": Private(),
        "frames": Frames,
        "contents": ArrayField(np.int64),
        "block": ArrayField(np.int32),
        "disk": Disk,
        "balloon": ArrayField(np.int32),
        "used": ArrayField(np.int32),
        "p2m": ArrayField(np.int64),
        "sharer": ArrayField(np.int32),
        "dirty": ArrayField(np.uint8),
        "process": ArrayField(PROCESS),
        "vma": ArrayField(VMA),
        "huge": ArrayField(HUGE),
        "region": ArrayField(REGION),
        "promotable": ArrayField(PROMOTABLE),
        "reservation": ArrayField(RESERVATION),
        "cpu": ArrayField(CPU),
        "post": ArrayField(POST),
        "thread": ArrayField(THREAD),
    }
