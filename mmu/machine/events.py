"""What must hold of a trace's events before a guest sees them."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import FORK


def check_events(name: str, events: np.ndarray, levels: int) -> None:
    """Mappings must lie in the lower half of an address space of so many levels.

    name: what to call the trace in the error. events: EVENT[k]. Raises InputError.
    """
    ranged = events["kind"] < FORK
    start, length = events["start"][ranged], events["length"][ranged]
    top = 1 << (11 + 9 * levels)
    wrong = (start < 0) | (length < 0) | (start > top - length)
    if wrong.any():
        bad = events[ranged][wrong][0]
        raise InputError(
            f"{name}: an event maps {int(bad['length']):,} bytes at {int(bad['start']):#x}; "
            f"expected a range below {top:#x}"
        )
