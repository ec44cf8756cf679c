"""The machine under a student's shadow paging; in the sandbox's child.

Runs sequences of what a guest does. The student's functions are called where a real VMM gets
an exit. What they did to the tables is recorded, entry by entry, and judged elsewhere.
"""

from __future__ import annotations

import traceback
import types
from typing import Any

import numpy as np

FUNCTIONS = ("load_cr3", "shadow_fault", "guest_pte_write", "invlpg")

# Kinds of operation; the same numbers as in `world`.
CR3, ACCESS, STORE, INVLPG = 0, 1, 2, 3
# Kinds of record: (operation, kind, a, b, value).
SPT, ROOT, PROTECTED, GPT, REFLECTED = 0, 1, 2, 3, 4

FRAME = ((1 << 40) - 1) << 12
WRITE, USER, FETCH = 1, 2, 4  # of an access
FIRST_TABLE = 1 << 20  # host frames of shadow tables: above all frames of the guest
MOST_TABLES = 512


class VM:
    """What the VMM has in its hands. See handout.md."""

    def __init__(
        self, levels: int, tables: dict[int, list[int]], p2m: list[int], layout: list[int]
    ) -> None:
        self.levels = levels
        self._flags = [1 << bit for bit in layout]  # P, RW, US, A, D, XD
        self.gpt = tables
        self.p2m = p2m
        self.spt: dict[int, list[int]] = {}
        self.data: dict[Any, Any] = {}
        self._root = -1
        self._protected: set[int] = set()
        self._next = FIRST_TABLE

    def new_table(self) -> int:
        if len(self.spt) >= MOST_TABLES:
            raise RuntimeError(f"more than {MOST_TABLES} shadow tables")
        self._next += 1
        self.spt[self._next] = [0] * 512
        return self._next

    def free_table(self, hfn: int) -> None:
        del self.spt[hfn]

    def set_root(self, hfn: int) -> None:
        if hfn not in self.spt:
            raise ValueError(f"set_root: {hfn!r} is no shadow table")
        self._root = hfn

    def protect(self, gfn: int) -> None:
        if gfn not in self.gpt:
            raise ValueError(f"protect: {gfn!r} is no table of the guest")
        self._protected.add(gfn)

    def unprotect(self, gfn: int) -> None:
        self._protected.discard(gfn)

    def protected(self, gfn: int) -> bool:
        return gfn in self._protected


def permitted(vm: VM, gva: int, access: int) -> bool:
    """What the processor makes of the sPT: is there a translation that allows the access?"""
    table = vm._root
    present, rw, us, _, _, no_fetch = vm._flags
    rights, xd = rw | us, 0
    for level in range(vm.levels, 0, -1):
        if table not in vm.spt:
            return False
        entry = vm.spt[table][(gva >> (3 + 9 * level)) & 511]
        if not entry & present:
            return False
        rights &= entry
        xd |= entry & no_fetch
        table = (entry & FRAME) >> 12
    return not (
        (access & WRITE and not rights & rw)
        or (access & USER and not rights & us)
        or (access & FETCH and xd)
    )


class Recorder:
    """Finds what has changed since it last looked."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.root = -1
        self.protected: set[int] = set()
        self.spt: dict[int, list[int]] = {}
        self.gpt = {gfn: list(table) for gfn, table in vm.gpt.items()}

    def look(self, number: int) -> None:
        vm = self.vm
        self._tables(number, SPT, self.spt, vm.spt)
        self._tables(number, GPT, self.gpt, vm.gpt)
        if vm._root != self.root:
            self.root = vm._root
            self.rows.append((number, ROOT, self.root, 0, 0))
        for gfn in vm._protected ^ self.protected:
            self.rows.append((number, PROTECTED, gfn, 0, int(gfn in vm._protected)))
        self.protected = set(vm._protected)

    def _tables(self, number: int, kind: int, old: Any, new: Any) -> None:
        for frame in [frame for frame in old if frame not in new]:
            if kind == GPT:
                raise ValueError(f"vm.gpt[{frame}] is gone; the guest's tables are the guest's")
            for index, value in enumerate(old.pop(frame)):
                if value:
                    self.rows.append((number, kind, frame, index, 0))
        for frame, table in new.items():
            before = old.get(frame)
            if table == before:
                continue
            if before is None:
                before = [0] * 512
            if not isinstance(table, list) or len(table) != 512:
                raise ValueError(f"table {frame} is no list of 512 entries any more")
            for index, value in enumerate(table):
                if value != before[index]:
                    if type(value) is not int or not 0 <= value < 1 << 64:
                        raise ValueError(f"entry {index} of table {frame} became {value!r:.80}; "
                                         "expected a whole number of 64 bits")  # fmt: skip
                    pattern = value - (1 << 64) if value >> 63 else value
                    self.rows.append((number, kind, frame, index, pattern))
            old[frame] = list(table)


def operate(student: types.ModuleType, vm: VM, operation: list[int]) -> bool:
    """One thing that the guest does. True where a fault was given to the guest."""
    kind, a, b, value = operation
    if kind == CR3:
        student.load_cr3(vm, a)
    elif kind == STORE:
        value &= (1 << 64) - 1
        if a in vm._protected:
            student.guest_pte_write(vm, a, b, value)
        else:
            vm.gpt[a][b] = value
    elif kind == INVLPG:
        student.invlpg(vm, a & ((1 << 64) - 1))
    else:
        gva = a & ((1 << 64) - 1)
        if not permitted(vm, gva, b):
            flags = (bool(b & each) for each in (WRITE, USER, FETCH))
            return bool(student.shadow_fault(vm, gva, *flags))
    return False


def sequence(student: types.ModuleType, inputs: dict[str, Any], name: str) -> tuple[Any, Any]:
    """Runs a sequence: (records, what went wrong or None)."""
    frames = inputs[f"{name}.frames"].tolist()
    contents = inputs[f"{name}.tables"].tolist()
    tables = {
        frame: [entry & ((1 << 64) - 1) for entry in table]
        for frame, table in zip(frames, contents, strict=True)
    }
    vm = VM(int(inputs["levels"]), tables, inputs[f"{name}.p2m"].tolist(), inputs["layout"])
    recorder = Recorder(vm)
    problem = None
    number = 0
    try:
        for number, operation in enumerate(inputs[f"{name}.operations"].tolist()):
            reflected = operate(student, vm, operation)
            recorder.look(number)
            if reflected:
                recorder.rows.append((number, REFLECTED, 0, 0, 1))
    except MemoryError:
        raise
    except Exception as error:
        problem = {"operation": number, "text": told(error, student.__file__ or "")}
    return np.array(recorder.rows, np.int64).reshape(-1, 5), problem


def told(error: Exception, file: str) -> str:
    """The error, with the last line of the student's file that it came through."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error!s:.300}"


def run(student: types.ModuleType, inputs: dict[str, Any]) -> dict[str, Any]:
    """Records by name of sequence; `problems`: where a function raised an error."""
    for name in FUNCTIONS:
        if not callable(getattr(student, name, None)):
            raise ValueError(f"there is no function {name}")
    outputs: dict[str, Any] = {"problems": {}}
    for name in inputs["sequences"]:
        outputs[name], problem = sequence(student, inputs, name)
        if problem is not None:
            outputs["problems"][name] = problem
    return outputs
