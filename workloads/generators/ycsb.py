"""YCSB's core workloads A to F over a table of records with a hash index.

First the load phase, as `ycsb load` runs before `ycsb run`: one record after another is inserted,
where the last one ends, by a store to its index entry and to each of its lines. All first touches
of the table fall into it; the operations after it have none but those of inserts (workloads D and
E), which grow the table.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, Last
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    LARGEST_ARENA,
    WORD,
    Parameter,
    choice,
    mapped,
    resumed,
)
from mmulab.workloads.generators.randoms import below, hashed, unit
from mmulab.workloads.generators.zipf_law import rank_of, zeta_of

SUMMARY = "YCSB's workloads A to F (Cooper et al., Benchmarking cloud serving systems, SoCC 2010)"
PARAMETERS = {
    "workload": choice("A half updates, B 5 % updates, C reads, D reads of the latest with 5 % "
                       "inserts, E scans with 5 % inserts, F half read-modify-write",
                       "A", "B", "C", "D", "E", "F"),
    "records": Parameter(250_000, "records at the start, 250 MB; an assumption: YCSB leaves it to "
                         "its user (recordcount)", least=2, most=1 << 32),
    "load": Parameter(1, "1: insert them first, as ycsb load does; 0: they are there, and an "
                      "operation touches a page first", least=0, most=1),
    "record": Parameter(1000, "bytes of a record; YCSB has ten fields of 100", "bytes", WORD,
                        1 << 20),
    "scan": Parameter(100, "most records of a scan; YCSB's maxscanlength", least=1, most=10_000),
    "theta": Parameter(0.99, "skew; YCSB's constant is 0.99", "fraction", 0.01, 0.999),
    "accesses": ACCESSES,
}  # fmt: skip

# Workloads by number: (reads, updates, inserts, scans, read-modify-writes) and whether
# keys are drawn by how late they came. From YCSB's workloads/ directory.
_MIXES = (
    (0.5, 0.5, 0.0, 0.0, 0.0),
    (0.95, 0.05, 0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0, 0.0, 0.0),
    (0.95, 0.0, 0.05, 0.0, 0.0),
    (0.0, 0.0, 0.05, 0.95, 0.0),
    (0.5, 0.0, 0.0, 0.0, 0.5),
)
_LATEST = 3
_LINE = 64
_GROWTH = 2  # the table has room for so many times the records; then inserts begin again

# Places in the state.
_OPERATION, _RECORDS, _LEFT, _KEY, _LINE_NUMBER, _WHAT = range(6)
_READ, _UPDATE, _MODIFY = 0, 1, 2  # what is done with a record


@entry
def _fill(address, kind, state, seed, records, record, longest, mix, latest, theta, zeta, load):
    """An operation loads the index entry of its key, then each line of the record (of
    several, one after another, for a scan); a read-modify-write loads, then stores. The first
    `load` operations insert the records."""
    lines = (record - 1) // _LINE + 1
    limit = address.size - 64
    count = 0
    while count < limit:
        if not state[_LEFT]:
            operation = state[_OPERATION] - load
            state[_OPERATION] += 1
            if operation < 0:
                key = operation + load
                state[_LEFT], state[_KEY], state[_LINE_NUMBER], state[_WHAT] = 1, key, 0, _UPDATE
                address[count] = HEAP + key * WORD
                kind[count] = STORE
                count += 1
                continue
            drawn = unit(seed, 3 * operation)
            rank = rank_of(unit(seed, 3 * operation + 1), records, theta, zeta)
            present = state[_RECORDS]
            if latest:
                key = present - 1 - rank
            else:
                key = np.int64(hashed(0, rank) % np.uint64(records))
            state[_LEFT] = 1
            what = _READ
            if drawn >= mix[0] and drawn < mix[0] + mix[1]:
                what = _UPDATE
            elif drawn >= mix[0] + mix[1] and drawn < mix[0] + mix[1] + mix[2]:
                what = _UPDATE
                if present == _GROWTH * records:
                    present = records
                key = present
                state[_RECORDS] = present + 1
            elif drawn >= mix[0] + mix[1] + mix[2] and mix[3] > 0:
                wanted = 1 + below(seed, 3 * operation + 2, longest)
                state[_LEFT] = min(wanted, present - key)
            elif drawn >= 1.0 - mix[4]:
                what = _MODIFY
            state[_KEY], state[_LINE_NUMBER], state[_WHAT] = key, 0, what
            address[count] = HEAP + key * WORD
            kind[count] = LOAD
            count += 1
        what = state[_WHAT]
        while state[_LEFT] and count < limit:
            address[count] = ARENA + state[_KEY] * record + state[_LINE_NUMBER] * _LINE
            kind[count] = STORE if what == _UPDATE else LOAD
            count += 1
            if what == _MODIFY:
                address[count] = address[count - 1]
                kind[count] = STORE
                count += 1
            state[_LINE_NUMBER] += 1
            if state[_LINE_NUMBER] == lines:
                state[_LINE_NUMBER] = 0
                state[_KEY] += 1
                state[_LEFT] -= 1
    return count


def _stored(parameters: dict[str, int | float]) -> int:
    return -(-int(parameters["record"]) // WORD) * WORD


def check(parameters: dict[str, int | float]) -> None:
    records, most = int(parameters["records"]), LARGEST_ARENA // (_GROWTH * _stored(parameters))
    if records > most:
        raise InputError(f"ycsb: records={records}: expected at most {most} of that size")


def _loading(parameters: dict[str, int | float]) -> int:
    """Accesses of the load phase."""
    if not parameters["load"]:
        return 0
    return int(parameters["records"]) * (2 + (_stored(parameters) - 1) // _LINE)


def depends(parameters: dict[str, int | float]) -> Depends:
    """The key's hash makes the index entry's address; what the entry holds, that of each line,
    also of the records that a scan reads after the first. Where the last record ends, which is
    where the load phase stores the next, is a counter."""
    entry_ = Last()
    left = _loading(parameters)

    def column(chunk: Chunk) -> np.ndarray:
        nonlocal left
        index = chunk.address < ARENA
        made = np.where(index, INDEPENDENT, entry_.back(index))
        made[:left] = INDEPENDENT
        left = max(0, left - chunk.accesses)
        return made.astype(np.uint16)

    return column


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    records, record = int(parameters["records"]), _stored(parameters)
    workload, theta = int(parameters["workload"]), float(parameters["theta"])
    mix, zeta = np.array(_MIXES[workload]), zeta_of(records, theta)
    longest = int(parameters["scan"])
    state = np.zeros(6, np.int64)
    state[_RECORDS] = records
    return resumed(
        int(parameters["accesses"]),
        mapped((HEAP, _GROWTH * records * WORD), (ARENA, _GROWTH * records * record)),
        lambda address, kind: _fill(
            address, kind, state, seed, records, record, longest, mix, workload == _LATEST,
            theta, zeta, records * int(parameters["load"]),
        ),
    )  # fmt: skip
