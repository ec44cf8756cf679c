"""Generators of many processes: what each process does from its first access to its last, and
whether a guest OS would let them."""

from __future__ import annotations

import bisect
from collections import Counter

import numpy as np
import pytest
from drivers.generated import Access, columns
from hypothesis import given, settings
from hypothesis import strategies as st
from models.processes import ProcessModel
from models.random_numbers import below, unit

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import (
    BRK,
    EXEC,
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
)
from mmulab.workloads import generators
from mmulab.workloads.generators.parameters import ARENA, HEAP


def by_process(
    spec: str, seed: int = 1
) -> tuple[dict[int, list[Access]], list[tuple[int, int]], list[tuple[int, ...]]]:
    """(accesses of each pid, (pid, accesses) of each turn, events). Pids are not used again
    within so few accesses."""
    address, kind, events = columns(spec, seed)
    mine: dict[int, list[Access]] = {}
    turns = []
    current, before = 1, 0
    for position, what, pid, *_ in [*events, (len(address), SWITCH, 0)]:
        if what == SWITCH:
            part = list(zip(address[before:position].tolist(), kind[before:position].tolist(),
                            strict=True))  # fmt: skip
            mine.setdefault(current, []).extend(part)
            turns.append((current, len(part)))
            current, before = pid, position
    return mine, turns, events


def model_of(spec: str, unborn: bool = False) -> ProcessModel:
    model = ProcessModel(1, unborn=unborn)
    for chunk in generators.create(spec).chunks():
        model.run(chunk)
    return model


