"""A trace cut into what is simulated in full and what is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mmulab.mmu.sampling.skipped import NOTHING, Skipped
from mmulab.mmu.trace import Chunk, Trace


class Span(NamedTuple):
    """Accesses [start, stop) of a trace that are simulated one by one. unit: the number of the unit
    of which it is a half; -1 of a warm-up. is_end: whether the unit ends with it."""

    start: int
    stop: int
    unit: int = -1
    is_end: bool = False


class Piece(NamedTuple):
    """What is run. begin: the place of its first access in the trace. span: None of what is left of
    skipped accesses. A span may come in several pieces; is_last: this is the last of them."""

    chunk: Chunk
    begin: int
    span: Span | None
    is_last: bool


def spans(starts: Sequence[tuple[int, int]], unit: int, warmup: int) -> list[Span]:
    """What is simulated for units, (number, start) each, in order: a warm-up, and the unit in two
    halves, so that the one can be held against the other."""
    found: list[Span] = []
    end = 0
    for number, start in starts:
        warm = max(end, start - warmup)
        if warm < start:
            found.append(Span(warm, start))
        middle, end = start + unit // 2, start + unit
        found += [Span(start, middle, number), Span(middle, end, number, True)]
    return found


def pieces(
    trace: Trace, wanted: Sequence[Span], skipped: Skipped | None, begin: int, end: int
) -> Iterator[Piece]:
    """Goes through the trace up to access `end`; no piece lies on both sides of `begin`. skipped:
    chooses among accesses that are in no span; None: all of them are run."""
    done = at = 0
    for chunk in trace.chunks():
        keep = skipped.keep(chunk) if skipped else None
        for first, last in _cuts(chunk, done, wanted[at:], begin, end):
            span = wanted[at] if at < len(wanted) and wanted[at].start <= done + first else None
            part = _part(chunk, first, last, keep if span is None else None)
            ends = span is not None and span.stop == done + last
            if part.accesses or len(part.events) or ends:
                yield Piece(part, done + first, span, ends)
            at += ends
        done += chunk.accesses
        if done >= end:
            return


def _cuts(
    chunk: Chunk, done: int, wanted: Sequence[Span], begin: int, end: int
) -> list[tuple[int, int]]:
    """A chunk's ranges that no span begins or ends within, up to the end."""
    stop = min(chunk.accesses, end - done)
    places = {0, stop, *(place - done for place in (begin,) if 0 < place - done < stop)}
    for span in wanted:
        if span.start - done >= stop:
            break
        places |= {place - done for place in span[:2] if 0 < place - done < stop}
    ordered = sorted(places)
    return list(zip(ordered, ordered[1:], strict=False)) or [(0, 0)]


def _part(chunk: Chunk, first: int, last: int, keep: np.ndarray | None) -> Chunk:
    """Accesses [first, last), all or those to be kept, with the events before each of them; at the
    end of the chunk, with those after the last, too."""
    at = chunk.events["position"]
    chosen = (at >= first) & ((at < last) | (last == chunk.accesses))
    events = chunk.events[chosen].copy()
    events["position"] -= first
    part = chunk.part(slice(first, last), events)
    if keep is None:
        return part
    mask = keep[first:last] > NOTHING
    if len(events):
        places = np.concatenate([[0], np.cumsum(mask)])
        events["position"] = places[events["position"]]
    return part.part(mask, events)
