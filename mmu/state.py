"""The state of a simulated machine: flat arrays in Structs, scalars in records.

    Machine = Core (one processor core) + Host (frames, table contents) + VM

Kernels take these and change the arrays in place. `mmu.machine` makes them from
a configuration. Nothing here has behaviour.
"""

from __future__ import annotations

import numpy as np

from mmu.structs import ArrayField, Struct
from mmu.vm_records import PROCESS, REVERSE, SHADOW_PAGE, VM_RECORD, VMA

# --- What a kernel returns ------------------------------------------------------
OK = 0
PAGE_FAULT = 1  # the guest's page table has no such translation: #PF
EPT_VIOLATION = 2  # the nested page table has none
OUT_OF_HOST_FRAMES = 3
OUT_OF_GUEST_FRAMES = 4
OUT_OF_TABLES = 5  # no room for the contents of one more page-table page
OUT_OF_PROCESSES = 6
OUT_OF_VMAS = 7
NO_SUCH_PROCESS = 8
LIVELOCK = 9  # the same access faults over and over: a bug in a technique
OUT_OF_REVERSE_MAPS = 10
OUT_OF_DISK = 11  # a guest's disk is full
# Not failures, but what Python carries out before the kernel goes on:
GUEST_SHORT = 12  # the guest must page out before it can begin what it was about to do
GUEST_PAGED_OUT = 13  # the guest has paged out the page that was accessed
CONTENT_DUE = 14  # a CONTENT event
CLOCK_LATE = 15  # time stamps must begin anew: see hardware.clocks

NIL = -1  # no frame, no slot, no unit

# --- Hardware -------------------------------------------------------------------
NATIVE, SHADOW, NESTED = 0, 1, 2  # ids of the techniques

LRU, FIFO, PLRU, RANDOM = 0, 1, 2, 3  # replacement policies; the first two go by age

#: Registers of the core, and the numbers of the last fault.
REGS = np.dtype(
    [
        ("cr3", np.int64),  # frame of the top-level table: an hfn, or a gfn under EPT
        ("levels", np.int64),  # 4 or 5
        ("eptp", np.int64),  # hfn of the top-level nested table; NIL: EPT is off
        ("ept_levels", np.int64),
        ("ept_ad", np.int64),  # EPT A and D bits in use
        ("asid", np.int64),  # ASID/PCID that TLB entries are tagged with
        ("vpid", np.int64),
        ("clock", np.int64),  # of L1 TLBs, in half accesses; may begin anew: see hardware.clocks
        ("globals", np.int64),  # 1 once a global entry has been filled
        ("fragments", np.int64),  # 1 once a page has been filled in smaller pieces
        ("logging", np.int64),  # number of log records in use; NIL: the log is off
        ("fault_gva", np.int64),
        ("fault_gpa", np.int64),
        ("fault_code", np.int64),  # page-fault error code
        ("touch", np.int64),  # what an L1 hit updates: see hardware.core
        ("noted", np.int64),  # references to be priced; none between two runs
        ("walked", np.int64),  # 1 once there has been a walk: see mmu.lookahead
        ("tracking", np.int64),  # 1: stores are marked in Memory.written
    ]
)

#: One set-associative structure: a TLB, a paging-structure cache, the nested TLB.
UNIT = np.dtype(
    [
        ("base", np.int64),  # its first slot
        ("sets", np.int64),
        ("ways", np.int64),
        ("stride", np.int64),  # slots from one set to the next
        ("policy", np.int64),
        ("clock", np.int64),  # in touches; may begin anew: see hardware.clocks
        ("random", np.int64),  # state of the xorshift generator
        ("tree", np.int64),  # its first tree-PLRU word
        ("sizes", np.int64),  # page sizes it holds, as bits; 0: it is not a TLB
        ("hits", np.int64),
        ("misses", np.int64),
    ]
)

