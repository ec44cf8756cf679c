"""What DMT keeps: the translation entry areas (TEAs) of each process, and whose each frame is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware.state import MAX_TEAS
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.technique import Sizes

ALLOC_TEA = 1  # index of the exit reason, after nested paging's
SLOTS = 2 * MAX_TEAS  # areas that a process can have: of each level as many as there are registers
TEAS, TEA_PAGES, MIGRATED, FALLBACKS = range(4)  # indices of the counters

#: An area. Tables are counted from address 0, as all of that level lay one after another.
TEA = np.dtype(
    [
        ("level", np.int64),  # of its tables; 0: there is no such area
        ("start", np.int64),  # first table
        ("count", np.int64),  # tables that there is room for
        ("base", np.int64),  # gfn of the first
        ("host", np.int64),  # its hfn, where the host has them in one piece too, else NIL
        ("used", np.int64),  # tables that there are
        ("loaded", np.int64),  # 1: it has leaves, and a register
    ]
)


class DmtState(nested.NestedState):
    native: np.ndarray  # [1]: 1: bare metal
    pv: np.ndarray  # [1]: 1: the host backs areas by one piece
    least: np.ndarray  # [1]: bytes of the smallest mapping that has areas
    tea: np.ndarray  # [processes * SLOTS]
    of: np.ndarray  # [gfns]: the area that a table lies in, + 1; 0: none

    FIELDS = {
        **nested.NestedState.FIELDS,
        "native": ArrayField(np.int64),
        "pv": ArrayField(np.int64),
        "least": ArrayField(np.int64),
        "tea": ArrayField(TEA),
        "of": ArrayField(np.int32),
    }


state = as_struct(DmtState)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> DmtState:
    return DmtState(
        root=np.full(1, NIL, np.int64),
        native=np.full(1, values["mode"] == "native", np.int64),
        pv=np.full(1, values["pv"] == "yes" and values["mode"] != "native", np.int64),
        least=np.full(1, values["least"] << 20, np.int64),
        tea=np.zeros(sizes.processes * SLOTS, TEA),
        of=np.zeros(sizes.guest_frames, np.int32),
    )
