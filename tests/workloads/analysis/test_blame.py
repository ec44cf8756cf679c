"""Misses are charged to the accesses that make them: against runs of one access at a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mmulab as public
from mmulab import rerun
from mmulab.arguments import machine
from mmulab.mmu.errors import InputError
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.machine.work import prepare
from mmulab.mmu.trace import BRK, EVENT, EXEC, FORK, LOAD, MMAP, MUNMAP, NO_EVENTS, SWITCH, Chunk
from mmulab.workloads.analysis import blame
from mmulab.workloads.analysis.labels import (
    CODE,
    HEAP,
    KERNEL,
    PROGRAM,
    REGIONS,
    STACK,
    WRITABLE,
    Ranges,
    Regions,
)

TRACE = "microchurn:heap=64K,arena=32K,writes=16,work=200,accesses=4K"


def one_by_one(technique: str, size: int, most: int) -> dict[str, list[int]]:
    """(accesses, L1 misses, walks, faults, exits) by range, of a run that stops at each access."""
    preset, config = machine("skylake-sp", (), {}, technique)
    simulator = build(technique, preset, config)
    vcpu = simulator.machine.vcpu
    labels = Ranges(size)
    found: dict[str, list[int]] = {}

    def now() -> np.ndarray:
        stats = vcpu.stats[0]
        return np.array(
            [0, stats["l1_misses"].sum(), stats["walks"].sum(), stats["guest_faults"],
             vcpu.exits.sum()]
        )  # fmt: skip

    done = 0
    for chunk in public.trace(TRACE).chunks():
        work, _ = prepare(public.trace(TRACE), chunk, done, 0, 4)
        event = 0
        names = [labels.name(label) for label in labels.of(chunk).tolist()]
        for at in range(min(chunk.accesses, most - done)):
            before = now()
            event = simulator.run(chunk, work.marks, at, at, event)
            after = now()
            if (after != before).any():
                row = found.setdefault("events", [0] * 5)
                found["events"] = (np.array(row) + after - before).tolist()
            quiet = chunk._replace(events=chunk.events[:event])
            simulator.run(quiet, work.marks, at, at + 1, event)
            change = now() - after + [1, 0, 0, 0, 0]
            found[names[at]] = (np.array(found.get(names[at], [0] * 5)) + change).tolist()
        done += chunk.accesses
    return found


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
def test_against_a_run_of_single_accesses(technique: str) -> None:
    how = {"technique": technique, "range": "16K", "preset": "skylake-sp", "caches": "off"}
    found = public.blame(TRACE, "range", max=3000, **how)  # type: ignore[arg-type]
    rows = {
        part.name: [
            part.measured.counts["accesses"], part.measured.counts["l1_tlb_misses"],
            part.measured.counts["walks"], part.measured.counts["guest_faults"],
            part.measured.total_exits,
        ]
        for part in found.parts
    }  # fmt: skip
    wanted = one_by_one(technique, 1 << 14, 3000)
    assert {name: row for name, row in rows.items() if any(row)} == wanted
    assert len(wanted) > 5 and ("events" in wanted) == (technique != "native")


@pytest.mark.parametrize(
    ("trace", "by"), [("@shell", "region"), ("gups:size=8M,accesses=30K", "range")]
)
def test_parts_add_up_to_a_whole_run(trace: str, by: str) -> None:
    """Every count of a comparison, each reference of its walks, and its cycles."""
    found = public.blame(trace, by, preset="skylake-sp", warmup="10K")
    whole = public.compare(trace, techniques="nested", preset="skylake-sp", warmup="10K")["nested"]
    for name, count in whole.counts.items():
        assert sum(part.measured.counts[name] for part in found.parts) == count, name
    for dimension in ("guest", "nested"):
        references = sum(part.measured.references_in(dimension) for part in found.parts)
        assert references == whole.references_in(dimension)
    translation = whole.translation_percent / 100 * whole.total_cycles.likely
    assert sum(map(found.cycles, found.parts)) == pytest.approx(translation)


def accesses(*addresses: int, events: np.ndarray = NO_EVENTS) -> Chunk:
    count = len(addresses)
    return Chunk(
        np.array(addresses, np.int64), np.full(count, LOAD, np.uint8), np.ones(count, np.uint16),
        events,
    )  # fmt: skip


def test_regions_follow_events() -> None:
    heap, code, top = 0x40_0000, 0x7F00_0000_0000, 0x7FFC_1234_0000
    events = np.array(
        [
            (1, BRK, 1, heap, 0, 0), (1, BRK, 1, heap + 0x2000, 0, 0),
            (2, MMAP, 1, code, 0x4000, 5), (3, MMAP, 1, code + 0x1000, 0x1000, 3),
            (5, FORK, 1, 0, 0, 2), (5, SWITCH, 2, 0, 0, 0), (6, MUNMAP, 2, code, 0x1000, 0),
            (7, SWITCH, 1, 0, 0, 0), (8, EXEC, 1, 0, 0, 0),
        ],
        EVENT,
    )  # fmt: skip
    found = Regions(FIRST_PID).of(
        accesses(
            heap, heap + 0x1000, code + 0x1000, code + 0x1000, top, code, code, code, code, -4096,
            events=events,
        )
    )  # fmt: skip
    assert found.tolist() == [
        PROGRAM, HEAP, CODE, WRITABLE, STACK, CODE, PROGRAM, CODE, PROGRAM, KERNEL
    ]  # fmt: skip
    assert len(REGIONS) == len(set(REGIONS))


def test_a_program_has_its_regions() -> None:
    found = public.blame("@python", preset="skylake-sp", max="200K")
    names = {part.name for part in found.parts}
    assert names >= {"heap", "stack", "mapped code", "mapped, writable", "program"}


def test_instructions(tmp_path: Path) -> None:
    """Of a trace with a column of them: two instructions, one of which strides over pages."""
    count = 4000
    address = np.where(np.arange(count) % 2, 0x1000_0000, 0x2000_0000 + np.arange(count) * 4096)

    class Two:
        name, length = "two", count

        def chunks(self, columns=()):  # type: ignore
            ip = np.where(np.arange(count) % 2, 0x401000, 0x401008)
            yield accesses(*address.tolist())._replace(ip=ip)

    found = public.blame(Two(), "ip", preset="skylake-sp")
    assert [part.name for part in found.parts] == ["0x401008", "0x401000"]
    assert found.parts[0].measured.counts["walks"] == 2 * found.parts[0].measured.counts["accesses"]
    with pytest.raises(InputError, match="no addresses of instructions"):
        public.blame(TRACE, "ip", preset="skylake-sp")


def test_the_command(mmulab, tmp_path: Path) -> None:  # type: ignore
    out = tmp_path / "out.json"
    result = mmulab(
        "blame", "@shell", "--preset", "skylake-sp", "--max", "100K", "--top", "2", "--json", out,
        "--plot", tmp_path / "out.svg",
    )  # fmt: skip
    assert result.code == 0, result.err
    plain = json.loads(out.read_text())
    lines = result.out.splitlines()
    assert len(lines) == 6 and lines[-1].startswith(f"{len(plain['parts']) - 2} others")
    assert plain["parts"][0]["name"] == lines[3][: len(plain["parts"][0]["name"])]
    assert "cycles of translation per access" in (tmp_path / "out.svg").read_text()
    (again,) = rerun.rerun(rerun.load(str(out)))
    assert again.differences == []


def test_bad_options(mmulab) -> None:  # type: ignore
    for options, problem in [
        (("--by", "regoin"), "did you mean 'region'"),
        (("--by", "range", "--range", "3K"), "a power of two"),
        (("--warmup", "100K"), "no accesses after a warm-up"),
    ]:
        result = mmulab("blame", TRACE, "--preset", "skylake-sp", *options)
        assert result.code == 2 and problem in result.err, result.err


def test_the_limit_is_kept() -> None:
    found = blame.measure(
        public.trace(TRACE), *machine("skylake-sp", (), {}), most=1000, warmup=500
    )
    assert found.accesses == 1000
