"""How many cores something takes that counts the same on any number of them."""

from __future__ import annotations

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.warm import cores

#: Cores that are used unless it is said otherwise: an assumption; what has to be done one piece
#: after another keeps no more of them busy.
MOST_JOBS = 8


def jobs_of(asked: int | None) -> int:
    """How many cores to use. asked: None: those that there are, up to MOST_JOBS. Raises
    InputError."""
    if asked is None:
        return min(cores(), MOST_JOBS)
    if asked < 1:
        raise InputError(f"jobs {asked}: expected 1 or more")
    return asked
