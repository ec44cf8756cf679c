"""What the VMM keeps for shadow paging: shadow pages, and the reverse map of their leaves.

A link is an index; 0 means none, since page 0 and node 0 are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory.entries import ENTRIES
from mmulab.mmu.techniques.technique import Sizes

#: Index of each counter.
SHADOW_FILLS, SYNCED_ENTRIES, UNSYNCED_PAGES, UNSHADOWED_PAGES = range(4)

RECORD = np.dtype(
    [
        ("unsync", np.int64),  # 1: unsync leaves instead of a trap a write
        ("walker_dirty", np.int64),  # 1: the walker sets D in the gPTE, too: see walks.agile
        ("free_page", np.int64),
        ("pages_used", np.int64),
        ("first_unsync", np.int64),
        ("free_node", np.int64),
        ("nodes_used", np.int64),
    ]
)

#: A shadow page: one page of an sPT and the gPT page that it shadows.
SHADOW_PAGE = np.dtype(
    [
        ("hfn", np.int64),
        ("gfn", np.int64),  # gPT page; for a direct page the first gfn that it maps
        ("level", np.int64),
        ("direct", np.int64),  # small leaves in place of a large guest page
        ("unsync", np.int64),
        ("floods", np.int64),  # writes trapped since it was last used
        ("parent", np.int64),  # HPA of the sPTE that points here; NIL: none
        ("gva", np.int64),  # first address that it maps
        ("process", np.int64),  # whose root it is below; NIL: the shared kernel half
        ("next_unsync", np.int64),
        ("next_free", np.int64),
    ]
)

#: A node of the reverse map of shadow leaves: gfn -> sPTEs.
NODE = np.dtype([("spte", np.int64), ("next", np.int64)])


class ShadowState(Struct):
    record: np.ndarray  # [1]
    page: np.ndarray  # [shadow pages]
    root: np.ndarray  # [processes]: top-level shadow page of a process
    shadowed: np.ndarray  # [gfns]: shadow page of a gPT page
    spte_gfn: np.ndarray  # [shadow pages * 512]: the gfn that a leaf sPTE maps
    reverse_head: np.ndarray  # [gfns]: first node
    reverse: np.ndarray  # [nodes]

    FIELDS = {
        "record": ArrayField(RECORD),
        "page": ArrayField(SHADOW_PAGE),
        "root": ArrayField(np.int32),
        "shadowed": ArrayField(np.int32),
        "spte_gfn": ArrayField(np.int32),
        "reverse_head": ArrayField(np.int32),
        "reverse": ArrayField(NODE),
    }


_as_state = as_struct(ShadowState)


@inlined
def state_of(machine):
    """The shadow state of a machine's VM."""
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> ShadowState:
    """Empty, of untouched memory. Two nodes a gfn: a page that two address spaces map, on
    average, is an assumption."""
    record = np.zeros(1, RECORD)
    record[0]["unsync"] = values["policy"] == "unsync"
    record[0]["pages_used"] = record[0]["nodes_used"] = 1
    return ShadowState(
        record=record,
        page=np.zeros(sizes.tables, SHADOW_PAGE),
        root=np.zeros(sizes.processes, np.int32),
        shadowed=np.zeros(sizes.guest_frames, np.int32),
        spte_gfn=np.zeros(sizes.tables * ENTRIES, np.int32),
        reverse_head=np.zeros(sizes.guest_frames, np.int32),
        reverse=np.zeros(2 * sizes.guest_frames, NODE),
    )
