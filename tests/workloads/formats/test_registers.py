"""What made an address, from ChampSim's registers: against a slow reading of the records."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.trace import COLUMNS, FARTHEST, INDEPENDENT, UNKNOWN
from mmulab.workloads import formats
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import ByteStream

SP, FLAGS, IP = 6, 25, 26

Instruction = dict[str, Any]


def packed(program: list[Instruction], name: str) -> bytes:
    return b"".join(record(one, name) for one in program)


def record(one: Instruction, name: str) -> bytes:
    written = 2 if name == "champsim" else 4
    out = struct.pack("<QBB", one["ip"], one["branch"], 0)
    out += bytes((one["writes"] + [0] * 4)[:written]) + bytes((one["reads"] + [0] * 4)[:4])
    out += bytes(-len(out) % 8)
    out += struct.pack(f"<{written}Q", *(one["stores"] + [0] * 4)[:written])
    out += struct.pack("<4Q", *(one["loads"] + [0] * 4)[:4])
    return out + bytes([one["process"], 0]) + bytes(6) if name == "cloudsuite" else out


def slowly(program: list[Instruction], name: str) -> list[tuple[int, int]]:
    """(ip, depends) of every access: for each register the set of loads that fed it, or None."""
    start = dict.fromkeys(range(1, 256))
    fed: dict[int, Any] = {**start, SP: set()}
    written = 2 if name == "champsim" else 4
    process = None
    out: list[tuple[int, int]] = []
    for one in program:
        if name == "cloudsuite" and one["process"] != process:
            process = one["process"]
            fed = {**start, SP: set()}
        reads = [register for register in one["reads"] if register not in (0, IP)]
        makers = [fed[register] for register in reads if register != FLAGS]
        loads: set[int] = set().union(*filter(None, makers))
        if one["ip"]:
            out.append((one["ip"], UNKNOWN))
        data = [("load", a) for a in one["loads"] if a]
        data += [("store", a) for a in one["stores"][:written] if a]
        value: set[int] | None = set().union(*filter(None, (fed[r] for r in reads)))
        if not value and any(fed[register] is None for register in reads):
            value = None
        for what, _ in data:
            if loads:
                back = len(out) - max(loads)
                depends = back if back <= FARTHEST else UNKNOWN
            else:
                depends = UNKNOWN if None in makers else INDEPENDENT
            if what == "load":
                value = {len(out)}
            out.append((one["ip"], depends))
        others = any(register not in (SP, FLAGS) for register in reads)
        for register in one["writes"][:written]:
            if register and not (register == SP and (one["branch"] or data or not others)):
                fed[register] = value
    return out


def read(data: bytes, name: str, chunk: int, columns: Any = COLUMNS) -> list[tuple[int, int]]:
    stream = ByteStream(io.BytesIO(data), "records", None)
    options = Options(chunk_accesses=chunk, columns=frozenset(columns))
    found: list[tuple[int, int]] = []
    for each in formats.get(name).read(stream, options):
        assert each.ip is not None and each.depends is not None and each.device is None
        found += zip(each.ip.tolist(), each.depends.tolist(), strict=True)
    return found


REGISTER = st.sampled_from([0, 1, 2, 3, 4, SP, FLAGS, IP, 200, 255])
SLOT = st.just(0) | st.integers(1, 1 << 40)
INSTRUCTION = st.fixed_dictionaries(
    {
        "ip": st.just(0) | st.integers(1, 1 << 40),
        "branch": st.integers(0, 1),
        "reads": st.lists(REGISTER, max_size=4),
        "writes": st.lists(REGISTER, max_size=4),
        "loads": st.lists(SLOT, max_size=4),
        "stores": st.lists(SLOT, max_size=4),
        "process": st.sampled_from([1, 1, 1, 2]),
    }
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(INSTRUCTION, min_size=1, max_size=60),
    st.integers(1, 50),
    st.sampled_from(["champsim", "cloudsuite"]),
)
def test_against_sets_of_loads(program: list[Instruction], chunk: int, name: str) -> None:
    program.append({**dict.fromkeys(("reads", "writes", "stores", "loads"), []),
                    "ip": 64, "branch": 0, "process": 1})  # fmt: skip
    assert read(packed(program, name), name, chunk) == slowly(program, name)


def instruction(**what: Any) -> Instruction:
    fields = dict.fromkeys(("reads", "writes", "stores", "loads"), [])
    return {**fields, "ip": 64, "branch": 0, "process": 1, **what}


@pytest.mark.parametrize("between", [FARTHEST - 1, FARTHEST])
def test_what_lies_too_far_back_is_not_known(between: int) -> None:
    load = instruction(ip=0, reads=[SP], writes=[1], loads=[4096])
    use = instruction(ip=0, reads=[1], loads=[8192])
    program = [load, *[instruction()] * between, use]
    depends = [value for _, value in read(packed(program, "champsim"), "champsim", 1 << 12)]
    assert depends[0] == INDEPENDENT and not any(depends[1:-1])
    assert depends[-1] == (FARTHEST if between < FARTHEST else UNKNOWN)


def test_a_list_is_walked_pointer_by_pointer() -> None:
    """mov rax, [rax] with a push, a pop and an addition between; the stack depends on no load."""
    walk = instruction(reads=[1], writes=[1], loads=[4096])
    push = instruction(reads=[SP, 2], writes=[SP], stores=[8192])
    pop = instruction(reads=[SP], writes=[SP, 2], loads=[8192])
    add = instruction(reads=[1], writes=[1, FLAGS])
    found = read(packed([walk, walk, push, pop, add, walk], "champsim"), "champsim", 100)
    data = [depends for at, (_, depends) in enumerate(found) if at in (1, 3, 5, 7, 10)]
    # The push stores a register that is not known; the pop reads the stack pointer alone.
    assert data == [UNKNOWN, 2, UNKNOWN, INDEPENDENT, 7]
