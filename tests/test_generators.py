"""Generators: deterministic, inside what they map, with the statistics they promise."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from process_model import ProcessModel

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EXIT, FORK, LOAD, MMAP, MPROTECT, MUNMAP, STORE, SWITCH
from mmulab.workloads import generators
from mmulab.workloads.generators import parameters
from mmulab.workloads.generators.zipf_law import zeta_of

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
    "churn": "churn:heap=64K,arena=32K,work=100,accesses=60K",
}

#: What they touch does not depend on chance.
SEEDLESS = {"scan", "triad", "matmul", "fft"}

#: Their chunks end where a step of the algorithm or a turn ends, or have events alone.
WHOLE_STEPS = {"mix", "phases", "guest"}


def columns(spec: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray, list]:
    """Addresses, kinds, and events whose positions are counted from the trace's beginning."""
    addresses, kinds, events, before = [], [], [], 0
    for chunk in generators.create(spec, seed).chunks():
        addresses.append(chunk.address)
        kinds.append(chunk.kind)
        events += [(before + event[0], *event[1:]) for event in chunk.events.tolist()]
        before += chunk.accesses
    return np.concatenate(addresses), np.concatenate(kinds), events


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
    "churn:heap=4097,arena=4097,writes=0,work=0,accesses=1K",
    "churn:heap=64K,arena=5000,writes=3,work=7,accesses=5K",
]


@pytest.mark.parametrize("spec", SPECS)
def test_every_access_is_allowed_by_a_mapping_of_a_live_process(spec: str) -> None:
    # The first process of a mix's second generator is 2.
    processes = ProcessModel(1, 2) if spec.startswith("mix") else ProcessModel(1)
    for chunk in generators.create(spec).chunks():
        processes.run(chunk)


