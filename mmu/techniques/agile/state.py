"""What the VMM keeps for agile paging: shadow paging's state, and which tables are nested.

A gPT page is nested where it is listed, where its level says so from the start (`lowest`), or
where a table above it is. Links are an index + 1; 0: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.entries import MAX_LEVELS
from mmulab.mmu.techniques.shadow.state import ShadowState
from mmulab.mmu.techniques.shadow.state import make_state as make_shadow
from mmulab.mmu.techniques.technique import Sizes

SHADOW_COUNTERS = 4
#: Index of each counter of its own.
TO_NESTED, TO_SHADOW, REBUILT, SCANNED = range(SHADOW_COUNTERS, SHADOW_COUNTERS + 4)

MOST_CACHED = 64  # roots that the hardware's cache may hold

RECORD = np.dtype(
    [
        ("adaptive", np.int64),  # 1: by the policy
        ("lowest", np.int64),  # tables of levels up to it are nested from the start
        ("full", np.int64),  # 1: processes start in full nested mode
        ("interval", np.int64),  # accesses
        ("elapsed", np.int64),  # accesses of this interval
        ("epoch", np.int64),  # number of this interval, from 1
        ("listed", np.int64),
        ("roots", np.int64),  # that the hardware's cache holds
        ("turn", np.int64),  # loads of CR3 so far
    ]
)

#: A gPT page that is nested, and whose parent is not.
TABLE = np.dtype(
    [
        ("gfn", np.int64),
        ("level", np.int64),
        ("gva", np.int64),  # first address that it maps
        ("process", np.int64),  # NIL: of the kernel half
        ("full", np.int64),  # of a root: 1: its walk begins below the nested table
    ]
)

#: A root that the hardware knows the shadow of.
ROOT = np.dtype([("cr3", np.int64), ("used", np.int64)])  # cr3: gfn + 1; used: at which load

STEP = np.dtype([("table", np.int64), ("index", np.int64), ("gva", np.int64)])


class AgileState(ShadowState):
    agile: np.ndarray  # [1]
    table: np.ndarray  # [gfns]: the first `listed`
    place: np.ndarray  # [gfns]: place in `table`
    trapped: np.ndarray  # [gfns]: interval in which a write to a gPT page trapped
    dirty: np.ndarray  # [gfns]: interval in which the host's D bit of a gPT page was last set
    root_cache: np.ndarray  # [MOST_CACHED]
    step: np.ndarray  # [MAX_LEVELS + 1]: of a walk over tables

    FIELDS = {
        **ShadowState.FIELDS,
        "agile": ArrayField(RECORD),
        "table": ArrayField(TABLE),
        "place": ArrayField(np.int32),
        "trapped": ArrayField(np.int32),
        "dirty": ArrayField(np.int32),
        "root_cache": ArrayField(ROOT),
        "step": ArrayField(STEP),
    }


_as_state = as_struct(AgileState)


@inlined
def state_of(machine):
    """The state of a machine's VM."""
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> AgileState:
    """Empty: every process begins in shadow mode, unless `switch` or `start` say otherwise."""
    below = make_shadow(sizes, {"policy": "trap"})
    below.record[0]["walker_dirty"] = values["dirty"] == "walker"
    switch = values["switch"]
    record = np.zeros(1, RECORD)
    record[0]["adaptive"] = switch == "policy"
    record[0]["lowest"] = int(switch) if switch.isdigit() else 0
    record[0]["full"] = switch == "nested" or (switch == "policy" and values["start"] == "nested")
    record[0]["interval"] = values["interval"]
    record[0]["epoch"] = 1
    record[0]["roots"] = values["roots"]
    parts = {name: getattr(below, name) for name in ShadowState.FIELDS}
    return AgileState(
        **parts,
        agile=record,
        table=np.zeros(sizes.guest_frames, TABLE),
        place=np.zeros(sizes.guest_frames, np.int32),
        trapped=np.zeros(sizes.guest_frames, np.int32),
        dirty=np.zeros(sizes.guest_frames, np.int32),
        root_cache=np.zeros(MOST_CACHED, ROOT),
        step=np.zeros(MAX_LEVELS + 1, STEP),
    )
