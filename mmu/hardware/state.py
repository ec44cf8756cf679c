"""State of the hardware: registers, TLBs, walk caches, cache model; and the machine.

Flat arrays in Structs, scalars in records. Nothing here has behaviour.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.status import NIL  # noqa: F401
from mmulab.mmu.memory.vm import VM

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
        ("walked", np.int64),  # 1 once there has been a walk: see mmu.hardware.lookahead
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

#: Where the leaf table of a region lies: see mmu.hardware.lookahead.
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

#: What happened, counted. `mmu.report.cost` turns counts into cycles.
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


class Machine(Struct):
    core: Core
    host: Host
    vm: VM

    FIELDS = {
        "core": Core,
        "host": Host,
        "vm": VM,
    }