#: The way to a unit, with the part of its geometry that a search needs: what a search
#: reads lies together, at a place that is known when the kernel is compiled.
ROUTE = np.dtype(
    [
        ("unit", np.int64),  # NIL: none serves this
        ("used", np.int64),  # 1 once something has been filled by this way
        ("base", np.int64),
        ("set_mask", np.int64),  # sets - 1
        ("stride", np.int64),
        ("oldest", np.int64),  # slot of the set last looked into in vain: see assoc.look_up
    ]
)

#: One level of the cache model.
CACHE = np.dtype(
    [
        ("base", np.int64),  # its first slot of Core.line, or of Core.long_line
        ("set_mask", np.int64),  # sets - 1
        ("stride", np.int64),  # slots from one set to the next
        ("ways", np.int64),  # 0: there is no such level
        ("short", np.int64),  # 1: it is in Core.line
    ]
)

#: Where the leaf table of a region lies: see mmu.lookahead.
HINT = np.dtype([("region", np.int64), ("slot", np.int64)])

# Rows of `Core.route`: what is looked for; see `hardware.assoc.route_to`.
ROUTE_L1I, ROUTE_L1D, ROUTE_L2I, ROUTE_L2D = 0, 1, 2, 3  # column: page size
ROUTE_PSC, ROUTE_EPT_PSC = 4, 5  # column: level of the table entry that is cached
ROUTE_NTLB = 6  # column 0
ROUTE_ROWS, ROUTE_COLUMNS = 7, 6

CACHE_LEVELS = 4  # three cache levels and memory
REFERENCES = (6, 6, CACHE_LEVELS)  # guest level, host level, cache level

PREDICTOR_BITS = 8
PREDICTOR_SIZE = 8 << PREDICTOR_BITS  # kinds, straddling included

#: One memory reference of a page walk, as `mmulab walk` prints it.
LOG = np.dtype(
    [
        ("guest_level", np.int64),  # 0: the nested walk of the data page itself
        ("host_level", np.int64),  # 0: a reference to the guest's (or only) table
        ("address", np.int64),  # HPA of the entry
        ("entry", np.int64),
        ("cache", np.int64),  # cache level that served it
    ]
)

#: What happened, counted. `mmu.cost` turns counts into cycles.
STATS = np.dtype(
    [
        ("l1_misses", np.int64, 3),  # by kind: LOAD, STORE, FETCH
        ("l2_hits", np.int64, 3),
        ("walks", np.int64, 3),  # completed walks, faulting ones included
        ("dirty_walks", np.int64),  # walks again because a D bit was clear
        ("splintered", np.int64),  # fills smaller than the guest's leaf
        ("ntlb_hits", np.int64),
        ("guest_faults", np.int64),  # #PF that the guest OS handled
        ("demand_fills", np.int64),
        ("cow_breaks", np.int64),
        ("granted", np.int64),  # faults against the trace's own mappings, granted
        ("pages_zeroed", np.int64),  # in 4 KiB units
        ("pages_copied", np.int64),
        ("pte_writes", np.int64),  # by the guest, trapped or not
        ("invlpgs", np.int64),
        ("cr3_loads", np.int64),
        ("exits", np.int64, 8),  # by reason, EXIT_*
        ("shadow_fills", np.int64),
        ("synced_entries", np.int64),
        ("unsynced_pages", np.int64),
        ("unshadowed_pages", np.int64),
        ("host_copies", np.int64),  # merged pages that a store gave a frame of its own
        ("host_swap_ins", np.int64),
        ("host_swap_outs", np.int64),
        ("host_drops", np.int64),  # reclaimed without a write: the guest's disk has the page
        ("host_refetches", np.int64),  # dropped pages read back from the guest's disk
        ("guest_swap_ins", np.int64),
        ("guest_swap_outs", np.int64),
        ("guest_drops", np.int64),  # pages evicted unchanged, that need no write
        ("silent_swap_writes", np.int64),
        ("stale_swap_reads", np.int64),
        ("false_swap_reads", np.int64),
        ("double_faults", np.int64),  # host reads of what the guest was about to page out
    ]
)

