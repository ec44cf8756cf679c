"""State of the hardware: registers, TLBs, walk caches, cache model; and the machine.

Flat arrays in Structs, scalars in records. Nothing here has behaviour.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.vm import VM

# --- Hardware -------------------------------------------------------------------
LRU, FIFO, PLRU, RANDOM = 0, 1, 2, 3  # replacement policies; the first two go by age

MAX_TEAS = 16

#: Pages that one TLB miss has fetched ahead at most: their walks and its own fit into what
#: `caches.MOST_OF_A_WALK` has room for.
MOST_PREDICTED = 4

#: Registers of a vCPU, and the numbers of its last fault.
REGS = np.dtype(
    [
        ("cr3", np.int64),  # frame of the top-level table: an hfn, or a gfn under nested paging
        ("guest_cr3", np.int64),  # of agile paging: see walks.agile
        ("levels", np.int64),  # 3 to 5
        ("root", np.int64),  # hfn of the top-level nested table (EPTP); NIL: none
        ("root_levels", np.int64),
        ("root_ad", np.int64),  # A and D bits of the nested table in use
        ("physical_bits", np.int64),  # of a guest-physical address
        # 1: the walker may store to the table that it located last: see walks.second_stage.
        ("storable", np.int64),
        ("pml", np.int64),  # 1: pages whose D bit is set are logged: see hardware.pml
        ("pml_index", np.int64),  # of the next entry of the log, downwards
        ("pcid", np.int64),
        ("vpid", np.int64),
        ("number", np.int64),  # of the vCPU in its VM
        # Segments, of linear addresses and of guest-physical ones: see walks.segments.
        ("segment_start", np.int64, 2),  # first frame
        ("segment_end", np.int64, 2),  # first frame after; no segment where it is not above start
        ("segment_offset", np.int64, 2),  # what a frame's number is moved by
        # A TLB in memory: see walks.pom_tlb.
        ("area", np.int64, 2),  # first frame of each area
        ("area_sets", np.int64),  # of an area
        ("area_used", np.int64),  # areas that have had an entry, as bits
        ("area_pieces", np.int64),  # 1: a page has been put there in smaller pieces
        ("void", np.int64),  # generations up to this one are not valid: see hardware.contexts
        # Where upper tables of merged pairs lie, of both: see walks.flattened.
        ("directory_start", np.int64, 2),  # first frame
        ("directory_end", np.int64, 2),  # first frame after; there are none where it is 0
        ("leaf_shift", np.int64),  # log2 of a leaf's bytes, beyond 3: see walks.sagepte
        ("ranges", np.int64),  # of the process that runs: see hardware.range_tlb
        # Numbers of what TLB entries are tagged with: see hardware.contexts.
        ("context", np.int64),  # of this VPID and PCID
        ("global_context", np.int64),  # of this VPID's global pages
        ("physical_context", np.int64),  # of guest-physical addresses
        ("space", np.int64),  # whose lines there are: see hardware.lines
        ("vm_space", np.int64),
        ("fault_gva", np.int64),
        ("fault_gpa", np.int64),
        ("fault_code", np.int64),  # page-fault error code
        # Translation entry areas, the guest's and the host's: see walks.dmt.
        ("tea_start", np.int64, MAX_TEAS),  # first page of what one maps
        ("tea_end", np.int64, MAX_TEAS),  # first page after; no area where it is 0
        ("tea_level", np.int64, MAX_TEAS),  # of the tables in it
        ("tea_base", np.int64, MAX_TEAS),  # first frame
        ("tea_host", np.int64, MAX_TEAS),  # hfn of it; NIL: the host's table says
        ("host_tea", np.int64, 2),  # first hfn of the host's tables of levels 1 and 2; NIL: none
        # Of an access that has faulted and begins again: see hardware.lookups.
        ("looked_up", np.int64),  # which of its pages have been looked up, as bits
        ("owed", np.int64),  # where they missed, two bits a page
    ]
)

#: What belongs to a core, whoever runs on it.
CORE_RECORD = np.dtype(
    [
        ("clock", np.int64),  # of L1 TLBs, in half accesses; may begin anew: see hardware.clocks
        ("globals", np.int64),  # 1 once a global entry has been filled
        ("fragments", np.int64),  # 1 once a page has been filled in smaller pieces
        ("logging", np.int64),  # number of log records in use; NIL: the log is off
        ("touch", np.int64),  # what an L1 hit updates: see hardware.replay
        # Of caches: see hardware.caches.
        ("noted", np.int64),  # lines to be priced; none between two runs
        ("position", np.int64),  # in the chunk, of the access at hand
        ("step", np.int64),  # of a walk, and lane, in place: see caches.begin_step; 0: none
        ("steps", np.int64),  # number of the last step
        ("taken", np.int64),  # lines of the program that the chunk has had so far
        ("data", np.int64),  # 1: the program's lines go through the caches
        ("levels", np.int64),
        ("enter", np.int64),  # level that walks look into first
        ("next_line", np.int64),  # prefetchers: 1 where there is such a one
        ("adjacent_line", np.int64),
        ("stream", np.int64),
        ("final_uncached", np.int64),  # 1: the walk of the page itself asks no walk cache
        ("walked", np.int64),  # 1 once there has been a walk: see hardware.fetch_ahead
        ("predicts", np.int64),  # 1: there may be predictions, see hardware.replay
        # Of TLB entries for groups of pages: see walks.coalescing.
        ("coalescing", np.int64),  # log2 of the pages of a group; 0: there are none
        ("guest_leaf", np.int64),  # slot of the leaf of the last walk, of the guest's table
        ("nested_leaf", np.int64),  # and of the nested one
        ("nested_level", np.int64),  # its level
        # Of TLB prefetch: see hardware.tlb_prefetch.
        ("prefetch", np.int64),  # how pages are predicted; 0: not at all
        ("prefetch_degree", np.int64),  # pages that follow one, of sequential prefetch
        ("prefetch_slots", np.int64),  # distances that a row of the distance table predicts
        ("misses_known", np.int64),  # 0, 1, or 2: the last page that missed, and its distance
        ("last_missed", np.int64),
        ("last_distance", np.int64),
        ("predicted", np.int64, MOST_PREDICTED),  # pages
        ("tracking", np.int64),  # 1: stores are marked in Memory.written
        ("contexts", np.int64),  # in use
        ("range_clock", np.int64),  # uses of the range TLB; 0: none yet
        ("generations", np.int64),  # of contexts, so far
        # Of hits of L1 arrays: see hardware.lookups.
        ("joined", np.int64),  # 1: instructions and data share an array
        ("derived", np.int64, 2),  # by group: the array whose hits are not counted, NIL: none yet
        ("mixed", np.int64),  # arrays whose hits are
        ("packed", np.int64),  # those hits
    ]
)

#: What a TLB entry is tagged with: see hardware.contexts.
CONTEXT = np.dtype(
    [
        ("used", np.int64),
        ("vpid", np.int64),
        ("pcid", np.int64),
        ("root", np.int64),
        ("generation", np.int64),  # since it was last flushed
    ]
)

#: A row of the distance table: see hardware.tlb_prefetch.
DISTANCE = np.dtype(
    [
        ("distance", np.int64),
        ("used", np.int64),  # 1: it has one
        ("count", np.int64),  # of those that followed it
        ("next", np.int64, MOST_PREDICTED),  # them, the latest first
    ]
)

#: A range of pages, in a process's table; and in the range TLB. See hardware.range_tlb.
RANGE = np.dtype([("start", np.int64), ("end", np.int64), ("offset", np.int64)])
RANGE_ENTRY = np.dtype(
    [
        ("context", np.int64),
        ("start", np.int64),  # first page
        ("end", np.int64),  # first page after
        ("offset", np.int64),  # from a page's number to its gfn
        ("below", np.int64),  # from its gfn to its hfn
        ("stamp", np.int64),  # of its last use; 0: invalid
    ]
)
RANGE_ENTRIES = 32  # of the range TLB
RANGES = 1024  # of a process that the hardware finds at most: an assumption

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
        ("group", np.int64),  # of an L1 TLB: 0 of data, 1 of instructions or 0; else NIL
        ("digit", np.int64),  # where CORE_RECORD.packed has its hits; NIL: nowhere
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
        ("shift", np.int64),  # of a TLB: log2 of the bytes of a page
    ]
)

#: One level of the cache model: colours * rows sets, see hardware.caches.
CACHE = np.dtype(
    [
        ("base", np.int64),  # its first slot of Core.line
        ("colours", np.int64),
        ("row_mask", np.int64),  # rows - 1
        ("fold", np.int64),  # a line's name, shifted down by so much, takes part in its row
        ("stride", np.int64),  # slots from one set to the next
        ("ways", np.int64),
    ]
)

#: Where the leaf table of a region lies: see hardware.fetch_ahead.
HINT = np.dtype([("region", np.int64), ("slot", np.int64)])

# Rows of `Core.route`: what is looked for; see `hardware.assoc.route_to`.
ROUTE_L1I, ROUTE_L1D, ROUTE_L2I, ROUTE_L2D = 0, 1, 2, 3  # column: page size
ROUTE_PREFETCH = 4  # the TLB's prefetch buffer; column: page size
ROUTE_PSC, ROUTE_EPT_PSC = 5, 6  # column: level of the table entry that is cached
ROUTE_NTLB = 7  # column 0
ROUTE_PWC = 8  # column: the dimension of the table entry that is cached
ROUTE_ROWS, ROUTE_COLUMNS = 9, 6
GUEST_ENTRIES, NESTED_ENTRIES = 0, 1  # columns of ROUTE_PWC

CACHE_LEVELS = 5  # four cache levels and memory
PAGE_SIZES = 3  # page sizes that a TLB tells apart, at most
COALESCED = PAGE_SIZES  # and, beside them, groups of 4 KiB pages: see walks.coalescing
TLB_SIZES = PAGE_SIZES + 1

PREDICTOR_BITS = 10  # of the hash of a page number: see hardware.marks
PREDICTOR_SIZE = 8 << PREDICTOR_BITS  # kinds, straddling included

#: One memory reference of a page walk, as `mmulab walk` prints it.
LOG = np.dtype(
    [
        ("site", np.int64),  # which reference of the walk: see hardware.walks.sites
        ("address", np.int64),  # HPA of the entry
        ("entry", np.int64),
        ("cache", np.int64),  # cache level that served it
        ("step", np.int64),  # its step's number; 0: it stands alone; below 0: in the background
    ]
)

#: What happened, counted. `mmu.report.cost` turns counts into cycles.
STATS = np.dtype(
    [
        ("l1_misses", np.int64, 3),  # by kind: LOAD, STORE, FETCH
        ("l2_hits", np.int64, 3),
        ("l2_denied", np.int64),  # look-ups that found an L2 entry, and walked all the same
        ("straddles", np.int64, 3),  # accesses to two pages
        ("repeated_lookups", np.int64),  # after faults
        ("repeated_l2_hits", np.int64),
        ("walks", np.int64, 3),  # completed walks, faulting ones included
        ("dirty_walks", np.int64),  # walks again because a D bit was clear
        ("splintered", np.int64),  # fills smaller than the guest's leaf
        ("tlb_prefetches", np.int64),  # walks for pages that are predicted
        ("tlb_prefetch_fills", np.int64),  # those of them that filled an entry
        ("tlb_prefetch_hits", np.int64),
        ("ntlb_hits", np.int64),
        ("guest_pwc_hits", np.int64),  # entries of the guest's table in the page walk cache
        ("nested_pwc_hits", np.int64),
        ("kernel_entries", np.int64),  # page faults, system calls, interrupts
        ("guest_faults", np.int64),  # #PF that the guest OS handled
        ("demand_fills", np.int64),
        ("faults", np.int64, 3),  # of them, by the size of the page that they got
        ("cow_breaks", np.int64),
        ("granted", np.int64),  # faults against the trace's own mappings, granted
        ("pages_zeroed", np.int64),  # in 4 KiB units
        ("pages_copied", np.int64),
        ("pte_writes", np.int64),  # by the guest, trapped or not
        ("invlpgs", np.int64),
        ("cr3_loads", np.int64),
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
        # Of the guest's huge pages, as in /proc/vmstat where it has such: see guest.huge.
        ("thp_wakes", np.int64),  # times that a thread of the policy woke up
        ("thp_full_scans", np.int64),
        ("thp_scanned", np.int64),  # gPTEs that threads looked at
        ("thp_collapse_alloc", np.int64),  # regions that got a page of 2 MiB
        ("thp_collapse_alloc_failed", np.int64),
        ("thp_scan_exceed_none_pte", np.int64),  # regions that were passed over
        ("thp_scan_exceed_swap_pte", np.int64),
        ("thp_scan_exceed_share_pte", np.int64),
        ("thp_scan_unreferenced", np.int64),
        ("thp_scan_read_only", np.int64),
        ("thp_filled", np.int64),  # pages of zeros that promotion added
        ("thp_split_pmd", np.int64),
        ("thp_recovered", np.int64),  # pages of zeros that were taken out of large ones
        ("thp_prezeroed", np.int64),  # pages that were zeros before they were touched
    ]
)

#: Of STATS, what has a cost of its own and can come of mending a fault; and of first touches,
#: see machine.first_touches.
MENDING = [
    (name, np.int64)
    for name in (
        "guest_faults", "pages_zeroed", "pages_copied", "invlpgs", "cr3_loads", "host_copies"
    )
]  # fmt: skip
FIRST_TOUCHES = np.dtype(
    [
        *MENDING,
        ("is_touch", np.int64),  # whether the access that is being mended is one
        ("most_of_guest", np.int64),  # frames in use that guest pages ever had: the guest's
        ("most_of_host", np.int64),  # and the host's
    ]
)

#: Exit reasons, and counters of its own, that a technique may have.
MAX_REASONS = 32
MAX_COUNTERS = 32


#: One way of a hashed page table: see memory.hashed_lines. Frames are of the address space that the
#: table lies in.
HASHED_WAY = np.dtype(
    [
        ("base", np.int64),  # first frame
        ("lines", np.int64),  # a power of two; 0: there is no table
        ("pointer", np.int64),  # lines below it have moved to the next table
        ("next_base", np.int64),
        ("next_lines", np.int64),  # 0: the table is not being resized
    ]
)
MOST_WAYS = 4
HASHED_USER, HASHED_KERNEL, HASHED_HOST = 0, 1, 2  # whose tables, of a vCPU

#: Registers of hashed page tables beside their ways'.
HASHING = np.dtype(
    [
        ("ways", np.int64),  # of each table
        ("of_guest", np.int64),  # 1: the guest's tables are hashed
        ("walk_table", np.int64),  # first frame of the host's cuckoo walk table; NIL: none
        ("regions", np.int64),  # of 2 MiB that it tells of
        # Of the cache of leaf entries of that: see walks.elastic_cuckoo.
        ("off", np.int64),  # 1: it is not used for pages
        ("looked", np.int64),  # of this interval, look-ups
        ("found", np.int64),  # and hits
    ]
)


class VCPU(Struct):
    """What a virtual processor (or a processor on bare metal) has of its own."""

    regs: np.ndarray  # [1]
    stats: np.ndarray  # [1]
    exits: np.ndarray  # [MAX_REASONS]: VM exits, by the technique's reasons
    own: np.ndarray  # [MAX_COUNTERS]: what the technique counts besides
    #: [(sites + 2) * CACHE_LEVELS]: of page walks, by site and serving level; then of the program,
    #: and of pages that the kernel zeroed or copied, by serving level
    references: np.ndarray
    hidden: np.ndarray  # of `references`, those not waited for: see caches.begin_step
    way: np.ndarray  # [3 * PAGE_SIZES * MOST_WAYS]: HASHED_WAY, by whose, page size and number
    hashing: np.ndarray  # [1]
    found: np.ndarray  # [PAGE_SIZES * MOST_WAYS]: of a walk of them, where lines lie
    range: np.ndarray  # [RANGES]: the range table of the process that runs, by address
    size: np.ndarray  # [512]: predicted page sizes: see walks.pom_tlb
    first: np.ndarray  # [1]: FIRST_TOUCHES
    first_exits: np.ndarray  # [MAX_REASONS]: of `exits`, those of first touches
    first_own: np.ndarray  # [MAX_COUNTERS]: of `own`
    before: np.ndarray  # [1]: MENDING, as it was when the fault at hand came
    before_exits: np.ndarray
    before_own: np.ndarray
    pml: np.ndarray  # [512]: guest-physical addresses: see hardware.pml

    FIELDS = {
        "regs": ArrayField(REGS),
        "stats": ArrayField(STATS),
        "exits": ArrayField(np.int64),
        "own": ArrayField(np.int64),
        "references": ArrayField(np.int64),
        "hidden": ArrayField(np.int64),
        "way": ArrayField(HASHED_WAY),
        "hashing": ArrayField(HASHING),
        "found": ArrayField(np.int64),
        "range": ArrayField(RANGE),
        "size": ArrayField(np.int8),
        "first": ArrayField(FIRST_TOUCHES),
        "first_exits": ArrayField(np.int64),
        "first_own": ArrayField(np.int64),
        "before": ArrayField(np.dtype(MENDING)),
        "before_exits": ArrayField(np.int64),
        "before_own": ArrayField(np.int64),
        "pml": ArrayField(np.int64),
    }


class Core(Struct):
    """One processor core.

    Slots of all units lie one after another; no page is ever in slot 0.
    A TLB slot's data has the layout of an x86 leaf entry whose frame is an hfn.
    L1 TLB slots have beside them the pages they span: vpn & span == first.
    """

    record: np.ndarray  # [1]
    context: np.ndarray  # [contexts.CONTEXTS]
    shift: np.ndarray  # [TLB_SIZES]: log2 of the bytes of a page of each size
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
    weight: np.ndarray  # [L1 slots]: what a hit adds to CORE_RECORD.packed
    hint: np.ndarray  # [2 * fetch_ahead.HINTS]: of guest or shadow tables, of nested ones
    cache: np.ndarray  # [CACHE_LEVELS - 1]
    line: np.ndarray  # [lines of all cache levels]: see hardware.caches
    noted: np.ndarray  # [caches.NOTED]: lines to be priced, the first CORE_RECORD.noted
    noted_as: np.ndarray  # [caches.NOTED]: when, and what they are
    served: np.ndarray  # [caches.NOTED]: the cache level that had a line of a step
    missed: np.ndarray  # [caches.MISSED]: lines that a cache lacked
    missed_as: np.ndarray  # [caches.MISSED]: what they are
    range_tlb: np.ndarray  # [RANGE_ENTRIES]
    distance: np.ndarray  # [rows]: the distance table, see hardware.tlb_prefetch
    predictor: np.ndarray  # [PREDICTOR_SIZE]: L1 slot by an access's mark

    FIELDS = {
        "record": ArrayField(CORE_RECORD),
        "context": ArrayField(CONTEXT),
        "shift": ArrayField(np.int64),
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
        "weight": ArrayField(np.int64),
        "hint": ArrayField(HINT),
        "cache": ArrayField(CACHE),
        "line": ArrayField(np.int32),
        "noted": ArrayField(np.int64),
        "noted_as": ArrayField(np.int64),
        "served": ArrayField(np.int8),
        "missed": ArrayField(np.int64),
        "missed_as": ArrayField(np.int64),
        "range_tlb": ArrayField(RANGE_ENTRY),
        "distance": ArrayField(DISTANCE),
        "predictor": ArrayField(np.int32),
    }


class Machine(Struct):
    """A view for one turn: a vCPU of a VM, on a core of a host. Nobody keeps it.

    outer: the VM in whose memory this VM's p2m is expressed, of a guest hypervisor; one
    without frames else.
    """

    core: Core
    host: Host
    vcpu: VCPU
    vm: VM
    outer: VM

    FIELDS = {
        "core": Core,
        "host": Host,
        "vcpu": VCPU,
        "vm": VM,
        "outer": VM,
    }
