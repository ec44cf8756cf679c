"""What arrays of entries can be built."""

from __future__ import annotations

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.preset import POLICIES

#: A slot's number must fit beside time stamps in an age (`hardware.clocks`); far above any
#: real structure.
MAX_ENTRIES = 1 << 20


def check_geometry(name: str, sets: int, ways: int, policy: str) -> None:
    """Raises InputError where no such array can be built."""
    if sets < 1 or sets & (sets - 1):
        raise InputError(f"{name}: {sets} sets; the index needs a power of two")
    if ways < 1:
        raise InputError(f"{name}: {ways} ways; expected at least 1")
    if sets * ways > MAX_ENTRIES:
        raise InputError(f"{name}: {sets} x {ways} entries; expected at most {MAX_ENTRIES}")
    if policy not in POLICIES:
        raise unknown(f"policy of {name}", policy, POLICIES)
    if policy == "plru" and (ways & (ways - 1) or ways > 64):
        raise InputError(f"{name}: tree-PLRU needs a power of two of at most 64 ways, not {ways}")