# VM exits by reason.
EXIT_EPT_VIOLATION = 0
EXIT_SHADOW_FILL = 1  # hidden page fault: the sPT lacked what the gPT has
EXIT_REFLECTED = 2  # true guest page fault, injected
EXIT_PTE_WRITE = 3  # write to a write-protected gPT page
EXIT_INVLPG = 4
EXIT_CR3 = 5
EXIT_BACKING = 6  # shadow: the guest kernel touched a page with no host frame yet
EXIT_REASONS = (
    "ept_violation",
    "shadow_fill",
    "reflected_fault",
    "pte_write",
    "invlpg",
    "cr3_load",
    "backing",
)


class Core(Struct):
    """One processor core.

    Slots of all units lie one after another; no page is ever in slot 0.
    A TLB slot's data has the layout of an x86 leaf entry whose frame is an hfn.
    L1 TLB slots have beside them the pages they span: vpn & span == first.
    """

    regs: np.ndarray  # [1]
    stats: np.ndarray  # [1]
    references: np.ndarray  # [guest level, host level, cache level], flat: see REFERENCES
    log: np.ndarray  # [records]
    unit: np.ndarray  # [units]
    route: np.ndarray  # [ROUTE_ROWS * ROUTE_COLUMNS]
    tag: np.ndarray  # [slots]
    digest: np.ndarray  # [slots]: of tags, see hardware.assoc
    age: np.ndarray  # [slots]
    data: np.ndarray  # [slots]
    tree: np.ndarray  # [sets of all units]: tree-PLRU bits
    owner: np.ndarray  # [L1 slots]: the unit of a slot
    first: np.ndarray  # [L1 slots]
    span: np.ndarray  # [L1 slots]
    hint: np.ndarray  # [2 * lookahead.HINTS]: of guest or shadow tables, of nested ones
    cache: np.ndarray  # [CACHE_LEVELS - 1]
    line: np.ndarray  # [lines of cache levels with short ones]: see hardware.caches
    long_line: np.ndarray  # [lines of the others]
    noted: np.ndarray  # [references]: to be priced, the first REGS.noted
    predictor: np.ndarray  # [PREDICTOR_SIZE]: L1 slot by kind and low page bits

    FIELDS = {
        "regs": ArrayField(REGS),
        "stats": ArrayField(STATS),
        "references": ArrayField(np.int64),
        "log": ArrayField(LOG),
        "unit": ArrayField(UNIT),
        "route": ArrayField(ROUTE),
        "tag": ArrayField(np.int64),
        "digest": ArrayField(np.int32),
        "age": ArrayField(np.int32),
        "data": ArrayField(np.int64),
        "tree": ArrayField(np.int64),
        "owner": ArrayField(np.int64),
        "first": ArrayField(np.int64),
        "span": ArrayField(np.int64),
        "hint": ArrayField(HINT),
        "cache": ArrayField(CACHE),
        "line": ArrayField(np.int32),
        "long_line": ArrayField(np.int64),
        "noted": ArrayField(np.int64),
        "predictor": ArrayField(np.int32),
    }


# --- Frames ---------------------------------------------------------------------
MAX_ORDER = 18  # 1 GiB of 4 KiB frames

# What a frame is used for.
FREE, GUEST_PAGE, GPT_PAGE, SPT_PAGE, NPT_PAGE, MERGED_PAGE, BALLOON_PAGE = 0, 1, 2, 3, 4, 5, 6
FRAME_KINDS = ("free", "guest page", "gPT", "sPT", "nPT", "merged page", "balloon")

#: One frame of an address space. All zero: never touched.
FRAME_RECORD = np.dtype(
    [
        ("next", np.int32),  # free list links, frame + 1; 0: none
        ("previous", np.int32),
        ("references", np.int32),
        ("order", np.int8),  # of the block that begins here, + 1; 0: none does
        ("kind", np.int8),
        ("owner", np.int16),
        ("reverse", np.int64),  # reverse map: the gfn, or (process, vpn) below, + 1
    ]
)


