"""Address translation as two manuals have it, over memory in their own bits.

RISC-V: Privileged Architecture, "Virtual Address Translation Process" (steps 1 to 10, with Svadu)
and "Two-Stage Address Translation". Arm: Architecture Reference Manual, D8, translation granule of
4 KiB, with FEAT_HAFDBS. Memory is {address: 64-bit entry}; a page that is no table is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

LOAD, STORE, FETCH = range(3)


class Fault(Exception):
    """code: scause, or the fault status of Arm's syndrome; second: by the second stage; gpa: the
    address that it could not translate."""

    def __init__(self, code: int, second: bool = False, gpa: int = 0) -> None:
        super().__init__(code, second, gpa)
        self.code, self.second, self.gpa = code, second, gpa


@dataclass
class Model:
    """levels: of the first stage and the second; 0: there is none. roots: addresses. width: bits
    of a guest-physical address. read: addresses of the entries that have been read, in order."""

    memory: dict[int, int]
    levels: tuple[int, int]
    roots: tuple[int, int]
    width: int
    read: list[int] = field(default_factory=list)

    def _load(self, address: int) -> int:
        self.read.append(address)
        return self.memory[address]

    def _second(self, gpa: int, access: int, blame: int) -> int:
        raise NotImplementedError

    def _host(self, gpa: int, access: int, blame: int) -> int:
        """Where a guest-physical address lies. blame: the program's own access."""
        return self._second(gpa, access, blame) if self.levels[1] else gpa

    def translate(self, address: int, access: int, user: bool) -> int:
        raise NotImplementedError


class RiscV(Model):
    V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))

    def _stage(
        self,
        address: int,
        levels: int,
        root: int,
        wide: bool,
        access: int,
        user: bool,
        locate: Callable[[int, int], int],
        fault: Callable[[], Fault],
    ) -> int:
        at = root
        for level in range(levels - 1, -1, -1):
            shift = 12 + 9 * level
            index = address >> shift
            if level < levels - 1 or not wide:
                index &= 511
            where = locate(at + 8 * index, LOAD)
            pte = self._load(where)
            if not pte & self.V or (not pte & self.R and pte & self.W):
                raise fault()
            if pte & (self.R | self.X):
                break
            if pte & (self.A | self.D | self.U) or level == 0:
                raise fault()
            at = (pte >> 10 & (1 << 44) - 1) << 12
        needs = {LOAD: self.R, STORE: self.W, FETCH: self.X}[access]
        allowed = bool(pte & needs)
        if user and not pte & self.U:
            allowed = False
        if not user and pte & self.U and access == FETCH:  # sstatus.SUM is set
            allowed = False
        frame = pte >> 10 & (1 << 44) - 1
        if not allowed or frame & ((1 << 9 * level) - 1):
            raise fault()
        used = pte | self.A | (self.D if access == STORE else 0)
        if used != pte:
            here = locate(at + 8 * index, STORE)
            self.memory[here] = used
        return (frame << 12) + (address & ((1 << shift) - 1))

    def _second(self, gpa: int, access: int, blame: int) -> int:
        def fault() -> Fault:
            return Fault({LOAD: 21, STORE: 23, FETCH: 20}[blame], True, gpa)

        if gpa >> self.width:
            raise fault()
        return self._stage(
            gpa, self.levels[1], self.roots[1], True, access, True, lambda where, _: where, fault
        )

    def translate(self, address: int, access: int, user: bool) -> int:
        def fault() -> Fault:
            return Fault({LOAD: 13, STORE: 15, FETCH: 12}[access])

        gpa = self._stage(
            address & (1 << 12 + 9 * self.levels[0]) - 1,
            self.levels[0],
            self.roots[0],
            False,
            access,
            user,
            lambda where, how: self._host(where, how, access),
            fault,
        )
        return self._host(gpa, access, access)


class Arm(Model):
    VALID, TABLE, AF, DBM = 1, 2, 1 << 10, 1 << 51
    WNR, S1PTW = 1 << 6, 1 << 7

    def _find(self, address: int, levels: int, root: int, wide: bool, locate) -> tuple:  # type: ignore[no-untyped-def]
        """(address of the descriptor, descriptor, level); the level counts from 4 - levels to 3.
        Raises the level of a translation fault."""
        at = root
        for level in range(4 - levels, 4):
            shift = 39 - 9 * level
            index = address >> shift
            if level > 4 - levels or not wide:
                index &= 511
            where = at + 8 * index
            entry = self._load(locate(where, LOAD))
            block = not entry & self.TABLE
            if not entry & self.VALID or (block and level not in (1, 2)):
                raise _AtLevel(level)
            if block or level == 3:
                return where, entry, level
            at = entry & ((1 << 48) - (1 << 12))
        raise AssertionError

    @staticmethod
    def _translation(level: int) -> int:
        return 0b101011 if level == -1 else 0b000100 | level

    def _second(self, gpa: int, access: int, blame: int) -> int:
        write = self.WNR if access == STORE else 0
        if gpa >> self.width:
            raise Fault(self._translation(0) | write, True, gpa)
        try:
            where, entry, level = self._find(
                gpa, self.levels[1], self.roots[1], True, lambda where, _: where
            )
        except _AtLevel as at:
            raise Fault(self._translation(at.level) | write, True, gpa) from None
        xn = entry >> 53 & 0b11
        reads, writes = bool(entry >> 6 & 1), bool(entry >> 7 & 1 or entry & self.DBM)
        allowed = {LOAD: reads, STORE: writes, FETCH: reads and xn in (0, 1)}[access]
        if not allowed:
            raise Fault(0b001100 | level | write, True, gpa)
        self.memory[where] |= self.AF | (1 << 7 if access == STORE else 0)
        shift = 39 - 9 * level
        return (entry & ((1 << 48) - (1 << shift))) + (gpa & ((1 << shift) - 1))

    def _table(self, gpa: int, access: int) -> int:
        try:
            return self._host(gpa, access, access)
        except Fault as fault:
            raise Fault(fault.code | self.S1PTW, True, fault.gpa) from None

    def translate(self, address: int, access: int, user: bool) -> int:
        write = self.WNR if access == STORE else 0
        try:
            where, entry, level = self._find(
                address & (1 << 12 + 9 * self.levels[0]) - 1,
                self.levels[0],
                self.roots[0],
                False,
                self._table,
            )
        except _AtLevel as at:
            raise Fault(self._translation(at.level) | write) from None
        for_user, read_only = bool(entry >> 6 & 1), bool(entry >> 7 & 1)
        writes = not read_only or bool(entry & self.DBM)
        never = entry >> (54 if user else 53) & 1
        allowed = {LOAD: True, STORE: writes, FETCH: not never}[access]
        if not allowed or (user and not for_user):
            raise Fault(0b001100 | level | write)
        used = entry | self.AF
        if access == STORE:
            used &= ~(1 << 7)
        if used != entry:
            self.memory[self._table(where, STORE)] = used
        shift = 39 - 9 * level
        gpa = (entry & ((1 << 48) - (1 << shift))) + (address & ((1 << shift) - 1))
        return self._host(gpa, access, access)


class _AtLevel(Exception):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.level = level
