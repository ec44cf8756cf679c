"""An independent x86-64 MMU: Unicorn (QEMU's processor model) over our page tables.

Our tables are copied into its RAM frame by frame, then it executes one instruction at a
time: a load, a store or a fetch, in ring 0 or ring 3. What it translates, where it
faults and which A and D bits it sets owes nothing to our walker.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import struct
from collections.abc import Callable

import numpy as np
from unicorn import UC_ARCH_X86, UC_MODE_64, UC_PROT_ALL, UC_TLB_CPU, Uc, UcError
from unicorn import x86_const as x86

from mmulab.mmu.memory.entries import ENTRIES, PAGE_BYTES, PS, RW, US, XD, P
from mmulab.mmu.memory.state import Memory
from mmulab.mmu.memory.tables import entries_in
from mmulab.mmu.trace import FETCH, LOAD, STORE

# The program and its tables lie above the memory under test, below an entry of the
# top-level table that the memory under test must leave empty: 300, in the upper half.
CODE_SLOT = 300
OWN_FRAMES = 8

Walk = Callable[[int, int, bool], tuple[int | None, int | None]]

KINDS = {LOAD: "load", STORE: "store", FETCH: "fetch"}

_LOAD, _STORE, _SYSRET = 0, 4, 8  # offsets of the instructions in the code page
_CODE = bytes.fromhex("488b1890 48891890 480f0790")  # mov rbx,[rax]; mov [rax],rbx; sysretq

# MSRs (Intel SDM vol. 4, table 2-2) and the bits used of them and of the control registers.
_EFER, _SCE, _LME, _LMA, _NXE = 0xC0000080, 1 << 0, 1 << 8, 1 << 10, 1 << 11
_STAR = 0xC0000081
_CR0_PE, _CR0_WP, _CR0_PG = 1 << 0, 1 << 16, 1 << 31
_CR4_PAE, _CR4_LA57 = 1 << 5, 1 << 12


def signed(number: int) -> int:
    """The int64 of a 64-bit pattern."""
    return number - (1 << 64) if number >> 63 == 1 else number


class UnicornMMU:
    """RAM of `frames` frames from 0 on, and a processor with NX, WP and 4 or 5 levels."""

    def __init__(self, frames: int) -> None:
        self._own = frames
        size = (frames + OWN_FRAMES) * PAGE_BYTES
        self._buffer = mmap.mmap(-1, size)  # page-aligned, and no memory until it is touched
        self.ram = np.frombuffer(self._buffer, np.int64)
        self._uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self._uc.ctl_set_tlb_mode(UC_TLB_CPU)
        self._uc.mem_map_ptr(0, size, UC_PROT_ALL, self.ram.ctypes.data)
        self.error_code_offset = 0

    def frame(self, number: int) -> np.ndarray:
        """The 512 words of a frame, a view."""
        return self.ram[number * ENTRIES : (number + 1) * ENTRIES]

    def start(self, root: int, levels: int) -> None:
        """Turns paging on; the tables must be in RAM."""
        assert self.frame(root)[CODE_SLOT] == 0, "the table under test uses the program's slot"
        self._code = (CODE_SLOT - ENTRIES) << (3 + 9 * levels)
        table = root
        for level in range(levels, 0, -1):
            below = self._own + level
            self.frame(table)[table_index(self._code, level)] = below << 12 | P | RW | US
            table = below
        code = self._own + 1
        self.frame(code).view(np.uint8)[: len(_CODE)] = np.frombuffer(_CODE, np.uint8)
        write = self._uc.reg_write
        write(x86.UC_X86_REG_CR4, _CR4_PAE | (_CR4_LA57 if levels == 5 else 0))
        write(x86.UC_X86_REG_CR3, root << 12)
        write(x86.UC_X86_REG_MSR, (_EFER, _SCE | _LME | _LMA | _NXE))
        # SYSRET loads CS and SS from here, without a look at descriptor tables.
        write(x86.UC_X86_REG_MSR, (_STAR, 0x8 << 32 | 0x10 << 48))
        write(x86.UC_X86_REG_CR0, _CR0_PE | _CR0_PG | _CR0_WP)
        supervisor = self._uc.context_save()
        write(x86.UC_X86_REG_RCX, self._code)
        write(x86.UC_X86_REG_R11, 2)  # RFLAGS: bit 1 is always 1
        self._uc.emu_start(self._code + _SYSRET, 0, count=1)
        assert self._uc.reg_read(x86.UC_X86_REG_CS) & 3 == 3
        self._contexts = supervisor, self._uc.context_save()

    def access(self, gva: int, kind: int, user: bool, value: int = 0) -> tuple[bool, int, int]:
        """One access: (True, what was read or fetched, 0), or (False, CR2, error code).

        value: what a store writes. A fetch executes `mov eax, imm32`; see `marker`.
        """
        uc = self._uc
        # Restoring also forgets the last exception; a second would be a double fault.
        uc.context_restore(self._contexts[user])
        uc.reg_write(x86.UC_X86_REG_CR2, 0)
        uc.reg_write(x86.UC_X86_REG_RAX, gva)
        uc.reg_write(x86.UC_X86_REG_RBX, value)
        at = gva if kind == FETCH else self._code + (_STORE if kind == STORE else _LOAD)
        try:
            uc.emu_start(at, 0, count=1)
        except UcError:
            return False, signed(uc.reg_read(x86.UC_X86_REG_CR2)), self._error_code()
        assert signed(uc.reg_read(x86.UC_X86_REG_RIP)) == at + (5 if kind == FETCH else 3)
        read = uc.reg_read(x86.UC_X86_REG_RAX if kind == FETCH else x86.UC_X86_REG_RBX)
        return True, signed(read), 0

    def snapshot(self) -> bytes:
        """The processor's state as Unicorn saves it, QEMU's own structure."""
        context = self._uc.context_save()
        return ctypes.string_at(context.context, context.size)

    def _error_code(self) -> int:
        if not self.error_code_offset:
            return 0
        return struct.unpack_from("<i", self.snapshot(), self.error_code_offset)[0]


def table_index(gva: int, level: int) -> int:
    """Index into the table of a level."""
    return gva >> (3 + 9 * level) & (ENTRIES - 1)


def marker(hpa: int) -> int:
    """What RAM holds at hpa, a multiple of 8: the instructions `mov eax, hpa >> 3; hlt`."""
    return 0xF4 << 40 | (hpa >> 3) << 8 | 0xB8


@functools.cache
def _error_code_offset() -> int:
    """Where in a snapshot the last error code is.

    Unicorn gives it no name, so it is found by faults whose codes the manual tells
    (Intel SDM vol. 3A, figure 4-12); exactly one place must agree with all of them.
    """
    unicorn = UnicornMMU(16)
    for frame, entry in ((1, 2 << 12 | 7), (2, 3 << 12 | 7), (3, 4 << 12 | 7)):
        unicorn.frame(frame)[0] = entry
    unicorn.frame(3)[1] = PS | 7 | 1 << 13  # a 2 MiB page with a reserved bit set
    unicorn.frame(4)[1:4] = 5 << 12 | P | US, 5 << 12 | P | RW, 5 << 12 | P | US | XD
    unicorn.start(1, 4)
    told = (
        (0x0000, LOAD, False, 0x00),
        (0x0000, STORE, False, 0x02),
        (0x0000, LOAD, True, 0x04),
        (0x0000, FETCH, True, 0x14),
        (0x1000, STORE, False, 0x03),
        (0x1000, STORE, True, 0x07),
        (0x2000, LOAD, True, 0x05),
        (0x3000, FETCH, True, 0x15),
        (0x200000, LOAD, False, 0x09),
        (0x200000, STORE, True, 0x0F),
    )
    places = None
    for gva, kind, user, code in told:
        went_through, cr2, _ = unicorn.access(gva, kind, user)
        assert not went_through and cr2 == gva
        words = np.frombuffer(unicorn.snapshot(), np.int32)
        here = set(np.flatnonzero(words == code).tolist())
        places = here if places is None else places & here
    assert places is not None and len(places) == 1, "no single place holds the error code"
    return 4 * places.pop()


def started(tables: dict[int, np.ndarray], root: int, levels: int, frames: int) -> UnicornMMU:
    """Unicorn with the tables in its RAM, and running on them."""
    unicorn = UnicornMMU(frames)
    unicorn.error_code_offset = _error_code_offset()
    for frame, entries in tables.items():
        unicorn.frame(frame)[:] = entries
    unicorn.start(root, levels)
    return unicorn


def tables_of(memory: Memory) -> dict[int, np.ndarray]:
    """The entries of every table, by its frame."""
    return {int(frame): entries_in(memory, frame) for frame in np.flatnonzero(memory.table)}


def agree_on_bits(unicorn: UnicornMMU, tables: dict[int, np.ndarray], root: int) -> None:
    """Every entry of every table is the same, A and D bits too."""
    for frame, ours in tables.items():
        theirs = unicorn.frame(frame).copy()
        if frame == root:
            theirs[CODE_SLOT] = 0
        np.testing.assert_array_equal(ours, theirs, f"table in frame {frame:#x}")


def agree_on(
    unicorn: UnicornMMU, walk: Walk, accesses: list[tuple[int, int, bool]]
) -> dict[str, int]:
    """Makes every access on both; returns how many went through and how many faulted.

    walk(gva, kind, user): (frame, error code), the frame None after a fault.
    """
    counts = dict.fromkeys(("translated", *(f"{kind} fault" for kind in KINDS.values())), 0)
    for serial, (gva, kind, user) in enumerate(accesses):
        what = f"{KINDS[kind]} of {gva:#x} by {'user' if user else 'supervisor'}"
        frame, code = walk(gva, kind, user)
        if frame is None:
            assert unicorn.access(gva, kind, user) == (False, gva, code), what
            counts[f"{KINDS[kind]} fault"] += 1
            continue
        hpa = frame << 12 | gva & 0xFFF
        here = marker(hpa)
        unicorn.ram[hpa >> 3] = here
        value = here | (serial & 0x7FFF) << 48
        went_through, read, _ = unicorn.access(gva, kind, user, value)
        assert went_through, what
        if kind == STORE:
            assert unicorn.ram[hpa >> 3] == value, what
            unicorn.ram[hpa >> 3] = here
        else:
            assert read == (hpa >> 3 if kind == FETCH else here), what
        counts["translated"] += 1
    return counts
