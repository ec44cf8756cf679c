"""What QEMU keeps of its TLBs beside the tables themselves, which lie in host frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField, Struct
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques.technique import Sizes

#: Index of each exit reason.
TLB_FILL, EXCEPTION, HOST_FAULT, CR3_LOAD, INVLPG = range(5)

#: Index of each counter. The first is no count of its own.
_, VICTIM_HITS, WIPED, GROWN, SHRUNK, LARGE_FLUSHES = range(6)

MODES = 2  # a TLB for the kernel's addresses, and one for the user's
VICTIMS = 8  # CPU_VTLB_SIZE

RECORD = np.dtype(
    [
        ("control", np.int64),  # hfn of the frame that says where the tables lie
        ("most", np.int64),  # entries of a table, at most
        ("window", np.int64),  # its length, in accesses
        ("now", np.int64),  # accesses so far
        ("clock", np.int64),  # of the core when `now` was told
    ]
)

#: One TLB: CPUTLBDesc and CPUTLBDescFast. Counts are a size_t in QEMU, and may go below 0.
MODE = np.dtype(
    [
        ("table", np.int64),  # hfn of its first frame
        ("entries", np.int64),
        ("used", np.int64),  # n_used_entries
        ("most_used", np.int64),  # window_max_entries
        ("begin", np.int64),  # window_begin_ns, in accesses
        ("large_address", np.int64),
        ("large_mask", np.int64),
        ("victim", np.int64),  # vindex
        ("dirty", np.int64),  # 1: filled since it was last flushed
    ]
)

#: An entry: the page for each kind of access that it serves, else -1; what it leads to.
ENTRY = np.dtype([("page", np.int64, 3), ("leaf", np.int64)])


class SoftmmuState(Struct):
    record: np.ndarray  # [1]
    mode: np.ndarray  # [MODES]
    victim: np.ndarray  # [MODES * VICTIMS]
    mapped: np.ndarray  # [gfns]: 1: the guest has reached the page since it was last dropped

    FIELDS = {
        "record": ArrayField(RECORD),
        "mode": ArrayField(MODE),
        "victim": ArrayField(ENTRY),
        "mapped": ArrayField(np.uint8),
    }


_as_state = as_struct(SoftmmuState)


@inlined
def state_of(machine):
    """The state of a machine's VM."""
    return _as_state(machine.vm.private)


def make_state(sizes: Sizes, values: Mapping[str, Any]) -> SoftmmuState:
    """Before the tables are made."""
    record = np.zeros(1, RECORD)
    record[0]["control"] = NIL
    record[0]["most"] = 1 << values["most"]
    record[0]["window"] = values["window"]
    return SoftmmuState(
        record=record,
        mode=np.zeros(MODES, MODE),
        victim=np.zeros(MODES * VICTIMS, ENTRY),
        mapped=np.zeros(sizes.guest_frames, np.uint8),
    )
