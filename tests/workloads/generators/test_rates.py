"""How often generators fault and break sharings: closed forms, simulated, and as measured."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.generated import columns

import mmulab
from mmulab.mmu.trace import FORK, LOAD, STORE
from mmulab.workloads.generators import buildfarm, churn, microchurn, webserver, ycsb
from mmulab.workloads.generators.parameters import ARENA, HEAP


def counts(spec: str) -> dict[str, int]:
    """What a machine of its own counts in all."""
    return mmulab.compare(spec, techniques=["native"], memory="2G").results[0].counts


def defaults(module: object) -> dict[str, int]:
    return {name: int(each.default) for name, each in module.PARAMETERS.items()}  # type: ignore[attr-defined]


def round_of(parameters: dict[str, int]) -> int:
    """Accesses of churn from one fork to the next, of whole pages."""
    arena, work = parameters["arena"], parameters["work"]
    return parameters["writes"] + arena // 64 + arena // 4096 + work + work // 4 + 1


def distinct(draws: int, pages: int) -> float:
    """Pages that random stores are expected to hit."""
    return float(pages * (1 - (1 - 1 / pages) ** draws))


def test_churn_has_the_rates_of_a_shell() -> None:
    """@shell: 113,000 accesses of data, 226 first touches and 13 copy-on-write breaks a fork."""
    values = defaults(churn)
    assert round_of(values) == pytest.approx(113_000, rel=0.001)
    assert values["arena"] // 4096 == 226
    breaks = distinct(values["writes"], values["heap"] // 4096) + values["parent"] // 4096
    assert breaks == pytest.approx(13, abs=0.5)


@pytest.mark.parametrize("name", ["churn", "microchurn"])
def test_a_round_of_churn_faults_as_its_parameters_say(name: str) -> None:
    rounds, work = 10, 40_000
    values = {"heap": 64 << 10, "arena": 32 << 10, "writes": 5, "work": work}
    heap_pages, parent_pages = 16, 3 if name == "churn" else 16
    initial = values["heap"] // 64
    accesses = initial + rounds * round_of(values)
    more = ",parent=12K" if name == "churn" else ""
    spec = f"{name}:heap=64K,arena=32K,writes=5,work=40K{more},accesses={accesses}"
    found = counts(spec)
    assert found["faults_4k"] == heap_pages + rounds * 8
    address, kind, events = columns(spec)
    begins = [event[0] for event in events if event[1] == FORK]
    assert len(begins) == rounds
    expected = 0
    for begin in begins:
        mine = address[begin : begin + values["writes"]]
        assert (kind[begin : begin + values["writes"]] == STORE).all()
        expected += len(set(mine.tolist())) + parent_pages
    assert found["cow_breaks"] == expected
    assert found["guest_faults"] == found["faults_4k"] + found["cow_breaks"]


def test_microchurn_is_churn_whose_parent_stores_everywhere() -> None:
    rest = "heap=64K,arena=32K,writes=9,work=300,accesses=20K"
    micro, whole, part = (
        columns(spec)
        for spec in (f"microchurn:{rest}", f"churn:parent=64K,{rest}", f"churn:{rest}")
    )
    assert np.array_equal(micro[0], whole[0]) and micro[2] == whole[2]
    assert not np.array_equal(micro[0], part[0])
    # A fault in 28 accesses of the defaults, as before.
    values = defaults(microchurn)
    faults = values["arena"] // 4096 + values["heap"] // 4096 + distinct(64, 256)
    assert round_of(values) / faults == pytest.approx(28, abs=1)


def job_faults(values: dict[str, int]) -> int:
    """First touches of a job whose accesses are many enough to reach all of its texts."""
    shell = (112 + 16 + 4) // 4  # its text, data and a page of its stack
    libraries = 116 // 4
    sizes = values["text"] + values["heap"] + 2 * values["sources"]
    return shell + libraries + sizes // 4096


def test_a_compilation_is_the_measured_one() -> None:
    """gcc -O2 -c of four lines: 26.2 million accesses of data, 1,886 faults."""
    values = defaults(buildfarm)
    data = 600 + 3 * (values["job"] // 4) + 2 * (values["sources"] // 64)
    assert data == pytest.approx(26_228_527, rel=0.005)
    assert job_faults(values) == 1886


def test_a_job_faults_as_its_parameters_say() -> None:
    values = {"text": 16 << 10, "heap": 100 << 10, "sources": 8 << 10}
    tokens, jobs = 50_000, 4
    job = 900 + 4 * tokens + tokens // 8 + 2 * (values["sources"] // 64)
    make, chores = 16, 64
    accesses = make + jobs * (chores + job)
    found = counts(
        "buildfarm:jobs=1,text=16K,heap=100K,sources=8K,make=64K,vfork=1,"
        f"job={4 * tokens},accesses={accesses}"
    )
    # The shell's 300 fetches may leave out a page of its text.
    most = make + jobs * job_faults(values)
    assert most - jobs <= found["faults_4k"] <= most
    assert found["cow_breaks"] == 0  # a vfork shares nothing


def test_a_request_breaks_sharings_once_for_each_page() -> None:
    """All of the heap, once a child, where its stores are many; the cache is filled before."""
    found = counts(
        "webserver:workers=3,requests=1000,directories=1,heap=64K,work=100,writes=2000,accesses=60K"
    )
    # Each child's pages; of the parent's own, the one that holds the scoreboard, once a fork
    # from the second on: at the first, nothing is shared yet.
    assert 3 * 16 <= found["cow_breaks"] <= 3 * 16 + 3
    values = defaults(webserver)
    assert values["heap"] // 4096 == 327
    assert distinct(values["writes"], 327) == pytest.approx(327, abs=0.01)
    assert values["work"] + values["writes"] == pytest.approx(205_371, rel=0.005)


def test_ycsb_loads_its_records_in_order_first() -> None:
    records, lines = 300, 16
    address, kind, _ = columns(f"ycsb:records={records},accesses=20K")
    loading = records * (1 + lines)
    step = np.arange(loading) % (1 + lines)
    number = np.arange(loading) // (1 + lines)
    expected = np.where(step == 0, HEAP + 8 * number, ARENA + 1000 * number + 64 * (step - 1))
    assert np.array_equal(address[:loading], expected)
    assert (kind[:loading] == STORE).all() and kind[loading] == LOAD
    bare = columns(f"ycsb:records={records},load=0,accesses={20_000 - loading}")
    assert np.array_equal(address[loading:], bare[0])
    assert np.array_equal(kind[loading:], bare[1])


def test_ycsb_faults_in_its_load_phase_alone() -> None:
    records = 2000
    pages = -(-records * 1000 // 4096) + -(-records * 8 // 4096)
    loading = records * 17
    assert counts(f"ycsb:records=2K,workload=A,accesses={loading}")["guest_faults"] == pages
    assert counts(f"ycsb:records=2K,workload=A,accesses={2 * loading}")["guest_faults"] == pages
    values = defaults(ycsb)
    assert values["records"] * 17 < values["accesses"] / 4  # most of a run is operations
