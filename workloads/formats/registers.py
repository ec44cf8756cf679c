"""Which load made an address, followed through the registers of ChampSim's records.

A record says which registers an instruction reads and writes, not which of them make its
addresses: a load or store is taken to depend on the youngest load that fed any register that
it reads, through whatever instructions lie between. For a store, the register whose value it
stores counts as well. This is what ChampSim's own cores wait for.

Left out are the flags and the instruction pointer, which no data's address is made of, and the
stack pointer's changes by calls, returns, pushes, pops and constants, whose value is known when
they are decoded (ChampSim, src/ooo_cpu.cc, do_stack_pointer_folding).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.trace import FARTHEST, FETCH, INDEPENDENT, LOAD, UNKNOWN

# ChampSim's numbers of registers (inc/trace_instruction.h); 0 is an unused slot.
_NONE, STACK_POINTER, FLAGS, INSTRUCTION_POINTER = 0, 6, 25, 26
_REGISTERS = 256

# Bytes of a record: is it a branch, and the first register that it writes; those that it reads,
# SOURCES of them, follow. It writes as many registers as it has stores.
_BRANCH, _WRITTEN = 8, 10
SOURCES = 4

# What fed a register: the number of a load in the trace, or one of these.
_NO_LOAD, _NOT_KNOWN = -1, -2


def nothing_known() -> np.ndarray:
    """What is known at a trace's beginning: int64, accesses so far, then what fed each register.

    The stack pointer comes from the system.
    """
    known = np.full(1 + _REGISTERS, _NOT_KNOWN, np.int64)
    known[0], known[1 + STACK_POINTER] = 0, _NO_LOAD
    return known


@inlined
def forget(known):
    """From here on the registers are another process's."""
    for register in range(_REGISTERS):
        known[1 + register] = _NOT_KNOWN
    known[1 + STACK_POINTER] = _NO_LOAD


@inlined
def _byte(words, base, number):
    return (words[base + (number >> 3)] >> (8 * (number & 7))) & 0xFF


@inlined
def _both(a, b):
    """What fed a value that is made of two: the younger load; where there is none, it is only
    known if both are."""
    return max(a, b) if max(a, b) >= 0 else min(a, b)


@inlined
def follow(words, base, written, known, kind, depends, begin, end):
    """Fills in `depends` of a record's accesses [begin, end), and what its registers hold then.

    written: how many registers a record has room for that it writes. known: see `nothing_known`.
    """
    value = address = _NO_LOAD
    others = False
    for slot in range(_WRITTEN + written, _WRITTEN + written + SOURCES):
        register = _byte(words, base, slot)
        if register != _NONE and register != INSTRUCTION_POINTER:
            value = _both(value, known[1 + register])
            if register != FLAGS:
                address = _both(address, known[1 + register])
                others |= register != STACK_POINTER
    memory = False
    first = known[0] - begin
    for at in range(begin, end):
        depends[at] = UNKNOWN
        if kind[at] != FETCH:
            memory = True
            back = first + at - address
            if address == _NO_LOAD:
                depends[at] = INDEPENDENT
            elif address >= 0 and back <= FARTHEST:
                depends[at] = back
            if kind[at] == LOAD:
                value = first + at
    folded = memory or not others or _byte(words, base, _BRANCH) != 0
    for slot in range(_WRITTEN, _WRITTEN + written):
        register = _byte(words, base, slot)
        if register != _NONE and not (register == STACK_POINTER and folded):
            known[1 + register] = value
    known[0] += end - begin