def test_gups_updates_are_a_load_and_a_store_of_one_word() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=200K,init=0")
    assert (kind[::2] == LOAD).all() and (kind[1::2] == STORE).all()
    assert np.array_equal(address[::2], address[1::2])
    words = (address[::2] - address.min()) // 8
    # 100,000 draws into 16 equal parts: each within five standard deviations.
    counts = np.bincount(words * 16 // (words.max() + 1), minlength=16)
    assert abs(counts - 6250).max() < 5 * (6250 * 15 / 16) ** 0.5
    # Independent draws miss each of 131,072 words with probability (1 - 1 / 131,072)**100,000.
    distinct = 131_072 * (1 - (1 - 1 / 131_072) ** 100_000)
    assert len(set(words.tolist())) == pytest.approx(distinct, rel=0.01)


def test_gups_touches_its_table_in_order_first() -> None:
    address, kind, _ = columns("gups:size=1M,accesses=1K")
    assert (np.diff(address[:256]) == 4096).all() and (kind[:256] == STORE).all()


def test_scan_has_its_stride_and_begins_again() -> None:
    address, kind, _ = columns("scan:size=64K,stride=192,accesses=5K,write=1")
    steps = (65536 - 8) // 192 + 1
    assert np.array_equal(address - address[0], 192 * (np.arange(5000) % steps))
    assert (kind == STORE).all()


@pytest.mark.parametrize(("size", "node"), [(65536, 64), (4096, 4096), (40_000, 24), (8192, 4096)])
@pytest.mark.parametrize("seed", [1, 2])
def test_chase_visits_every_node_once_in_a_cycle(size: int, node: int, seed: int) -> None:
    count = size // node
    address, kind, _ = columns(f"chase:size={size},node={node},accesses={2 * count + 1}", seed)
    nodes, rest = np.divmod(address - parameters.HEAP, node)
    assert not rest.any() and (kind == LOAD).all()
    assert sorted(nodes[:count]) == list(range(count))
    assert np.array_equal(nodes[count:], nodes[: count + 1])


def test_chase_returns_to_a_page_as_a_random_order_does() -> None:
    """Of a random order's neighbours, one pair in `pages` is on one page, in any seed."""
    count, pages = 1 << 18, 64
    for seed in (1, 2, 3):
        address, _, _ = columns(f"chase:size=16M,accesses={count}", seed)
        region = (address - parameters.HEAP) // ((16 << 20) // pages)
        for distance in (1, 2, pages // 2, pages):
            same = np.count_nonzero(region[distance:] == region[:-distance])
            expected = (count - distance) / pages
            assert abs(same - expected) < 5 * expected**0.5


def splitmix64(seed: int, position: int) -> int:
    """The generators' hash, written a second time."""
    mask = (1 << 64) - 1
    z = (seed * 0xBF58476D1CE4E5B9 + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_zipf_follows_its_law() -> None:
    keys, theta = 1000, 0.9
    address, kind, _ = columns(f"zipf:keys={keys},value=64,theta={theta},accesses=400K,read=0.5")
    buckets = (address[::2] - 0x555556000000) // 8  # a bucket, then one line of the value
    counts = np.bincount(buckets, minlength=keys)
    law = np.arange(1, keys + 1.0) ** -theta
    expected = np.zeros(keys)
    for rank in range(keys):
        expected[splitmix64(0, rank) % keys] += law[rank]
    expected *= len(buckets) / expected.sum()
    hot = np.argsort(expected)[::-1]
    # Ranks 0 and 1 are drawn exactly, the others by an approximation (Gray et al. 1994).
    assert counts[hot[0]] == pytest.approx(expected[hot[0]], rel=0.05)
    assert counts[hot[:100]].sum() == pytest.approx(expected[hot[:100]].sum(), rel=0.05)
    assert counts[hot[100:]].sum() == pytest.approx(expected[hot[100:]].sum(), rel=0.05)
    assert (kind[1::2] == STORE).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("keys", [2, 9_999, 10_001, 300_000])
@pytest.mark.parametrize("theta", [0.01, 0.5, 0.99, 0.999])
def test_zeta_is_the_sum_of_the_law(keys: int, theta: float) -> None:
    exact = float(np.sum(np.arange(1, keys + 1, dtype=np.float64) ** -theta))
    assert zeta_of(keys, theta) == pytest.approx(exact, rel=1e-12)


def test_zipf_reads_a_bucket_and_then_each_line_of_its_value() -> None:
    address, kind, _ = columns("zipf:keys=1000,value=200,accesses=50K,read=0.5")
    step = np.arange(len(address)) % 5
    key = (address[step == 0] - parameters.HEAP) // 8
    for line in range(4):
        assert np.array_equal(address[step == line + 1], parameters.ARENA + key * 200 + line * 64)
        assert np.array_equal(kind[step == line + 1], kind[step == 1])
    assert (kind[step == 0] == LOAD).all()


def test_churn_rounds_are_what_the_parameters_say() -> None:
    spec = "churn:heap=64K,arena=32K,writes=10,work=40,accesses=20K"
    address, kind, events = columns(spec)
    initial, arena_lines, arena_pages = 1024, 512, 8
    ends = np.cumsum([10, arena_lines, arena_pages, 40, 11])
    assert events[0][:2] == (0, MMAP)
    rounds = -(-(20_000 - initial) // ends[-1])
    order = [FORK, SWITCH, MMAP, MPROTECT, MUNMAP, EXIT, SWITCH]
    at = [0, 0, ends[0], ends[1], ends[3], ends[3], ends[3]]
    for number in range(rounds - 1):
        begin = initial + number * ends[-1]
        mine = events[1 + 7 * number : 8 + 7 * number]
        assert [event[1] for event in mine] == order
        assert [event[0] - begin for event in mine] == at
        assert mine[0][2] == 1 and mine[6][2] == 1
        assert {mine[0][5], *(event[2] for event in mine[1:6])} == {2 + number}
        arena = address[begin + ends[0] : begin + ends[1]] - parameters.ARENA
        assert np.array_equal(arena, 64 * np.arange(arena_lines))
        stores = kind[begin : begin + ends[-1]] == STORE
        assert stores[: ends[1]].all() and stores[ends[3] :].all()
        assert not stores[ends[1] : ends[3]].any()


def test_churn_uses_a_pid_again_only_after_its_exit() -> None:
    spec = "churn:heap=4K,arena=4K,writes=0,work=0,accesses=2300K"  # 66 accesses a round
    _, _, events = columns(spec)
    pids = [event[5] for event in events if event[1] == FORK]
    assert pids == [2 + number % 32767 for number in range(len(pids))]
    assert len(pids) > 32767
    live = {1}
    for _, kind, pid, _, _, value in events:
        if kind == FORK:
            assert value not in live
            live.add(value)
        elif kind == EXIT:
            live.remove(pid)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gubs", "did you mean 'gups'"),
        ("gups:sise=1M", "did you mean 'size'"),
        ("gups:size", "expected KEY=VALUE"),
        ("gups:size=big", "expected a size in bytes"),
        ("gups:", "expected KEY=VALUE"),
        ("gups:size=1M,size=2M", "size is given twice"),
        ("gups:size=1", "from 4K to 16T"),
        ("chase:size=4K,node=8K", "node=8192: expected at most size=4096"),
        ("zipf:keys=4G,value=1M", "keys=4000000000: expected at most 524288"),
        ("churn:arena=1T", "from 4K to 512G"),
        ("gups:accesses=0", "from 1"),
        ("gups:accesses=1.5", "expected a number"),
        ("gups:accesses=nan", "expected a number"),
        ("gups:accesses=inf", "expected a number"),
        ("zipf:theta=1", "from 0.01 to 0.999"),
    ],
)
def test_bad_spec(spec: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        generators.create(spec)


def test_sizes_are_binary_and_counts_decimal() -> None:
    assert generators.create("gups:size=1M,accesses=1M").length == 1_000_000
    address = next(iter(generators.create("scan:size=1M,stride=1M,accesses=9").chunks())).address
    assert len(set(address.tolist())) == 1


def test_a_spec_is_echoed_so_that_it_can_be_used_again() -> None:
    for spec in (*SPECS, "zipf:theta=0.1234567,read=1"):
        again = generators.create(spec).name
        assert generators.create(again).name == again


@pytest.mark.parametrize("seed", [-1, 0, 1 << 62])
def test_bad_seed(seed: int) -> None:
    with pytest.raises(InputError, match="expected 1 to 2"):
        generators.create("gups", seed)


@pytest.mark.parametrize("name", generators.names())
def test_the_largest_seed_works(name: str) -> None:
    assert len(columns(SMALL[name], (1 << 62) - 1)[0])


LARGEST = [
    "gups:size=16T,init=0",
    "scan:size=16T,stride=1T",
    "chase:size=16T,node=8",
    "zipf:keys=4G,value=128",
    "churn:heap=16T",
    "churn:heap=4K,arena=512G,writes=1000G",
    "churn:heap=4K,work=1000G",
]


@pytest.mark.parametrize("spec", LARGEST)
def test_the_largest_workloads_begin_at_once_and_stay_in_user_space(spec: str) -> None:
    trace = generators.create(f"{spec},accesses=1000G")
    for chunk in itertools.islice(trace.chunks(), 2):
        assert chunk.accesses == 1 << 20
        assert 0 < chunk.address.min() and chunk.address.max() < 1 << 47


def test_the_registry_does_not_load_numba() -> None:
    code = (
        "import sys; from workloads import generators; generators.names(); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_listing_has_each_parameter_with_its_default() -> None:
    text = generators.listing()
    assert all(f"{name}: " in text for name in generators.names())
    assert "size=256M" in text and "theta=0.99" in text and "accesses=20M" in text
    assert "zipf" not in generators.listing("gups")