class Frames(Struct):
    """A buddy allocator over one physical address space."""

    frame: np.ndarray  # [frames]
    free: np.ndarray  # [MAX_ORDER + 1]: first free block by order, + 1
    counts: np.ndarray  # total, in use, watermarks, in use by kind: see mmu.frames

    FIELDS = {
        "frame": ArrayField(FRAME_RECORD),
        "free": ArrayField(np.int64),
        "counts": ArrayField(np.int64),
    }


class Memory(Struct):
    """What host frames hold: entries, where they hold page tables; else a tag.

    Tags are followed only where REGS.tracking says so (`mmu.contents`).
    """

    entry: np.ndarray  # [(1 + tables) * 512]
    table: np.ndarray  # [host frames]: which table a frame holds; 0: none
    spare: np.ndarray  # [tables + 2]: count in use, count of spares, spares
    contents: np.ndarray  # [host frames]: tag of what a frame holds
    written: np.ndarray  # [host frames]: 1: stored to since its tag was last looked at

    FIELDS = {
        "entry": ArrayField(np.int64),
        "table": ArrayField(np.int32),
        "spare": ArrayField(np.int64),
        "contents": ArrayField(np.int64),
        "written": ArrayField(np.uint8),
    }


#: Scalars of a disk, in blocks of 4 KiB.
DISK_RECORD = np.dtype(
    [
        ("used", np.int64),
        ("hand", np.int64),  # where the search for a free block goes on
        ("reads", np.int64),
        ("writes", np.int64),
        ("sequential", np.int64),  # reads and writes of the block after the last one
        ("last", np.int64),  # last block read or written
    ]
)


class Disk(Struct):
    """A disk by blocks of a page: the host's swap device, or a guest's own disk."""

    record: np.ndarray  # [1]
    contents: np.ndarray  # [blocks]: tag of what a block holds
    references: np.ndarray  # [blocks]: 0: free

    FIELDS = {
        "record": ArrayField(DISK_RECORD),
        "contents": ArrayField(np.int64),
        "references": ArrayField(np.int32),
    }


class Host(Struct):
    frames: Frames
    memory: Memory
    swap: Disk

    FIELDS = {
        "frames": Frames,
        "memory": Memory,
        "swap": Disk,
    }


# --- Guest and VMM --------------------------------------------------------------
HUGE_NEVER, HUGE_2M, HUGE_1G, HUGE_ALIGNED = 0, 1, 2, 3  # huge-page policies


class VM(Struct):
    record: np.ndarray  # [1]
    frames: Frames  # the guest's own: gfns
    contents: np.ndarray  # [gfns]: tag of what the guest last wrote: see mmu.contents
    block: np.ndarray  # [gfns]: block of the disk that a page was read from or written to, + 1
    disk: Disk
    balloon: np.ndarray  # [gfns]: the first `ballooned` are the balloon's
    used: np.ndarray  # [gfns]: entries in use in a gPT page
    p2m: np.ndarray  # [gfns]: see vmm.p2m
    process: np.ndarray
    vma: np.ndarray
    shadow: np.ndarray  # page 0 is not used
    shadowed: np.ndarray  # [gfns]: shadow page of a gPT page; 0: none
    spte_gfn: np.ndarray  # [shadow pages * 512]: the gfn that a leaf sPTE maps
    reverse_head: np.ndarray  # [gfns]: first node; 0: none
    reverse: np.ndarray  # node 0 is not used

    FIELDS = {
        "record": ArrayField(VM_RECORD),
        "frames": Frames,
        "contents": ArrayField(np.int64),
        "block": ArrayField(np.int32),
        "disk": Disk,
        "balloon": ArrayField(np.int32),
        "used": ArrayField(np.int32),
        "p2m": ArrayField(np.int64),
        "process": ArrayField(PROCESS),
        "vma": ArrayField(VMA),
        "shadow": ArrayField(SHADOW_PAGE),
        "shadowed": ArrayField(np.int32),
        "spte_gfn": ArrayField(np.int32),
        "reverse_head": ArrayField(np.int32),
        "reverse": ArrayField(REVERSE),
    }


class Machine(Struct):
    core: Core
    host: Host
    vm: VM

    FIELDS = {
        "core": Core,
        "host": Host,
        "vm": VM,
    }
