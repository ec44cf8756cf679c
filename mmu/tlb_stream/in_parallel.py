"""A long stream through two LRU levels on several cores, equal to one.

The stream is cut into pieces, and a thread takes each from an empty level. What hits there hits
in truth: LRU goes by the pages of a set that were touched in between. What misses there misses in
truth, too, but for the first touches of a set's pages while it is not full, as many as a level
has ways: they hit where the stack that the piece begins with has the page, and no more than the
set's ways are above it (Mattson et al., IBM Systems J. 9(2), 1970). So a level's pieces are
settled one after another, first the L1's, whose misses are then the pieces of the L2's stream.

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
    NO_PAGE,
    PIECE,
    PREDICTION_BITS,
    SLOTS,
    STEPS,
    WIDE_WAYS,
)
from mmulab.mmu.tlb_stream.kernels import looking_up, missing
from mmulab.mmu.tlb_stream.levels import Geometry, Level, empty_level


class Noted(NamedTuple):
    """What a level notes of a piece. pages: int64[n], those that miss, of an L1. firsts: int64[ways
    of all sets], numbers of the misses that fill a way that has held nothing; used[0] of them."""

    pages: np.ndarray
    firsts: np.ndarray
    used: np.ndarray


class Piece(NamedTuple):
    """A level after a piece. pages: that were looked up, of those in an L1 the misses. misses: of
    an empty level."""

    level: Level
    pages: np.ndarray
    firsts: np.ndarray
    misses: int


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
    rooms = [np.empty(min(PIECE, addresses.size), np.int64) for _ in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        for start in range(0, addresses.size, jobs * PIECE):
            part = addresses[start : start + jobs * PIECE]
            cuts = np.array_split(part, min(jobs, -(-part.size // LONG)))
            first = pool.map(partial(_through_l1, page_shift, by_hash, l1), cuts, rooms)
            missed = _settle(first, stack1, stack_of_l1)
            second = pool.map(partial(_through_l2, l2), [each.pages for each in missed])
            misses1 += sum(each.misses for each in missed)
            misses2 += sum(each.misses for each in _settle(second, stack2, stack_of_l2))
    return _l1_of(stack1, l1), _l2_of(stack2, l2), misses1, misses2


def _settle(
    pieces: Iterable[Piece], stack: np.ndarray, stack_of: Callable[[Level], np.ndarray]
) -> list[Piece]:
    """Finds what hits in truth among the first misses of each piece; the stack is then that after
    the last of them."""
    settled = []
    for piece in pieces:
        known = np.isin(piece.pages[piece.firsts], stack)
        hits = int(settle(piece.pages, piece.firsts, known, stack, piece.level.set_mask))
        on_top(stack_of(piece.level), stack)
        settled.append(piece._replace(misses=piece.misses - hits))
    return settled


def _through_l1(
    page_shift: int, by_hash: bool, like: Level, addresses: np.ndarray, room: np.ndarray
) -> Piece:
    """room: for the pages that miss."""
    level, noted = _fresh(like, 1), _nothing(like, room)
    predicted = np.zeros(1 << PREDICTION_BITS, np.int64)
    misses_of = missing(by_hash, like.ways >= WIDE_WAYS)
    misses = int(misses_of(addresses, page_shift, 1, predicted, level, noted))
    return Piece(level, room[:misses], noted.firsts[: noted.used[0]], misses)


def _through_l2(like: Level, pages: np.ndarray) -> Piece:
    level, noted = _fresh(like, 2), _nothing(like, pages)
    misses = int(looking_up(like.ways >= WIDE_WAYS)(pages, level, noted))
    return Piece(level, pages, noted.firsts[: noted.used[0]], misses)


def _fresh(like: Level, number: int) -> Level:
    return empty_level(Geometry(like.set_mask + 1, like.ways), number)


def _nothing(level: Level, room: np.ndarray) -> Noted:
    return Noted(room, np.empty(level.tags.size, np.int64), np.zeros(1, np.int64))


def _l1_of(stack: np.ndarray, like: Level) -> Level:
    """The L1 that has a stack."""
    pages = np.ascontiguousarray(stack.T[::-1]).ravel()
    pages = pages[pages != NO_PAGE] << 1
    pages.flags.writeable = False  # as a stream's: one compiled signature serves all
    return _through_l1(1, False, like, pages, np.empty(pages.size, np.int64)).level


def _l2_of(stack: np.ndarray, like: Level) -> Level:
    """The L2 that has a stack."""
    return _through_l2(like, np.ascontiguousarray(stack.T[::-1]).ravel()).level


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
def settle(pages, firsts, known, stack, set_mask):
    """Finds those of a piece's first misses that hit in truth, in order: they become NO_PAGE.
    Returns how many. known: whether the stack, that before the piece, has each of them; it loses
    what the piece touches."""
    touched = np.zeros(stack.shape[0], np.int64)  # pages of each set, by the piece
    hits = 0
    for each in range(firsts.size):
        number = firsts[each]
        page = pages[number]
        index = page & set_mask
        above = touched[index]
        touched[index] += 1
        if not known[each]:
            continue
        for place in range(stack.shape[1]):
            other = stack[index, place]
            if other == page:
                stack[index, place] = NO_PAGE
                if above < stack.shape[1]:
                    pages[number] = NO_PAGE
                    hits += 1
                break
            above += np.int64(other != NO_PAGE)
    return hits


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
