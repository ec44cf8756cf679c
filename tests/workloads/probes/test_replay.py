"""A generator's accesses, as loads and stores of this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import LOAD, MMAP, STORE
from mmulab.workloads.probes import replay, validation
from mmulab.workloads.probes.timing import Run, Sample, sample
from mmulab.workloads.probes.validation import Point, nearest, spearman


def loaded(spec: str) -> replay.Accesses:
    return replay.load(workloads.resolve(spec))


def test_words_are_those_of_the_mappings_one_after_another() -> None:
    trace = workloads.resolve("hashjoin:build=1K,probe=1K,accesses=5000")
    (chunk,) = trace.chunks()
    found = replay.load(trace)
    assert len(found.starts) == 2 and found.size % (2 << 20) == 0
    for start, length, word in found.starts:
        inside = (chunk.address >= start) & (chunk.address < start + length)
        assert inside.any()
        assert np.array_equal(found.index[inside] * 8, word * 8 + chunk.address[inside] - start)
    assert np.array_equal(found.kind, chunk.kind) and found.loop == "dependent"


def test_a_chase_is_a_linked_list_in_the_generators_order() -> None:
    found = loaded("chase:size=8K,accesses=1000")
    assert found.loop == "linked"
    words = np.zeros(found.size // 8, np.uint64)
    step = replay._linked(words, found)
    at = int(found.index[0])
    for place in found.index[1:]:
        at = int(words[at])
        assert at == place
    step(0, 500)
    step(500, 1000)


def test_an_access_waits_for_the_load_that_made_its_address() -> None:
    """The hash join's bucket waits for its tuple; gups waits for nothing."""
    join = loaded("hashjoin:build=1K,probe=1K,accesses=5000")
    # A tuple, its bucket's header, the header again, and the tuple's place in the bucket.
    assert join.source[:4].tolist() == [replay.RING, 0, 0, 1]
    gups = loaded("gups:size=1M,accesses=1000,init=0")
    assert (gups.source == replay.RING).all() and gups.loop == "independent"
    rows = np.arange(1000) & (replay.RING - 1)
    assert (join.source[:1000] != rows).all()  # never for itself


@pytest.mark.parametrize("spec", validation.WORKLOADS)
@pytest.mark.parametrize("pages", validation.PAGE_SIZES)
def test_every_workload_runs(spec: str, pages: str) -> None:
    small = {"graph:scale=17": "graph:scale=8", "chase:size=128M": "chase:size=4M"}
    found = loaded(f"{small.get(spec, spec)},accesses=2000")
    if found.size <= 160 << 20:
        ns = replay.measure(found, pages, 0, least=1)
        assert 0 < ns.low <= ns.value <= ns.high


@pytest.mark.parametrize("loop", ["independent", "dependent"])
def test_stores_are_made_and_leave_zeros(loop: str) -> None:
    found = replace(loaded("triad:size=64K,accesses=3000"), loop=loop)
    words = np.zeros(found.size // 8, np.uint64)
    words[found.index[found.kind == STORE]] = 7
    replay._indexed(words, found)(0, 3000)
    assert not words.any()


def test_memory_is_touched_first_in_the_simulation_too() -> None:
    trace = workloads.resolve("gups:size=1M,init=0,accesses=3000")
    touched = replay.Touched(trace, replay.load(trace))
    chunks = list(touched.chunks(("depends",)))
    assert touched.length == sum(chunk.accesses for chunk in chunks) == 256 + 3000
    assert touched.warmup == 256 + 1500
    assert (chunks[0].events["kind"] == MMAP).all() and not chunks[1].events.size
    assert (chunks[0].kind == STORE).all() and LOAD in chunks[1].kind
    assert len(np.unique(chunks[0].address >> 12)) == 256


def test_what_maps_as_it_runs_is_refused() -> None:
    with pytest.raises(InputError, match="maps memory as it runs"):
        loaded("churn:accesses=20K")


def test_of_disturbed_runs_only_what_is_left_counts() -> None:
    runs = [Run(10.0 + n, True) for n in range(5)] + [Run(500.0, False)] * 20
    found = sample(runs)
    assert (found.low, found.value, found.median, found.high, found.runs) == (10, 11, 12, 13, 5)
    assert sample([Run(10.0, True), *[Run(500.0, False)] * 9]).runs == 10


def point(measured: float, **predicted: float) -> Point:
    ns = Sample(measured, 0.9 * measured, measured, 1.1 * measured, 9)
    return Point("gups", "4k", ns, {name: (0.5 * p, p, 1.5 * p) for name, p in predicted.items()})


def test_errors_are_parts_of_the_measured() -> None:
    one = point(10, native=12, nested=40)
    assert one.error("native") == pytest.approx(0.2)
    assert one.holds("native") and not one.holds("nested")
    assert nearest([one, point(20, native=100, nested=20), point(5, native=50, nested=5)],
                   ("native", "nested")) == "nested"  # fmt: skip


def test_rank_correlation_is_spearmans() -> None:
    assert spearman([1, 2, 3, 4], [10, 100, 1000, 10000]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # By hand: ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4.
    assert spearman([1, 1, 3, 4], [1, 2, 3, 4]) == pytest.approx(9 / np.sqrt(90))
    assert np.isnan(spearman([1], [1])) and np.isnan(spearman([1, 1], [1, 2]))
