"""vCPUs as their VM's software knows them: what each has loaded, and what others owe it.

On bare metal, the processors that its OS knows. Sets of vCPUs are whole numbers, a bit for each.
"""

from __future__ import annotations

import numpy as np

POSTS = 4096  # that wait to be delivered: an assumption; a flush of everything stands for more
MAX_THREADS = 4096  # that are placed one by one: an assumption; others go by their number

CPU = np.dtype(
    [
        ("process", np.int64),  # whose address space is loaded; NIL: none
        ("threads", np.int64),  # that are placed on it
        ("idle", np.int64),  # 1: no thread of it runs: its TLB is lazy
        ("off", np.int64),  # 1: it waits for a pCPU that runs another VM's vCPU
        ("owes", np.int64),  # 1: it drops all of its translations before it runs
        # Counts.
        ("shootdowns", np.int64),  # changes that others had to be told of
        ("ipis_sent", np.int64),
        ("ipis_received", np.int64),
        ("ipis_skipped", np.int64),  # vCPUs that need not be told: another address space, or idle
        ("flushes_left", np.int64),  # to a vCPU's next entry, which does not run now
        ("flush_hypercalls", np.int64),
        ("remote_flushes", np.int64),  # changes by the VMM that vCPUs had to be kicked for
        ("kicks_sent", np.int64),
        ("kicks_received", np.int64),
        ("waited_for", np.int64),  # a set: vCPUs that did not run when it sent them an IPI
    ]
)

#: Those of CPU that count, by the names of results.
COUNTS = (
    "shootdowns", "ipis_sent", "ipis_received", "ipis_skipped", "flushes_left",
    "flush_hypercalls", "remote_flushes", "kicks_sent", "kicks_received",
)  # fmt: skip

#: What vCPUs must drop: a page, or a process's translations, for pages from gva to end.
POST = np.dtype(
    [
        ("process", np.int64),
        ("whole", np.int64),
        ("gva", np.int64),
        ("end", np.int64),
        ("targets", np.int64),  # a set
    ]
)

#: Where a thread runs. A slot whose pid is 0 is free, and tid is 0 where the trace tells none.
THREAD = np.dtype([("pid", np.int64), ("tid", np.int64), ("vcpu", np.int64)])

#: How a guest tells its other vCPUs: by an IPI; by an IPI, but those that do not run flush when
#: they are entered (Linux, arch/x86/kernel/kvm.c, kvm_flush_tlb_multi()); by a hypercall for all
#: (Hyper-V, HvCallFlushVirtualAddressSpace; Xen, MMUEXT_INVLPG_MULTI).
REMOTE_FLUSHES = (IPI, PREEMPTED, HYPERCALL) = ("ipi", "preempted", "hypercall")
BY_IPI, BY_IPI_IF_RUNNING, BY_HYPERCALL = 0, 1, 2
