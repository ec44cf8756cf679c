"""What Xen keeps of a PV guest's frames, and Linux of the hypercalls that it has not made yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory.entries import MAX_LEVELS
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques.technique import Sizes

#: Index of each exit reason.
(
    MMU_UPDATE,
    UPDATE_VA_MAPPING,
    EMULATED_WRITE,
    TABLE,
    FLUSH,
    CR3_LOAD,
    KERNEL_ENTRY,
    IRET,
    MEMORY_OP,
) = range(9)

#: Index of each counter.
VALIDATED, FLUSHED_INSIDE, EXCHANGED = range(3)

#: How the guest writes a gPTE outside a batch; EMULATED: inside one, too.
WRITES = ("mmu_update", "update_va_mapping", "emulated")
BY_UPDATE, BY_VA, EMULATED = range(3)

#: Types of a frame: NONE, 1 to 5 for a page table of that level, WRITABLE.
NONE, WRITABLE = 0, MAX_LEVELS + 1

RECORD = np.dtype(
    [
        ("writes", np.int64),  # index into WRITES
        ("lazy", np.int64),  # 1: in lazy MMU mode
        ("making", np.int64),  # 1: a process is being made, whose tables Xen does not know yet
        ("flushed", np.int64),  # page that update_va_mapping has just flushed; NIL: none
        # Linux's multicall buffer (arch/x86/xen/multicalls.c, struct mc_buffer):
        ("calls", np.int64),  # slots in use
        ("bytes", np.int64),  # of arguments in use
        ("last", np.int64),  # operation in the last slot
        ("reason", np.int64),  # under which it will be counted
    ]
)

#: A table on a path down: its frame, level, and the next of its entries.
STEP = np.dtype([("gfn", np.int64), ("level", np.int64), ("index", np.int64)])


class ParavirtState(Struct):
    record: np.ndarray  # [1]
    type: np.ndarray  # [gfns]: what a frame is used as
    type_count: np.ndarray  # [gfns]: uses as that
    total: np.ndarray  # [gfns]: uses of any kind, by validated tables and pins
    pinned: np.ndarray  # [gfns]: 1: a use as a page table is the guest's own pin
    level: np.ndarray  # [gfns]: of a gPT page
    gva: np.ndarray  # [gfns]: first address that a gPT page maps
    known: np.ndarray  # [gfns]: 1: Linux has made a gPT page read-only (its PagePinned)
    path: np.ndarray  # [levels]: of a validation
    walk: np.ndarray  # [levels]: of a walk over a process's tables

    FIELDS = {
        "record": ArrayField(RECORD),
        "type": ArrayField(np.int8),
        "type_count": ArrayField(np.int32),
        "total": ArrayField(np.int32),
        "pinned": ArrayField(np.uint8),
        "level": ArrayField(np.int8),
        "gva": ArrayField(np.int64),
        "known": ArrayField(np.uint8),
        "path": ArrayField(STEP),
        "walk": ArrayField(STEP),
    }


_as_state = as_struct(ParavirtState)


@inlined
def state_of(machine):
    """The state of a machine's VM."""
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> ParavirtState:
    """Of a domain none of whose frames is in use."""
    record = np.zeros(1, RECORD)
    record[0]["writes"] = WRITES.index(values["writes"])
    record[0]["flushed"] = NIL
    count = sizes.guest_frames
    return ParavirtState(
        record=record,
        type=np.zeros(count, np.int8),
        type_count=np.zeros(count, np.int32),
        total=np.zeros(count, np.int32),
        pinned=np.zeros(count, np.uint8),
        level=np.zeros(count, np.int8),
        gva=np.zeros(count, np.int64),
        known=np.zeros(count, np.uint8),
        path=np.zeros(MAX_LEVELS, STEP),
        walk=np.zeros(MAX_LEVELS, STEP),
    )
