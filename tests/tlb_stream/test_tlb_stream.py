"""The fast two-level TLB against a slow and obvious one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.slow_tlb import MASK, SlowTLB, Xorshift64Star

from mmulab.mmu.errors import InputError
from mmulab.mmu.tlb_stream.constants import LONG, WIDE_WAYS
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import Counts, TLBStream


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    policy = draw(st.sampled_from(["lru", "plru", "fifo", "random"]))
    any_number = st.integers(1, 13) | st.sampled_from([WIDE_WAYS, 100])
    ways = draw(st.sampled_from([1, 2, 4, 8, 128]) if policy == "plru" else any_number)
    return Geometry(draw(st.sampled_from([1, 2, 4, 16])), ways, policy)


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    """Scans, loops, random accesses and repeats over a few or many pages, one after another."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    base = draw(st.sampled_from([0, 0x7F00_0000_0000, -0x8000_0000_0000, -(1 << 20)]))
    parts = []
    for kind in draw(st.lists(st.sampled_from("slrh"), min_size=1, max_size=5)):
        count = draw(st.integers(1, 400))
        pages = draw(st.sampled_from([1, 5, 17, 70, 2000]))
        if kind == "s":  # a scan with a stride smaller than a page
            part = np.arange(count) * draw(st.sampled_from([8, 1000, 4096]))
        elif kind == "l":  # a loop over pages
            part = np.arange(count) % pages * 4096
        elif kind == "r":
            part = rng.integers(0, pages * 4096, count)
        else:  # runs on hot pages far apart
            hot = rng.integers(0, 1 << 30, 6)
            part = np.repeat(hot[rng.integers(0, 6, count)], rng.integers(1, 9, count))
        parts.append(part)
    return np.concatenate(parts).astype(np.int64) + base


@settings(max_examples=250, deadline=None)
@given(
    l1=geometries(),
    l2=geometries(),
    addresses=streams(),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    page_shift=st.sampled_from([9, 12, 21]),
    seed=st.integers(0, MASK),
)
def test_equals_the_slow_tlb_after_every_chunk(
    l1: Geometry,
    l2: Geometry,
    addresses: np.ndarray,
    cuts: list[int],
    page_shift: int,
    seed: int,
) -> None:
    fast, slow = TLBStream(l1, l2, page_shift, seed), SlowTLB(l1, l2, page_shift, seed)
    done = 0
    for chunk in np.split(addresses, sorted(cuts)):
        fast.run(chunk)
        slow.run(chunk)
        done += len(chunk)
        assert fast.counts == Counts(done, *slow.misses)


@pytest.mark.parametrize("policy", ["lru", "plru", "fifo", "random"])
@pytest.mark.parametrize(
    ("l1", "l2"), [((16, 4), (32, 8)), ((1, 64), (1, 256)), ((1, 128), (2, 128))]
)
def test_equals_the_slow_tlb_when_both_levels_thrash(
    l1: tuple[int, int], l2: tuple[int, int], policy: str
) -> None:
    l1, l2 = Geometry(*l1, policy), Geometry(*l2, policy)
    rng = np.random.default_rng(7)
    hot = rng.integers(0, 200 << 12, 20_000)
    cold = rng.integers(0, 1 << 28, 20_000)
    addresses = np.where(rng.random(20_000) < 0.7, hot, cold)
    fast, slow = TLBStream(l1, l2, seed=3), SlowTLB(l1, l2, 12, 3)
    fast.run(addresses)
    slow.run(addresses)
    assert fast.counts == Counts(20_000, *slow.misses)
    assert fast.counts.l1_misses - 3_000 > fast.counts.l2_misses > 5_000  # all paths taken


@pytest.mark.parametrize("apart", [64 << 20, 4097 << 10])
def test_a_long_stream_counts_as_its_pieces_do(apart: int) -> None:
    """Three vectors, and pages at random: where predictions lie depends on the whole stream."""
    step = np.arange(LONG)
    addresses = step % 3 * apart + step // 3 * 8
    addresses[::7] = np.random.default_rng(1).integers(0, 99 << 12, len(addresses[::7]))
    whole, pieces = (TLBStream(Geometry(4, 3), Geometry(16, 4)) for _ in range(2))
    whole.run(addresses)
    for piece in np.array_split(addresses, 3):
        pieces.run(piece)
    assert whole.counts == pieces.counts
    assert whole.counts.l1_misses > 1000


