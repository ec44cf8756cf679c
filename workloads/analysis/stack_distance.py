"""Miss ratios of every LRU TLB size in one pass: stack distances.

The stack distance of a touch is the place of its page in the order of last use, 1 for
the page touched last. A fully associative LRU TLB of n entries hits just the touches of
distance at most n (Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for storage
hierarchies, IBM Systems J. 9(2), 1970), so that one histogram answers for every n.

Sampled, only pages whose hash is below a threshold are followed, and distances are
scaled up (Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC construction with SHARDS,
FAST 2015, section 3, with the correction of their section 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, SIZE_NAMES
from mmulab.mmu.trace import Chunk
from mmulab.workloads.analysis import stack_kernels as kernels
from mmulab.workloads.analysis.stack_kernels import EMPTY, WORD
from mmulab.workloads.slices import Owners

_SMALLEST = 1 << 14  # places of the first tables; they double as they fill


@dataclass(frozen=True)
class MissRatioCurve:
    """Misses of every size of a fully associative LRU TLB.

    page_size: "4k", "2m" or "1g". touches: pages touched by accesses, those that straddle
    two pages twice. cold: first touches, estimated where sampled. hits: float64[n + 1],
    hits[d] touches at stack distance d. rate: part of the pages that was followed.
    """

    page_size: str
    touches: int
    cold: float
    hits: np.ndarray
    rate: float

    def misses(self, entries: int) -> float:
        """Touches that miss a TLB of so many entries, first touches included."""
        return max(0.0, self.touches - float(self.hits[: entries + 1].sum()))

    def miss_ratio(self, entries: np.ndarray | list[int]) -> np.ndarray:
        """Misses a touch for each of several sizes."""
        total = np.cumsum(self.hits)
        at = np.minimum(np.asarray(entries), len(total) - 1)
        return np.clip(1 - total[at] / self.touches, 0.0, 1.0)

    def entries_for(self, hit_ratio: float) -> int | None:
        """The fewest entries that give a hit ratio; None where no size does."""
        enough = np.cumsum(self.hits) >= hit_ratio * self.touches - 1e-9
        return int(np.argmax(enough)) if enough.any() else None

    @property
    def largest(self) -> int:
        """Entries beyond which nothing is gained."""
        used = np.flatnonzero(self.hits)
        return int(used[-1]) if len(used) else 1


class StackDistances:
    """Stack distances of a trace's pages, chunk by chunk.

    page_size: index of the page size, 0 to 2. rate: part of the pages to follow, 1 for
    all. Pages of different processes are different pages, as under ASIDs. Memory is
    some 70 bytes a page followed.
    """

    def __init__(self, page_size: int = 0, rate: float = 1.0) -> None:
        if not 0 < rate <= 1:
            raise InputError(f"sampling rate {rate}: expected more than 0, at most 1")
        self.page_size = page_size
        self.rate = rate
        self._threshold = max(1, round(rate * (1 << kernels.SAMPLE_BITS)))
        self._shift = PAGE_SHIFT + INDEX_BITS * page_size
        self._state = np.zeros(kernels.STATE, np.int64)
        self._state[kernels.LAST_KEY] = EMPTY
        self._top = np.zeros(kernels.TOP, np.int64)
        self._keys = np.full(_SMALLEST, EMPTY, np.int64)
        self._slots = np.zeros(_SMALLEST, np.int64)
        self._firsts = np.zeros(_SMALLEST // 2, np.int64)
        self._timeline(_SMALLEST)
        self._histogram = np.zeros(_SMALLEST, np.int64)
        self._straddles = np.zeros(1, np.int64)
        self._owners = Owners()

    def _timeline(self, length: int) -> None:
        self._stamped = np.zeros(length, np.int64)
        self._live = np.zeros(length // WORD, np.uint64)
        self._tree = np.zeros(length // WORD, np.int32)

    @property
    def pages(self) -> int:
        """Pages followed so far."""
        return int(self._state[kernels.KEYS])

    @property
    def touches(self) -> int:
        """Pages touched so far, again and again."""
        return int(self._state[kernels.ACCESSES])

    def add(self, chunk: Chunk) -> None:
        """Takes the accesses of a chunk."""
        for start, end, owner in self._owners.parts(chunk):
            self.take(chunk, start, end, owner)

    def take(self, chunk: Chunk, position: int, end: int, owner: int) -> None:
        """Takes accesses [position, end) of a chunk, all of one owner's: see `Owners`."""
        while position < end:
            why, position = kernels.distances(
                to_read(chunk.address), to_read(chunk.size), position, end, self._shift,
                owner, self._threshold, self._state, self._top, self._keys, self._slots,
                self._firsts, self._stamped, self._live, self._tree, self._histogram,
                self._straddles,
            )  # fmt: skip
            if why == kernels.COMPACT:
                self._compact()
            elif why == kernels.GROW:
                self._grow()
            elif why == kernels.WIDEN:
                self._widen()

    def like(self) -> StackDistances:
        """Another of the same page size and rate, that has taken nothing."""
        return StackDistances(self.page_size, self.rate)

    def absorb(self, later: StackDistances) -> None:
        """Takes what another has taken, from its beginning, of the accesses that come next: what
        is counted then is what this one would have counted.

        Of those, it misses the first to each page, whose distances go by what came before: by
        the pages that were touched in between here, and there (Niu, Dinan, Lu and Sadayappan,
        PARDA: A Fast Parallel Reuse Distance Analysis Algorithm, IPDPS 2012; not read in the
        original).
        """
        count = later.pages
        while 2 * (self.pages + count) >= len(self._keys):
            self._grow()
        while self.pages + count + 2 >= len(self._histogram) or len(self._histogram) < len(
            later._histogram
        ):
            self._widen()
        self._make_room(kernels.TOP)
        kernels.stamp_top(
            self._state, self._top, self._keys, self._slots, self._stamped, self._live, self._tree
        )
        kernels.touch_again(
            later._firsts, count, self._state, self._keys, self._slots, self._firsts, self._live,
            self._tree, self._histogram,
        )  # fmt: skip
        self._make_room(count)
        kernels.stamp_later(
            later._state, later._top, later._stamped, later._live,
            self._state, self._keys, self._slots, self._stamped, self._live, self._tree,
        )  # fmt: skip
        self._histogram[: len(later._histogram)] += later._histogram
        for each in (kernels.ACCESSES, kernels.SAMPLED):
            self._state[each] += later._state[each]
        if count:
            self._state[kernels.LAST_KEY] = later._state[kernels.LAST_KEY]

    def _widen(self) -> None:
        self._histogram = np.append(self._histogram, np.zeros_like(self._histogram))

    def _make_room(self, stamps: int) -> None:
        if int(self._state[kernels.NEXT_SLOT]) + stamps > len(self._stamped):
            self._compact(stamps)

    def _compact(self, stamps: int = 0) -> None:
        """Makes room in the timeline, for so many stamps at least."""
        stamped, live, tree = self._stamped, self._live, self._tree
        valid = int(self._state[kernels.LIVE])
        # Three quarters free afterwards: compacting costs less than a stamp each.
        length = len(stamped)
        while max(valid * 4, valid + stamps) > length:
            length *= 2
        self._timeline(length)
        kernels.compact(self._keys, self._slots, stamped, live, tree, self._state,
                        self._stamped, self._live, self._tree)  # fmt: skip

    def _grow(self) -> None:
        keys = np.full(2 * len(self._keys), EMPTY, np.int64)
        slots = np.zeros(len(keys), np.int64)
        kernels.rehash(self._keys, self._slots, keys, slots)
        self._keys, self._slots = keys, slots
        self._firsts = np.append(self._firsts, np.zeros_like(self._firsts))

    def curve(self) -> MissRatioCurve:
        """The curve of all that was added. Raises InputError where that is nothing."""
        touches, sampled = int(self._state[kernels.ACCESSES]), int(self._state[kernels.SAMPLED])
        if not touches:
            raise InputError("no memory accesses")
        counts = self._histogram[: self.pages + 1].astype(np.float64)
        rate = self._threshold / (1 << kernels.SAMPLE_BITS)
        if rate < 1:
            # Distance d of a sample is d / rate; what sampling drew too much or too little
            # of is put down to the shortest distance.
            distance = np.maximum(1, np.round(np.arange(len(counts)) / rate)).astype(np.int64)
            scaled = np.zeros(int(distance[-1]) + 1)
            np.add.at(scaled, distance, counts / rate)
            scaled[1] = max(0.0, scaled[1] + touches - sampled / rate)
            counts = scaled
        return MissRatioCurve(
            SIZE_NAMES[self.page_size], touches, int(self._state[kernels.COLD]) / rate, counts, rate
        )
