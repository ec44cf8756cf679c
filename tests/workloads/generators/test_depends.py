"""What generators say of what made their addresses, against the accesses themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mmulab.mmu.trace import COLUMNS, INDEPENDENT, LOAD, STORE, UNKNOWN
from mmulab.workloads import generators
from mmulab.workloads.generators import btree, graph, parameters
from mmulab.workloads.generators.parameters import ARENA, HEAP, WORD

Row = tuple[int, int, int]  # address, kind, depends


def rows(spec: str, seed: int = 1) -> list[Row]:
    found: list[Row] = []
    for chunk in generators.create(spec, seed).chunks(COLUMNS):
        assert chunk.depends is not None and chunk.depends.dtype == COLUMNS["depends"]
        columns = (chunk.address, chunk.kind, chunk.depends)
        found += zip(*(column.tolist() for column in columns), strict=True)
    return found


@pytest.fixture(params=[997, 1 << 20], autouse=True)
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same however a trace is cut."""
    monkeypatch.setattr(parameters, "CHUNK", request.param)


def made_by(trace: list[Row]) -> Iterator[tuple[int, int, int | None]]:
    """(address, kind, the number of the access that made it) of each; that must be a load."""
    for number, (address, kind, depends) in enumerate(trace):
        assert depends != UNKNOWN
        source = None if depends == INDEPENDENT else number - depends
        assert source is None or (source >= 0 and trace[source][1] == LOAD)
        yield address, kind, source


@pytest.mark.parametrize(
    "spec",
    [
        "gups:size=1M,accesses=3K",
        "scan:size=64K,accesses=3K",
        "triad:size=10000,accesses=3K",
        "matmul:n=12,block=4,accesses=3K",
        "fft:log2n=7,accesses=3K",
        "quicksort:size=8K,accesses=5K",
        "microchurn:heap=64K,arena=32K,work=100,accesses=9K",
    ],
)
def test_counters_and_random_numbers_make_addresses(spec: str) -> None:
    assert {source for _, _, source in made_by(rows(spec))} == {None}


@pytest.mark.parametrize("name", ["guest", "gcheap", "webserver", "buildfarm"])
def test_those_that_stand_for_too_much_do_not_say(name: str) -> None:
    chunks = generators.create(f"{name}:accesses=30K").chunks(COLUMNS)
    assert all(not chunk.columns() for chunk in chunks)


def test_a_list_is_walked_pointer_by_pointer() -> None:
    depends = [depends for _, _, depends in rows("chase:size=64K,accesses=3K")]
    assert depends == [INDEPENDENT] + [1] * 2999


@pytest.mark.parametrize(
    "spec",
    [
        "zipf:keys=1000,value=200,accesses=9K",
        "ycsb:records=500,record=100,load=0,workload=A,accesses=9K",
        "ycsb:records=500,record=100,load=0,workload=E,accesses=20K",
        "ycsb:records=500,record=100,load=0,workload=F,accesses=9K",
    ],
)
def test_an_index_entry_leads_to_its_record(spec: str) -> None:
    index = None
    for number, (address, _, source) in enumerate(made_by(rows(spec))):
        if address < ARENA:
            index = number
            assert source is None
        else:
            assert source == index


def test_records_are_loaded_one_behind_the_other() -> None:
    loading = 500 * 3
    trace = list(made_by(rows("ycsb:records=500,record=100,accesses=9K")))
    assert all(source is None and kind == STORE for _, kind, source in trace[:loading])
    assert all((source is None) == (address < ARENA) for address, _, source in trace[loading:])


def test_a_hash_join_goes_by_the_tuple_s_key_and_the_bucket_s_count() -> None:
    tuple_ = header = -1
    trace = rows("hashjoin:build=99,probe=300,accesses=5K")
    for number, (address, kind, source) in enumerate(made_by(trace)):
        if address >= ARENA:
            tuple_, expected = number, None
        elif number == tuple_ + 1:
            header, expected = number, tuple_
        elif kind == STORE and address != trace[header][0]:
            expected = header  # where the count says that there is room
        else:
            expected = tuple_
        assert source == expected