def test_predictions_are_placed_by_hash_where_low_bits_clash() -> None:
    """The way is chosen for each long stream; short ones keep it."""
    step = np.arange(LONG)
    tlb = TLBStream(Geometry(16, 4), Geometry(16, 4))
    for addresses, by_hash in (
        (step % 3 * (64 << 20) + step // 3 * 8, True),
        (step[:100], True),
        (step % 3 * (4 << 30) + step // 3 * 8, True),
        (step * 8, False),
        (np.random.default_rng(1).integers(0, 1 << 40, LONG), False),
    ):
        tlb.run(addresses)
        assert tlb._by_hash == by_hash


def test_an_l1_hit_does_not_touch_l2() -> None:
    """Page 0 hits in L1; to L2 it stays the oldest, and page 3 takes its place, not page 1's."""
    tlb = TLBStream(Geometry(2, 1), Geometry(1, 2))
    tlb.run(np.array([0, 1, 0, 3, 1]) << 12)
    assert tlb.counts == Counts(accesses=5, l1_misses=4, l2_misses=3)


def test_an_eviction_from_l2_leaves_l1_alone() -> None:
    tlb = TLBStream(Geometry(1, 2), Geometry(1, 1))
    tlb.run(np.array([0, 1, 0]) << 12)
    assert tlb.counts == Counts(3, 2, 2)


def test_the_last_page_of_the_address_space_is_not_taken_for_an_invalid_slot() -> None:
    tlb = TLBStream(Geometry(1, 3), Geometry(1, 3))
    tlb.run(np.array([-1, -(1 << 63), -1], np.int64))
    assert tlb.counts == Counts(3, 2, 2)


def test_addresses_without_sign_are_the_same_bits() -> None:
    addresses = np.array([0, 0xFFFF_8000_0000_0000, 0xFFFF_8000_0000_0008], np.uint64)
    signed, unsigned = (TLBStream(Geometry(1, 2), Geometry(1, 2)) for _ in range(2))
    unsigned.run(addresses)
    signed.run(addresses.view(np.int64))
    assert unsigned.counts == signed.counts == Counts(3, 2, 2)


def test_arrays_of_any_layout_are_read_and_left_as_they_are() -> None:
    addresses = np.arange(40, dtype=np.int64) << 12
    plain, strided, frozen = (TLBStream(Geometry(1, 2), Geometry(1, 4)) for _ in range(3))
    plain.run(addresses[::2].copy())
    strided.run(addresses[::2])
    read_only = addresses[::2].copy()
    read_only.flags.writeable = False
    frozen.run(read_only)
    assert plain.counts == strided.counts == frozen.counts == Counts(20, 20, 20)
    assert addresses.flags.writeable
    plain.run(addresses[:0])
    assert plain.counts.accesses == 20


def test_the_seed_decides_random_replacement() -> None:
    addresses = np.random.default_rng(1).integers(0, 1 << 18, 5000)
    counts = []
    for seed in (1, 1, 2):
        tlb = TLBStream(Geometry(1, 8, "random"), Geometry(1, 16, "random"), seed=seed)
        tlb.run(addresses)
        counts.append(tlb.counts)
    assert counts[0] == counts[1] != counts[2]


def test_a_seed_whose_first_output_is_zero_still_gives_random_victims() -> None:
    """SplitMix64 gives 0 for it, a state that xorshift cannot leave."""
    seed = -0x9E3779B97F4A7C15 & MASK
    assert Xorshift64Star(seed, 1).state == 0
    tlb = TLBStream(Geometry(1, 4, "random"), Geometry(1, 64), seed=seed)
    # Were way 0 always the victim, pages 1, 2 and 3 would stay for good.
    tlb.run(np.arange(100) << 12)
    before = tlb.counts.l1_misses
    tlb.run(np.array([1, 2, 3]) << 12)
    assert tlb.counts.l1_misses == before + 3


@pytest.mark.parametrize(
    ("sets", "ways", "policy", "message"),
    [
        (3, 4, "lru", "sets must be a power of two, not 3"),
        (0, 4, "lru", "sets must be a power of two, not 0"),
        (-4, 4, "lru", "sets must be a power of two, not -4"),
        (16, 0, "lru", "ways must be at least 1, not 0"),
        (16, 12, "plru", "ways must be a power of two under plru, not 12"),
        (16, 4, "lur", "unknown replacement policy 'lur'; did you mean 'lru'"),
        (1 << 20, 32, "lru", "too large"),
    ],
)
def test_a_bad_geometry_is_refused(sets: int, ways: int, policy: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Geometry(sets, ways, policy)


@pytest.mark.parametrize("options", [{"page_shift": 0}, {"page_shift": 63}, {"seed": -1}])
def test_a_bad_option_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} must be .*, not"):
        TLBStream(Geometry(16, 4), Geometry(128, 12), **options)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.int64), np.zeros(4), np.zeros(4, np.int32)])
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    tlb = TLBStream(Geometry(16, 4), Geometry(128, 12))
    with pytest.raises(InputError, match="one-dimensional array of int64"):
        tlb.run(array)
    assert tlb.counts == Counts(0, 0, 0)
