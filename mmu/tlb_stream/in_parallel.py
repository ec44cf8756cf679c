"""A long stream through two LRU levels on several cores, equal to one.

The stream is cut into pieces, and a thread takes each from empty levels. What hits there hits in
truth: LRU goes by the pages of a set that were touched in between. What misses there misses in
truth, too, but for the first touches of a set's pages while it is not full, as many as a level
has ways: they hit where the stack that the piece begins with has the page, and no more than the
set's ways are above it (Mattson et al., IBM Systems J. 9(2), 1970). So a level's pieces are
settled one after another.

The L2's stream are the L1's misses. Mostly they are known at once: an L1 is as it is in truth after
some accesses before the piece, if these fill all its sets. Where they do not, its pieces are
settled first.

A stack is int64[sets, ways]: the pages of each set, the latest first, then NO_PAGE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.tlb_stream.constants import (
    LONG,
    LOOK_BACK,
    NO_PAGE,
    PIECE,
    PREDICTION_BITS,
    ROUND,
    SLOTS,
    STEPS,
    WIDE_WAYS,
)
from mmulab.mmu.tlb_stream.kernels import looking_up, missing, translating
from mmulab.mmu.tlb_stream.levels import Geometry, Level, empty_level


class Noted(NamedTuple):
    """What a level notes of a piece. pages: int64[n], those that miss, of an L1. firsts: int64[ways
    of all sets], pages that fill a way that has held nothing, in order; numbers: which of the
    misses. used[0]: how many."""

    pages: np.ndarray
    firsts: np.ndarray
    numbers: np.ndarray
    used: np.ndarray


class Piece(NamedTuple):
    """A level after a piece. missed: pages that missed, of an L1 that has yet to be settled.
    firsts, numbers: as noted. misses: of an empty level, until it is settled."""

    level: Level
    missed: np.ndarray
    firsts: np.ndarray
    numbers: np.ndarray
    misses: int


class Cut(NamedTuple):
    """Where a piece is in the stream. stack: of the L1 where it begins; None: not known. room:
    int64[accesses], for what misses."""

    start: int
    end: int
    stack: np.ndarray | None
    room: np.ndarray


def serves(l1: Geometry, l2: Geometry, accesses: int, jobs: int) -> bool:
    """True where it is done, and worth it: levels are made for each piece, and stacks searched
    from their tops."""
    fit = all(
        each.policy == "lru" and each.sets * each.ways <= SLOTS
        and each.sets * each.ways**2 <= STEPS
        for each in (l1, l2)
    )  # fmt: skip
    return fit and accesses >= jobs * LONG


def run(
    addresses: np.ndarray, page_shift: int, by_hash: bool, l1: Level, l2: Level, jobs: int
) -> tuple[Level, Level, int, int]:
    """Translates addresses: (L1 after them, L2, L1 misses, L2 misses)."""
    stack1, stack2 = stack_of_l1(l1), stack_of_l2(l2)
    misses1 = misses2 = 0
    each = min(PIECE, -(-addresses.size // jobs))
    rooms = [np.empty(each, np.int64) for _ in range(ROUND * jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        for start in range(0, addresses.size, len(rooms) * each):
            end = min(start + len(rooms) * each, addresses.size)
            edges = np.linspace(start, end, -(-(end - start) // (each * jobs)) * jobs + 1)
            starts, ends = edges[:-1].astype(int).tolist(), edges[1:].astype(int).tolist()
            stacks = [stack1, *[None] * (len(starts) - 1)]
            cuts = map(Cut, starts, ends, stacks, rooms)
            both = pool.map(partial(_through, addresses, page_shift, by_hash, l1, l2), cuts)
            first, second = zip(*both, strict=True)
            settled = _settle(first, stack1, stack_of_l1)
            second = pool.map(partial(_through_l2, l2), second, (each.missed for each in settled))
            misses1 += sum(each.misses for each in settled)
            misses2 += sum(each.misses for each in _settle(second, stack2, stack_of_l2))
    return _l1_of(stack1, l1), _l2_of(stack2, l2), misses1, misses2


def _settle(
    pieces: Iterable[Piece], stack: np.ndarray, stack_of: Callable[[Level], np.ndarray]
) -> list[Piece]:
    """Finds what hits in truth among the first misses of each piece; the stack is then that after
    the last of them."""
    settled = []
    for piece in pieces:
        hits = np.isin(piece.firsts, stack)
        settle(piece.firsts, stack, np.zeros(len(stack), np.int64), hits)
        if piece.missed.size:
            piece.missed[piece.numbers[hits]] = NO_PAGE
        on_top(stack_of(piece.level), stack)
        settled.append(piece._replace(misses=piece.misses - int(np.count_nonzero(hits))))
    return settled


def _through(
    addresses: np.ndarray, page_shift: int, by_hash: bool, l1: Level, l2: Level, cut: Cut
) -> tuple[Piece, Piece | None]:
    """A piece through a level like l1 and, where that is known, one like l2."""
    part = addresses[cut.start : cut.end]
    level1 = _before(addresses, page_shift, l1, cut)
    if level1 is None:
        return _through_l1(part, page_shift, by_hash, l1, cut.room), None
    level2, noted = _fresh(l2, 2), _nothing(l2, cut.room)
    wide1, wide2 = (each.ways >= WIDE_WAYS for each in (l1, l2))
    misses1, misses2 = translating(by_hash, wide1, wide2, True)(
        part, page_shift, int(level1.times.max()) + 1, _no_predictions(), level1, level2, noted
    )
    nothing = cut.room[:0]
    return Piece(level1, nothing, nothing, nothing, int(misses1)), _piece(level2, noted, misses2)


def _before(addresses: np.ndarray, page_shift: int, like: Level, cut: Cut) -> Level | None:
    """The L1 where a piece begins, if that is known."""
    if cut.stack is not None:
        return _l1_of(cut.stack, like)
    for count in LOOK_BACK:
        part = addresses[max(0, cut.start - min(count, len(cut.room))) : cut.start]
        level = _through_l1(part, page_shift, False, like, cut.room).level
        tags = level.tags.reshape(-1, like.stride)[:, : like.ways]
        if not (tags == NO_PAGE).any():
            return level
    return None


def _through_l1(
    addresses: np.ndarray, page_shift: int, by_hash: bool, like: Level, room: np.ndarray
) -> Piece:
    level, noted = _fresh(like, 1), _nothing(like, room)
    misses_of = missing(by_hash, like.ways >= WIDE_WAYS)
    misses = misses_of(addresses, page_shift, 1, _no_predictions(), level, noted)
    return _piece(level, noted, misses)._replace(missed=room[:misses])


def _through_l2(like: Level, done: Piece | None, pages: np.ndarray) -> Piece:
    """Pages through a level like l2, unless the piece has been."""
    if done is not None:
        return done
    level, noted = _fresh(like, 2), _nothing(like, pages)
    misses = looking_up(like.ways >= WIDE_WAYS)(pages, level, noted)
    return _piece(level, noted, misses)


def _piece(level: Level, noted: Noted, misses: int) -> Piece:
    used = noted.used[0]
    return Piece(level, noted.pages[:0], noted.firsts[:used], noted.numbers[:used], int(misses))


def _fresh(like: Level, number: int) -> Level:
    return empty_level(Geometry(like.set_mask + 1, like.ways), number)


def _nothing(level: Level, room: np.ndarray) -> Noted:
    firsts, numbers = np.empty((2, level.tags.size), np.int64)
    return Noted(room, firsts, numbers, np.zeros(1, np.int64))


def _no_predictions() -> np.ndarray:
    return np.zeros(1 << PREDICTION_BITS, np.int64)


def _l1_of(stack: np.ndarray, like: Level) -> Level:
    """The L1 that has a stack."""
    pages = np.ascontiguousarray(stack.T[::-1]).ravel()
    pages = pages[pages != NO_PAGE] << 1
    pages.flags.writeable = False  # as a stream's: one compiled signature serves all
    return _through_l1(pages, 1, False, like, np.empty(pages.size, np.int64)).level


def _l2_of(stack: np.ndarray, like: Level) -> Level:
    """The L2 that has a stack."""
    pages = np.ascontiguousarray(stack.T[::-1]).ravel()
    return _through_l2(like, None, pages).level


def stack_of_l1(level: Level) -> np.ndarray:
    """The stack of a level that keeps times."""
    shape = level.set_mask + 1, level.stride
    tags, times = (each.reshape(shape)[:, : level.ways] for each in (level.tags, level.times))
    return np.take_along_axis(tags, np.argsort(-times, axis=1, kind="stable"), axis=1)


def stack_of_l2(level: Level) -> np.ndarray:
    """The stack of a level that keeps lists."""
    stack = np.empty((level.set_mask + 1, level.ways), np.int64)
    listed(level.tags, level.newest, level.older, stack)
    return stack


@entry
def listed(tags, newest, older, stack):
    """Writes the stack of lists."""
    for index in range(stack.shape[0]):
        slot = newest[index]
        for place in range(stack.shape[1]):
            stack[index, place] = tags[slot]
            slot = older[slot]


@entry
def settle(firsts, stack, touched, hits):
    """Which of a piece's first misses hit in truth. hits: which of them the stack has, that before
    the piece, and then those that hit; the stack loses what the piece touches. touched: int64[sets]
    of 0, how many pages the piece has touched."""
    sets, ways = stack.shape
    for each in range(firsts.size):
        page = firsts[each]
        index = page & (sets - 1)
        above = touched[index]
        touched[index] += 1
        place = 0
        while hits[each]:  # until it is found
            if stack[index, place] == page:
                stack[index, place] = NO_PAGE
                hits[each] = above < ways
                break
            above += np.int64(stack[index, place] != NO_PAGE)
            place += 1


@entry
def on_top(upper, stack):
    """Puts a piece's stack on top of what it has left of the one before, in place."""
    ways = stack.shape[1]
    for index in range(stack.shape[0]):
        kept = 0
        for place in range(ways):
            if stack[index, place] != NO_PAGE:
                stack[index, kept] = stack[index, place]
                kept += 1
        used = 0
        while used < ways and upper[index, used] != NO_PAGE:
            used += 1
        for place in range(ways - 1, -1, -1):
            from_below = place - used
            if from_below < 0:
                stack[index, place] = upper[index, place]
            else:
                stack[index, place] = stack[index, from_below] if from_below < kept else NO_PAGE