def test_a_node_is_found_by_the_pointer_to_it() -> None:
    tree, _ = btree.plant(5000, 256, HEAP)
    assert len(tree.spans) > 2
    node = pointer = None
    previous = -1
    for number, (address, _, source) in enumerate(
        made_by(rows("btree:keys=5K,node=256,accesses=9K"))
    ):
        if (address - HEAP) // 256 != node:
            node, pointer = (address - HEAP) // 256, previous
        assert source == (pointer if node else None)
        previous = number


def test_a_search_follows_queue_offsets_and_edges() -> None:
    offset, edge = graph._rows(8, 4, 1)
    queue, offsets, edges, parents, _ = graph._places(8, 4).tolist()
    trace = rows("graph:scale=8,edgefactor=4,accesses=20K")
    for address, kind, source in made_by(trace):
        if address < offsets:
            assert source is None
            continue
        assert source is not None
        before = trace[source][0]
        if address < edges:
            assert queue <= before < offsets
        elif address < parents:
            vertex = (before - offsets) // WORD
            assert offset[vertex] <= (address - edges) // WORD < offset[vertex + 1]
        else:
            assert edge[(before - edges) // WORD] == (address - parents) // WORD
            assert kind in (LOAD, STORE)


def test_pagerank_takes_its_vertices_in_order() -> None:
    offset, edge = graph._rows(8, 4, 1)
    ranks, offsets, edges, sums, _ = graph._places(8, 4).tolist()
    trace = rows("graph:algorithm=pagerank,scale=8,edgefactor=4,accesses=20K")
    for address, _, source in made_by(trace):
        before = None if source is None else trace[source][0]
        if address < offsets:
            assert before is not None
            assert edge[(before - edges) // WORD] == (address - ranks) // WORD
        elif edges <= address < sums:
            assert before is not None
            vertex = (before - offsets) // WORD
            assert offset[vertex] <= (address - edges) // WORD < offset[vertex + 1]
        else:
            assert before is None


@pytest.mark.parametrize("matrix", ["stencil", "random"])
def test_a_sparse_row_s_columns_lead_to_x(matrix: str) -> None:
    rows_, entries = 5**3, 27 * 5**3
    columns = HEAP + rows_ * WORD
    values, x = columns + entries * WORD, columns + 2 * entries * WORD
    y = x + rows_ * WORD
    trace = rows(f"spmv:grid=5,matrix={matrix},accesses=20K")
    for number, (address, _, source) in enumerate(made_by(trace)):
        if address < columns or address >= y:
            assert source is None
            continue
        assert source is not None
        if address >= x:
            assert source == number - 2 and columns <= trace[source][0] < values
        else:
            entry = (address - columns) // WORD % entries
            assert trace[source][0] == HEAP + entry // 27 * WORD


@pytest.mark.parametrize(
    "of", ["chase(size=64K)*2+scan(size=64K)", "chase(size=64K)+chase(size=32K)*3"]
)
def test_a_mix_keeps_each_one_s_own(of: str) -> None:
    last: dict[int, int] = {}
    number = 0
    pid = 1
    for chunk in generators.create(f"mix:of={of},quantum=77,accesses=5K").chunks(COLUMNS):
        for event in chunk.events.tolist():
            pid = event[2] if event[1] == 7 else pid
        assert chunk.depends is not None
        for depends in chunk.depends.tolist():
            is_scan = "scan" in of and pid == 2
            known = pid in last and not is_scan
            assert depends == (number - last[pid] if known else INDEPENDENT)
            last[pid] = number
            number += 1
    assert number == 5000 and len(last) == 2


def test_phases_begin_anew() -> None:
    depends = [d for _, _, d in rows("phases:of=chase(size=64K)+scan,length=100,accesses=300")]
    walk = [INDEPENDENT] + [1] * 99
    assert depends == walk + [INDEPENDENT] * 100 + walk


def test_nothing_is_made_that_nobody_asks_for() -> None:
    for spec in ("chase:accesses=3K", "mix:of=chase+gups,accesses=30K"):
        for columns in ((), ("ip", "device")):
            chunks = generators.create(spec).chunks(columns)
            assert not any(chunk.columns() for chunk in chunks)


def test_random_numbers_of_gups_are_no_loads() -> None:
    """A store's address is the load's before it: neither comes from memory."""
    trace = rows("gups:size=1M,init=0,accesses=100")
    assert np.array_equal([a for a, *_ in trace[::2]], [a for a, *_ in trace[1::2]])
