"""Runs a student's shadow paging over sequences, in the sandbox, and has them judged."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from mmulab.coursework import sandbox
from mmulab.coursework.assignment import Problem
from mmulab.coursework.assignments.shadow_sync import layout
from mmulab.coursework.assignments.shadow_sync.driver import GPT, SPT
from mmulab.coursework.assignments.shadow_sync.judge import MOST_RECORDS, Count, Judge, Wrong
from mmulab.coursework.assignments.shadow_sync.world import KINDS, STORE, Sequence, sequences
from mmulab.coursework.sandbox.process import clean

FILE = "shadow.py"
_DRIVER = "mmulab.coursework.assignments.shadow_sync.driver"
_TOGETHER = sandbox.Limits(cpu=10, wall=60, memory=1 << 29, output=128 << 20)
_ALONE = sandbox.Limits(cpu=3, wall=20, memory=1 << 29, output=128 << 20)

#: Ends after which the other parts are worth a try of their own.
_ONE_PART = ("cpu", "wall", "memory", "signal", "exit", "printed", "result")

#: Exits that are accepted, for each that is needed.
WRITES_ACCEPTED, FILLS_ACCEPTED = 2.0, 1.25


def check(problem: Problem, source: str) -> dict[str, tuple[int, int, str]]:
    """By part: (sequences that were right, sequences, what was wrong first)."""
    made = {
        part: sequences(part, problem["levels"], problem["processes"], problem["seed"])
        for part in KINDS
    }
    everything = [each for part in made.values() for each in part]
    verdict = _run(problem, source, everything, _TOGETHER)
    verdicts = dict.fromkeys(made, verdict)
    if not verdict.ok and verdict.kind in _ONE_PART:
        for part, some in made.items():
            verdicts[part] = _run(problem, source, some, _ALONE)
    return {part: _judged(made[part], verdicts[part], problem["layout"]) for part in made}


def _run(
    problem: Problem, source: str, some: Many[Sequence], limits: sandbox.Limits
) -> sandbox.Verdict:
    bits = problem["layout"]
    inputs: dict[str, Any] = {
        "levels": problem["levels"],
        "sequences": [_name(s) for s in some],
        "layout": bits,
    }
    for each in some:
        tables = np.array(list(each.tables.values()), np.uint64).view(np.int64)
        operations = np.array(each.operations, np.uint64).view(np.int64)
        stores = operations[:, 0] == STORE
        operations[stores, 3] = layout.given(operations[stores, 3], bits)
        inputs |= {
            f"{_name(each)}.frames": np.array(list(each.tables), np.int64),
            f"{_name(each)}.tables": layout.given(tables, bits),
            f"{_name(each)}.p2m": np.array(each.p2m, np.int64),
            f"{_name(each)}.operations": operations,
        }
    return sandbox.run(source, _DRIVER, inputs, limits, name=FILE)


def _name(sequence: Sequence) -> str:
    return f"{sequence.part} {sequence.number}"


def _judged(
    some: Many[Sequence], verdict: sandbox.Verdict, bits: list[int]
) -> tuple[int, int, str]:
    if not verdict.ok:
        return 0, len(some), verdict.message
    right, first = 0, ""
    for each in some:
        try:
            _within(each.part, Judge(each).judge(*_records(each, verdict, bits)), each.number)
            right += 1
        except Wrong as wrong:
            first = first or clean(wrong)
    return right, len(some), first


def _records(
    sequence: Sequence, verdict: sandbox.Verdict, bits: list[int]
) -> tuple[np.ndarray, int, str]:
    """The records; and the operation at which a function failed, or -1, and why."""
    name = _name(sequence)
    records = verdict.array(name, (None, 5), 5 * MOST_RECORDS)
    if records is None:
        raise Wrong("no record of the sequence came back, or one of far too many changes")
    entries = np.isin(records[:, 1], (SPT, GPT))
    records = records.copy()
    records[entries, 4] = layout.taken(records[entries, 4], bits)
    failed = verdict.value("problems", name, "operation", kind=int)
    why = verdict.value("problems", name, "text", kind=str)
    return records, -1 if failed is None else failed, why or ""


def _within(part: str, count: Count, number: int) -> None:
    """Raises Wrong where a sequence took more exits than are accepted."""
    if part == "lazy" and count.writes > WRITES_ACCEPTED * count.writes_needed:
        raise Wrong(
            f"sequence {number}: all is right, but {count.writes} stores to tables made an exit; "
            f"{count.writes_needed} need to, and twice as many are accepted"
        )
    if part == "kept" and count.fills > FILLS_ACCEPTED * count.fills_needed:
        raise Wrong(
            f"sequence {number}: all is right, but {count.fills} faults were mended; "
            f"{count.fills_needed} need to be, and a quarter more are accepted"
        )