SIZES = [
    int(k * 102.4 * 10**group) for group in range(4) for k in range(1, 10)
]  # SPECweb96's 36 files
STARTS = np.cumsum([0, *(-(-size // 4096) * 4096 for size in SIZES)]).tolist()


def served(trace: list[Access], heap: int, work: int, writes: int) -> list[tuple[int, int]]:
    """(directory, file) of each whole request in a worker's accesses, which are checked."""
    found, at = [], 0
    while at + 8 + work + writes < len(trace):
        assert trace[at : at + 8] == [(HEAP + 64 * line, STORE) for line in range(8)]
        at += 8
        part = trace[at : at + work + writes]
        assert [kind for _, kind in part].count(STORE) == writes
        assert all(HEAP <= address < HEAP + heap for address, _ in part)
        assert all(address % 4096 == 0 for address, kind in part if kind == STORE)
        at += work + writes
        if at + 1 >= len(trace):
            break
        directory, start = divmod(trace[at][0] - ARENA, STARTS[-1])
        number = bisect.bisect_right(STARTS, start) - 1
        assert start == STARTS[number]
        lines = -(-SIZES[number] // 64)
        if at + 2 * lines >= len(trace):
            break
        for line in range(lines):
            document = (ARENA + directory * STARTS[-1] + start + 64 * line, LOAD)
            pool = (HEAP + 512 + 64 * line % 7680, STORE)
            assert trace[at : at + 2] == [document, pool]
            at += 2
        log, kind = trace[at]
        assert HEAP + 8192 <= log < HEAP + 12288 and kind == STORE
        at += 1
        found.append((directory, number))
    return found


def test_webserver_children_serve_whole_requests_and_then_exit() -> None:
    heap, work, writes, requests = 128 << 10, 37, 5, 6
    spec = (
        f"webserver:workers=3,requests={requests},directories=2,heap=128K,work={work},"
        f"writes={writes},quantum=500,accesses=300K"
    )
    mine, turns, events = by_process(spec)
    exited = [pid for _, kind, pid, *_ in events if kind == EXIT]
    forked = [value for _, kind, pid, *_, value in events if kind == FORK]
    assert forked == list(range(2, 2 + len(forked))) and len(exited) == len(forked) - 3 > 20
    for pid in forked:
        found = served(mine.get(pid, []), heap, work, writes)
        assert len(found) == requests if pid in exited else len(found) <= requests
    # A turn ends with the quantum (a step makes two accesses at most) or with an exit.
    ends = [length for pid, length in turns[1:-1] if pid not in exited and pid != 1]
    assert set(ends) <= {500, 501}
    # Every worker has its turn after the others: of three in a row none is twice there.
    order = [pid for pid, _ in turns[1:] if pid != 1]
    for first, second, third in zip(order, order[1:], order[2:], strict=False):
        assert len({first, second, third}) == 3


def test_webserver_documents_are_filled_once_and_then_read_only() -> None:
    mine, _, events = by_process("webserver:workers=2,directories=1,heap=16K,accesses=30K")
    pages = STARTS[-1] // 4096
    parent = mine[1][: 4 + pages]
    assert parent[:4] == [(HEAP + 4096 * page, STORE) for page in range(4)]
    assert parent[4:] == [(ARENA + 4096 * page, STORE) for page in range(pages)]
    assert [event[1] for event in events[:5]] == [MMAP, MMAP, MPROTECT, FORK, FORK]
    assert events[2][0] == events[3][0] == 4 + pages and events[2][5] == 1


def test_webserver_draws_documents_as_specweb96_does() -> None:
    spec = "webserver:workers=1,requests=1000G,directories=3,work=0,writes=0,accesses=2M"
    mine, _, _ = by_process(spec)
    found = served(mine[2], 4 << 20, 0, 0)
    count = len(found)
    classes = Counter(number // 9 for _, number in found)
    directories = Counter(directory for directory, _ in found)
    assert count > 3000
    for group, share in enumerate((0.35, 0.50, 0.14, 0.01)):
        assert abs(classes[group] - count * share) < 5 * (count * share) ** 0.5
    for directory in range(3):
        share = 1 / (directory + 1) / (1 + 1 / 2 + 1 / 3)
        assert abs(directories[directory] - count * share) < 5 * (count * share) ** 0.5


def job_of(number: int, seed: int, heap: int, text: int, sources: int, tokens: int) -> list[Access]:
    """What a job does from its first access to its last, written as one piece."""
    program, library = HEAP - (1 << 32), ARENA + (1 << 38)
    stack = (1 << 47) - (1 << 30) + (132 << 10)
    out = ARENA + (1 << 37)
    made: list[Access] = []

    def hot(seed: int, position: int, length: int) -> int:
        drawn = unit(seed, position)
        return int(drawn * drawn * drawn * (length // 8)) * 8

    def spread(step: int, steps: int, length: int) -> int:
        return int(step / steps * (length // 8)) * 8

    for step in range(300):
        draw = (number * 300 + step) * 3
        made.append((program + hot(seed, draw, 112 << 10), FETCH))
        made.append((program + (112 << 10) + 8 * below(seed, draw + 1, (16 << 10) // 8), LOAD))
        made.append((stack - 8 - 8 * (step % 512), STORE))
    node = 0
    for token in range(tokens):
        draw = number * tokens + token
        made.append((program + hot(seed ^ 1, 2 * draw, text), FETCH))
        if token % 8 == 0:
            made.append((library + hot(seed ^ 2, draw, 116 << 10), FETCH))
        made.append((ARENA + spread(token, tokens, sources), LOAD))
        node = spread(token, tokens, heap)
        made.append((HEAP + node, STORE))
        made.append((HEAP + node - hot(seed ^ 1, 2 * draw + 1, node + 8), LOAD))
    lines = sources // 64
    for line in range(lines):
        made.append((HEAP + spread(line, lines, node + 8), LOAD))
        made.append((out + 64 * line, STORE))
    return made


@pytest.mark.parametrize("vfork", [0, 1])
def test_buildfarm_jobs_do_what_a_compiler_does(vfork: int) -> None:
    seed = 3
    spec = (
        "buildfarm:jobs=3,heap=300K,job=4K,text=40K,sources=8K,make=64K,quantum=700,"
        f"vfork={vfork},accesses=60K"
    )
    mine, turns, events = by_process(spec, seed)
    exited = [pid for _, kind, pid, *_ in events if kind == EXIT]
    assert len(exited) > 5
    for pid, trace in mine.items():
        if pid > 1:
            expected = job_of(pid - 2, seed, 300 << 10, 40 << 10, 8 << 10, 1000)
            assert trace == (expected if pid in exited else expected[: len(trace)])
            kinds = [event[1] for event in events if event[2] == pid and event[1] != SWITCH]
            breaks = [BRK] * 4  # the base, and 128 KiB more until 300 KiB are there
            if pid in exited:
                assert kinds == [
                    EXEC, *[MMAP] * 5, EXEC, *[MMAP] * 5, *breaks[:2], MMAP, *breaks[2:],
                    MMAP, MUNMAP, MUNMAP, EXIT,
                ]  # fmt: skip
    forks = sum(event[1] == FORK for event in events)
    assert forks == (0 if vfork else len(mine) - 1)
    # A turn ends with the quantum, passed by at most a step's five accesses, or with an exit.
    for pid, length in turns[1:-1]:
        assert pid == 1 or pid in exited or 700 <= length < 705


def test_buildfarm_runs_as_many_jobs_as_asked_at_a_time() -> None:
    for jobs in (1, 2, 7):
        spec = f"buildfarm:jobs={jobs},heap=8K,job=4K,text=8K,sources=4K,make=8K,quantum=500"
        assert model_of(f"{spec},accesses=90K").most == 1 + jobs


@settings(max_examples=25, deadline=None)
@given(
    jobs=st.integers(1, 6),
    heap=st.integers(4096, 1 << 20),
    job=st.integers(1, 5000),
    sources=st.integers(4096, 40_000),
    quantum=st.integers(1, 3000),
    vfork=st.booleans(),
)
def test_buildfarm_never_does_what_its_processes_may_not(
    jobs: int, heap: int, job: int, sources: int, quantum: int, vfork: bool
) -> None:
    spec = (
        f"buildfarm:jobs={jobs},heap={heap},job={job},text=9K,sources={sources},make=9K,"
        f"quantum={quantum},vfork={int(vfork)},accesses=8K"
    )
    model_of(spec, unborn=vfork)


@settings(max_examples=25, deadline=None)
@given(
    workers=st.integers(1, 6),
    requests=st.integers(1, 5),
    heap=st.integers(16_384, 100_000),
    work=st.integers(0, 50),
    writes=st.integers(0, 50),
    quantum=st.integers(1, 3000),
)
def test_webserver_never_does_what_its_processes_may_not(
    workers: int, requests: int, heap: int, work: int, writes: int, quantum: int
) -> None:
    spec = (
        f"webserver:workers={workers},requests={requests},heap={heap},work={work},"
        f"writes={writes},quantum={quantum},directories=1,accesses=12K"
    )
    assert model_of(spec).most <= 1 + workers


def test_webserver_says_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="heap=4096: expected at least 16384"):
        generators.create("webserver:heap=4K")
