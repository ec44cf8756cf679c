"""Any generator: deterministic, as long as asked for, inside what it maps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drivers.generated import columns
from models.processes import ProcessModel

from mmulab.workloads import generators
from mmulab.workloads.generators import parameters

SMALL = {
    "gups": "gups:size=1M,accesses=200K",
    "scan": "scan:size=64K,stride=192,accesses=5K",
    "chase": "chase:size=64K,accesses=3K",
    "zipf": "zipf:keys=1000,value=100,accesses=300K",
    "triad": "triad:size=10000,accesses=8K",
    "ycsb": "ycsb:records=500,record=100,workload=E,accesses=40K",
    "hashjoin": "hashjoin:build=999,probe=3000,accesses=20K",
    "btree": "btree:keys=5000,node=256,accesses=20K",
    "graph": "graph:scale=8,edgefactor=4,accesses=60K",
    "matmul": "matmul:n=12,block=4,accesses=9K",
    "fft": "fft:log2n=7,accesses=9K",
    "spmv": "spmv:grid=5,matrix=random,accesses=30K",
    "quicksort": "quicksort:size=8K,accesses=90K",
    "gcheap": "gcheap:live=32K,nursery=16K,old=80K,survival=0.3,accesses=200K",
    "webserver": "webserver:workers=3,requests=4,heap=64K,directories=2,quantum=99,accesses=40K",
    "buildfarm": "buildfarm:jobs=3,job=3K,quantum=500,text=64K,sources=8K,heap=300K,accesses=40K",
    "guest": "guest:size=1M,duplicates=0.2,active=0.5,accesses=30K",
    "mix": "mix:of=gups(size=64K)*2+churn(heap=64K,arena=32K,work=100),quantum=777,accesses=60K",
    "phases": "phases:of=gups(size=64K)+zipf(keys=500,value=64),length=3000,accesses=20K",
    "churn": "churn:heap=64K,arena=32K,parent=8K,work=100,accesses=60K",
    "microchurn": "microchurn:heap=64K,arena=32K,work=100,accesses=60K",
    "munmap": "munmap:threads=3,pages=5,heap=64K,work=70,accesses=20K",
}

#: What they touch does not depend on chance.
SEEDLESS = {"scan", "triad", "matmul", "fft"}

#: Their chunks end where a step of the algorithm or a turn ends, or have events alone.
WHOLE_STEPS = {"mix", "phases", "guest"}


@pytest.mark.parametrize("name", generators.names())
def test_same_seed_same_trace(name: str) -> None:
    one, two, other = (columns(SMALL[name], seed) for seed in (1, 1, 2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1]) and one[2] == two[2]
    if name not in SEEDLESS:
        assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("name", generators.names())
@pytest.mark.parametrize("cut", [997, 1024])
def test_a_trace_does_not_depend_on_how_it_is_cut(
    name: str, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = columns(SMALL[name])
    monkeypatch.setattr(parameters, "CHUNK", cut)
    sizes = [chunk.accesses for chunk in generators.create(SMALL[name]).chunks()]
    if name in WHOLE_STEPS:
        assert max(sizes) <= cut + parameters.SPARE
    else:
        assert set(sizes[:-1]) == {cut} and sizes[-1] <= cut
    pieces = columns(SMALL[name])
    assert np.array_equal(whole[0], pieces[0]) and np.array_equal(whole[1], pieces[1])
    assert whole[2] == pieces[2]


@pytest.mark.parametrize("name", generators.names())
def test_a_trace_can_be_read_again(name: str) -> None:
    trace = generators.create(SMALL[name])
    one, two = (np.concatenate([c.address for c in trace.chunks()]) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("name", generators.names())
def test_length_is_what_was_asked_for(name: str) -> None:
    trace = generators.create(SMALL[name])
    assert trace.length == len(columns(SMALL[name])[0])


SPECS = [
    *SMALL.values(),
    "gups:size=4097,accesses=1K",
    "scan:size=4097,stride=8,accesses=1K,write=1",
    "chase:size=5000,node=24,accesses=1K",
    "zipf:keys=7,value=9,accesses=1K,read=0",
    "microchurn:heap=4097,arena=4097,writes=0,work=0,accesses=1K",
    "microchurn:heap=64K,arena=5000,writes=3,work=7,accesses=5K",
]


@pytest.mark.parametrize("spec", SPECS)
def test_every_access_is_allowed_by_a_mapping_of_a_live_process(spec: str) -> None:
    # The first process of a mix's second generator is 2.
    processes = ProcessModel(1, 2) if spec.startswith("mix") else ProcessModel(1)
    for chunk in generators.create(spec).chunks():
        processes.run(chunk)


def test_a_spec_is_echoed_so_that_it_can_be_used_again() -> None:
    for spec in (*SPECS, "zipf:theta=0.1234567,read=1"):
        again = generators.create(spec).name
        assert generators.create(again).name == again


@pytest.mark.parametrize("name", generators.names())
def test_the_largest_seed_works(name: str) -> None:
    assert len(columns(SMALL[name], (1 << 62) - 1)[0])


LARGEST = [
    "gups:size=16T,init=0",
    "scan:size=16T,stride=1T",
    "chase:size=16T,node=8",
    "zipf:keys=4G,value=128",
    "microchurn:heap=16T",
    "microchurn:heap=4K,arena=512G,writes=1000G",
    "microchurn:heap=4K,work=1000G",
]


@pytest.mark.parametrize("spec", LARGEST)
def test_the_largest_workloads_begin_at_once_and_stay_in_user_space(spec: str) -> None:
    trace = generators.create(f"{spec},accesses=1000G")
    for chunk in itertools.islice(trace.chunks(), 2):
        assert chunk.accesses == 1 << 20
        assert 0 < chunk.address.min() and chunk.address.max() < 1 << 47
