"""One pass counts what a run of each geometry counts, to the last miss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from drivers.command_line import check_error
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import MMAP, NO_EVENTS, SWITCH, Chunk, Trace
from mmulab.workloads.analysis import geometries
from mmulab.workloads.generators.parameters import mapped

TINY = Geometry(1, 1)


class Given:
    """A trace of given addresses, in chunks."""

    name = "given"

    def __init__(self, addresses: np.ndarray, size: int = 1, chunks: int = 2) -> None:
        self._parts = np.array_split(addresses.astype(np.int64), chunks)
        self._size = size
        self.length = len(addresses)

    def chunks(self, columns: Sequence[str] = ()):  # type: ignore[no-untyped-def]
        for part in self._parts:
            count = len(part)
            sizes = np.full(count, self._size, np.uint16)
            yield Chunk(part, np.zeros(count, np.uint8), sizes, NO_EVENTS)


def touched(trace: Trace) -> np.ndarray:
    """An address in each page of 4 KiB that accesses touch, in order."""
    pages = [
        page
        for chunk in trace.chunks()
        for at, size in zip(chunk.address.tolist(), chunk.size.tolist(), strict=True)
        for page in range(at >> 12, ((at + size - 1) >> 12) + 1)
    ]
    return np.array(pages, np.int64) << 12


def single(addresses: np.ndarray, sets: int, ways: int, l1: Geometry | None = None) -> int:
    """Misses of one geometry, alone or behind an L1."""
    if l1:
        stream = TLBStream(l1, Geometry(sets, ways))
    else:
        stream = TLBStream(Geometry(sets, ways), TINY)
    stream.run(addresses)
    return stream.counts.l2_misses if l1 else stream.counts.l1_misses


def check_all(trace: Any, sets: int, ways: int, l1: Geometry | None = None) -> None:
    found = geometries.measure(trace, ["4k"], sets, ways, l1, ignore=True)
    addresses = touched(trace)
    table = found.sizes[0].table()
    for level in range(sets.bit_length()):
        for column in range(ways):
            expected = single(addresses, 1 << level, column + 1, l1)
            assert table[level, column] == expected, (1 << level, column + 1)
    assert found.sizes[0].misses(sets, ways) == table[-1, -1]


def random_trace(seed: int) -> Given:
    """Pages of several working sets, some of them far apart by a power of two."""
    draw = np.random.default_rng(seed)
    hot = draw.integers(0, 64, 20_000)
    warm = draw.integers(0, 3_000, 20_000)
    far = draw.integers(0, 40, 20_000) << 12
    pages = np.where(draw.random(20_000) < 0.5, hot, np.where(draw.random(20_000) < 0.5, warm, far))
    return Given(pages << 12)


@pytest.mark.parametrize("l1", [None, Geometry(16, 4)], ids=["alone", "behind-an-L1"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_traces(seed: int, l1: Geometry | None) -> None:
    check_all(random_trace(seed), 4096, 16, l1)


@pytest.mark.parametrize("l1", [None, Geometry(16, 4)], ids=["alone", "behind-an-L1"])
@pytest.mark.parametrize("spec", ["gups:size=32M,accesses=100K", "@python", "@xz"])
def test_real_traces(spec: str, l1: Geometry | None) -> None:
    """Those that come along, cut to 100,000 accesses; of one process."""
    chunk = next(each for each in workloads.resolve(spec).chunks() if each.accesses >= 100_000)
    part = Given(chunk.address[:100_000])
    check_all(part, 4096, 16, l1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=200),
    st.integers(0, 4),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 9000),
)
def test_any_trace(pages: list[int], levels: int, ways: int, chunks: int, size: int) -> None:
    check_all(Given(np.array(pages) * 2048, size, chunks), 1 << levels, ways)


def test_a_fully_associative_tlb_is_that_of_stack_distances() -> None:
    from mmulab.workloads.analysis import miss_ratio

    trace = random_trace(3)
    curve = miss_ratio.measure(trace, ["4k"]).curves[0]
    found = geometries.measure(trace, ["4k"], 1, 64).sizes[0]
    assert [found.misses(1, ways) for ways in range(1, 65)] == [
        curve.misses(ways) for ways in range(1, 65)
    ]


def test_processes_have_pages_of_their_own() -> None:
    events = np.zeros(2, mapped((0, 4096)).dtype)
    events["kind"], events["pid"], events["position"] = SWITCH, (2, 1), (1, 2)

    class Two(Given):
        def chunks(self, columns: Sequence[str] = ()):  # type: ignore[no-untyped-def]
            for chunk in super().chunks():
                yield chunk._replace(events=events)

    found = geometries.measure(Two(np.zeros(3), chunks=1), ["4k"], 1, 2).sizes[0]
    assert found.table().tolist() == [[3, 2]]


@pytest.mark.parametrize("kind", ["munmap", "mprotect", "fork", "exec", "exit", "brk"])
def test_what_takes_translations_away_is_refused(kind: str) -> None:
    from mmulab.mmu.trace import EVENT_NAMES

    events = np.zeros(2, mapped((0, 4096)).dtype)
    events["kind"], events["pid"] = EVENT_NAMES.index(kind), 1
    events["start"] = (8192, 4096)

    class Events(Given):
        def chunks(self, columns: Sequence[str] = ()):  # type: ignore[no-untyped-def]
            for chunk in super().chunks():
                yield chunk._replace(events=events)

    trace = Events(np.arange(9), chunks=1)
    with pytest.raises(InputError, match=f"given: {kind} takes translations away"):
        geometries.measure(trace)
    ignored = geometries.measure(trace, ignore=True).ignored
    assert ignored == {kind: 1 if kind == "brk" else 2}
    events["kind"] = MMAP
    assert geometries.measure(trace).ignored == {}


def test_warm_up_and_end() -> None:
    trace = random_trace(4)
    part = Given(touched(trace)[500:1500])
    found = geometries.measure(trace, ["4k"], 64, 4, skip=500, most=1000)
    assert found.accesses == 1000
    expected = geometries.measure(part, ["4k"], 64, 4)
    assert (found.sizes[0].hits == expected.sizes[0].hits).all()
    with pytest.raises(InputError, match="no accesses"):
        geometries.measure(trace, skip=20_000)


def test_command(mmulab) -> None:  # type: ignore
    words = ["mrc", "gups:size=8M,accesses=20K", "--sets", "256", "--ways", "8"]
    result = mmulab(*words, "--page-sizes", "4k,2m", "--json", "-")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)
    addresses = touched(workloads.resolve(words[1]))
    assert found["schema"] == "mmulab.geometries" and found["sets"][-1] == 256
    assert found["page_sizes"][0]["misses"][6][3] == single(addresses, 64, 4)
    assert [each["page_size"] for each in found["page_sizes"]] == ["4k", "2m"]
    printed = mmulab(*words, "--l1", "16x4").out
    misses = single(addresses, 64, 4, Geometry(16, 4))
    assert "behind an L1 of 16 sets x 4 ways" in printed
    assert f"{100 * misses / 20_000:.4f} %" in printed
    csv = mmulab(*words, "--csv", "-").out.splitlines()
    assert csv[0] == "trace,page_size,sets,ways,misses,miss_ratio" and len(csv) == 1 + 9 * 8 * 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sets", "48"], "expected a power of two"),
        (["--sets", "64", "--ways", "99"], "expected 1 to 64"),
        (["--ways", "4"], "--ways without --sets"),
        (["--l1", "16x4"], "--l1 without --sets"),
        (["--sets", "64", "--l1", "16"], "expected SETSxWAYS"),
        (["--sets", "64", "--sample", "0.1"], "--sample and --sets"),
        (["--sets", "64", "--sizes", "64"], "--sizes and --sets"),
    ],
)
def test_mistakes(mmulab, words: list[str], expected: str) -> None:  # type: ignore
    check_error(mmulab("mrc", "gups:size=1M,accesses=5K", *words), 2, expected)
    check_error(mmulab("mrc", "@shell", "--sets", "64"), 2, "takes translations away")
