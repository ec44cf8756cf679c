"""A trace taken by several threads: nothing that is counted depends on how many."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pytest

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, NO_EVENTS, SWITCH, Chunk
from mmulab.workloads.analysis import in_parallel
from mmulab.workloads.analysis.miss_ratio import measure
from mmulab.workloads.slices import before


class Pieces:
    """A trace in chunks of so many accesses."""

    name = "pieces"
    length = None

    def __init__(self, chunk: Chunk, each: int) -> None:
        self._chunk, self._each = chunk, each

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        for start in range(0, self._chunk.accesses, self._each):
            at = self._chunk.events["position"] // self._each == start // self._each
            events = self._chunk.events[at].copy()
            events["position"] -= start
            part = slice(start, start + self._each)
            yield self._chunk.part(part, events)


def random_pages(accesses: int, pages: int) -> Chunk:
    """Accesses of two processes, some of which straddle pages."""
    random = np.random.default_rng(1)
    events = np.zeros(40, EVENT)
    events["position"] = np.sort(random.integers(0, accesses, 40))
    events["kind"], events["pid"] = SWITCH, random.integers(1, 3, 40)
    return Chunk(
        random.integers(0, pages << 12, accesses),
        np.zeros(accesses, np.uint8),
        random.choice(np.array([1, 64], np.uint16), accesses),
        events,
    )


def real() -> Chunk:
    chunks = iter(workloads.open_trace(workloads.bundled()).chunks())
    chunk = next(each for each in chunks if each.accesses >= 60_000)
    return before(chunk, 60_000)._replace(events=NO_EVENTS)


@pytest.mark.parametrize("rate", [1.0, 0.3])
@pytest.mark.parametrize("chunk", [random_pages(60_000, 700), real()], ids=["random", "real"])
def test_as_one_core_counts(monkeypatch: pytest.MonkeyPatch, chunk: Chunk, rate: float) -> None:
    monkeypatch.setattr(in_parallel, "_EACH", 1)  # many pieces
    one = measure(Pieces(chunk, 60_000), rate=rate, jobs=1)
    for each in (1_000, 7_001):
        several = measure(Pieces(chunk, each), rate=rate, jobs=3)
        for curve, expected in zip(several.curves, one.curves, strict=True):
            assert (curve.touches, curve.cold) == (expected.touches, expected.cold)
            assert np.array_equal(curve.hits, expected.hits)


def test_a_trace_that_comes_back_to_no_page_is_taken_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    monkeypatch.setattr(
        in_parallel.InParallel, "_take_alone",
        lambda self, take=in_parallel.InParallel._take_alone: (taken.append(1), take(self)),
    )  # fmt: skip
    scan = Chunk(
        np.arange(40_000, dtype=np.int64) << 12, np.zeros(40_000, np.uint8),
        np.ones(40_000, np.uint16), NO_EVENTS,
    )  # fmt: skip
    curve = measure(Pieces(scan, 1_000), ("4k",), jobs=2).curves[0]
    assert (curve.cold, curve.touches) == (40_000, 40_000)
    assert taken


def test_jobs_are_one_or_more() -> None:
    with pytest.raises(InputError, match="jobs 0"):
        measure(Pieces(real(), 60_000), jobs=0)
