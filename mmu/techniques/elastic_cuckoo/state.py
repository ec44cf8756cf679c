"""What the software of elastic cuckoo page tables keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware.state import HASHED_WAY, MOST_WAYS, PAGE_SIZES
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.hashed_lines import PER_LINE
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.technique import Sizes

#: Owners of tables: the VMM, the guest kernel for its own half, each process.
HOST, KERNEL, PROCESSES = 0, 1, 2

SIDES = ("both", "host", "native")
RETRIES = 64  # lines that an insertion moves at most: MAX_RETRIES in the authors' code

RECORD = np.dtype(
    [
        ("ways", np.int64),
        ("lines", np.int64),  # of a way at first
        ("threshold", np.int64),  # percent of lines in use above which a table grows
        ("of_guest", np.int64),  # 1: the guest's tables are hashed
        ("native", np.int64),  # 1: the guest's memory is one segment
        ("random", np.int64),  # which way an evicted line tries next
        ("above", np.int64),  # owner of the gPT page that is about to be made
    ]
)

#: A table of one page size. Lines in use, in the ways and in those that they move to.
TABLE = np.dtype([("used", np.int64), ("moved", np.int64)])


class CuckooState(nested.NestedState):
    record: np.ndarray  # [1]
    way: np.ndarray  # [owners * PAGE_SIZES * MOST_WAYS]
    table: np.ndarray  # [owners * PAGE_SIZES]
    carried: np.ndarray  # [2 * PER_LINE]: a line on its way: of the host's, of the guest's
    trail: np.ndarray  # [2 * RETRIES]: where lines have been put, so that it can be undone
    owner: np.ndarray  # [gfns]: of a gPT page of the record
    level: np.ndarray  # [gfns]: of it
    first: np.ndarray  # [gfns]: the first address that it maps

    FIELDS = {
        **nested.NestedState.FIELDS,
        "record": ArrayField(RECORD),
        "way": ArrayField(HASHED_WAY),
        "table": ArrayField(TABLE),
        "carried": ArrayField(np.int64),
        "trail": ArrayField(np.int64),
        "owner": ArrayField(np.int32),
        "level": ArrayField(np.int8),
        "first": ArrayField(np.int64),
    }


_as_state = as_struct(CuckooState)


@inlined
def state_of(machine):
    """The state of a machine's VM."""
    return _as_state(machine.vm.private)


@inlined
def way_of(machine, owner, size, number):
    return state_of(machine).way[(owner * PAGE_SIZES + size) * MOST_WAYS + number]


@inlined
def table_of(machine, owner, size):
    return state_of(machine).table[owner * PAGE_SIZES + size]


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> CuckooState:
    """Before any table is made."""
    owners = PROCESSES + sizes.processes
    record = np.zeros(1, RECORD)
    record[0]["ways"] = values["ways"]
    record[0]["lines"] = int(values["lines"])
    record[0]["threshold"] = values["threshold"]
    record[0]["of_guest"] = values["sides"] != "host"
    record[0]["native"] = values["sides"] == "native"
    record[0]["random"] = 1
    return CuckooState(
        root=np.full(1, NIL, np.int64),
        record=record,
        way=np.zeros(owners * PAGE_SIZES * MOST_WAYS, HASHED_WAY),
        table=np.zeros(owners * PAGE_SIZES, TABLE),
        carried=np.zeros(2 * PER_LINE, np.int64),
        trail=np.zeros(2 * RETRIES, np.int64),
        owner=np.zeros(sizes.guest_frames, np.int32),
        level=np.zeros(sizes.guest_frames, np.int8),
        first=np.zeros(sizes.guest_frames, np.int64),
    )
