"""Choosing part of a trace, with the events that the part needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import Chunk
from mmulab.workloads.depends import Distances
from mmulab.workloads.slices import after, before, owners

KINDS = ("load", "store", "fetch")


def keep(chunk: Chunk, mask: np.ndarray) -> Chunk:
    """The accesses that a mask chooses; every event stays between the accesses it was between."""
    events = chunk.events
    if len(events):
        places = np.concatenate([[0], np.cumsum(mask)])
        events = events.copy()
        events["position"] = places[events["position"]]
    return chunk.part(mask, events)


@dataclass(frozen=True)
class Sample:
    """The first `length` accesses of each `period`."""

    period: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Sample:
        """From PERIOD:LENGTH. Raises InputError."""
        from mmulab.mmu.config.units import parse_count

        period, _, length = text.partition(":")
        try:
            sample = cls(parse_count(period), parse_count(length))
        except ValueError:
            sample = cls(0, 0)
        if not 0 < sample.length <= sample.period:
            raise InputError(
                f"--sample {text}: expected PERIOD:LENGTH, such as 10M:1M, the length at most "
                "the period"
            )
        return sample

    def mask(self, first: int, count: int) -> np.ndarray:
        """Which of accesses first, ..., first + count - 1 are in the sample."""
        return (first + np.arange(count)) % self.period < self.length


@dataclass(frozen=True)
class Selection:
    """What to keep of a trace. Events are kept throughout, so that the mappings of what is
    left are right; those of what is skipped happen at its beginning.

    skip: accesses at the beginning to leave out. most: accesses to keep. sample: a part of
    each period, counted after skip. process: a pid. kinds: of KINDS, all where empty.
    """

    skip: int = 0
    most: int | None = None
    sample: Sample | None = None
    process: int | None = None
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = set(self.kinds) - set(KINDS)
        if wrong:
            raise InputError(f"--kinds {','.join(self.kinds)}: expected {', '.join(KINDS)}")

    def of(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks of what is kept."""
        skip, seen, kept, last = self.skip, 0, 0, (1, 0)
        distances = Distances()
        for chunk in chunks:
            part = after(chunk, skip)
            skipped = chunk.accesses - part.accesses
            skip -= min(skip, chunk.accesses)
            mask = np.ones(part.accesses, bool)
            if self.sample:
                mask &= self.sample.mask(seen, part.accesses)
            if self.process is not None:
                pid, _, last = owners(part, last)
                mask &= pid == self.process
            if self.kinds:
                mask &= np.isin(part.kind, [KINDS.index(kind) for kind in self.kinds])
            seen += part.accesses
            here = np.concatenate([np.zeros(skipped, bool), mask])
            depends = distances.among(chunk.depends, here, kept)
            part = part._replace(depends=None if depends is None else depends[skipped:])
            part = part if mask.all() else keep(part, mask)
            if self.most is not None:
                part = before(part, self.most - kept)
            kept += part.accesses
            if part.accesses or len(part.events):
                yield part
            if self.most is not None and kept >= self.most:
                return
