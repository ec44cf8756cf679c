"""How much of some memory images could be shared: equal pages, within and between them.

Pages are equal where 128 bits of a hash are: of 2**28 pages (1 TiB), two that differ are taken
for equal with a probability below 2**-72. Zeros are told exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.report.made import Making
from mmulab.mmu.report.shown import Shown
from mmulab.workloads import images

SCHEMA = "mmulab.dedup"
SCHEMA_VERSION = 2

PAGE = 4096
LARGE = 512  # pages of 4 KiB in one of 2 MiB
_WORDS = PAGE // 8

#: Bytes a page that counting takes: hashes, and sorting them.
BYTES_PER_PAGE = 64

# Odd constants of xxHash's 64-bit variants (Y. Collet, xxHash specification, 4 and 5).
_P1, _P2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_P3, _P4 = np.uint64(0x165667B19E3779F9), np.uint64(0x85EBCA77C2B2AE63)
_S33, _S29 = np.uint64(33), np.uint64(29)


@entry
def _hash_pages(words, low, high):
    """128 bits for each page of 512 words; (0, 0) for zeros and nothing else.

    Two lanes of xxHash's round, multiply and rotate by add, with constants of their own.
    """
    for page in range(low.size):
        a, b = _P1, _P2
        any_bit = np.uint64(0)
        start = page * _WORDS
        for at in range(start, start + _WORDS):
            word = words[at]
            any_bit |= word
            a = (a ^ word) * _P2
            a ^= a >> _S33
            b = (b + word) * _P3
            b ^= b >> _S29
        if any_bit:
            a = (a ^ (a >> _S33)) * _P4
            b = (b ^ (b >> _S29)) * _P1
            low[page], high[page] = a ^ (b >> _S33), (b ^ (a >> _S29)) | np.uint64(1)
        else:
            low[page] = high[page] = np.uint64(0)


@dataclass(frozen=True)
class Sharing:
    """Pages of one size, of a file or of all together.

    pages: in all. zero: of zeros. shared: pages that equal another, zeros included. contents:
    what they hold, each once. reclaimed: pages that sharing frees.
    """

    name: str
    page_bytes: int
    pages: int
    zero: int
    shared: int
    contents: int

    @property
    def reclaimed(self) -> int:
        return self.shared - self.contents


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """Sharing within each file and of all together, by page size.

    copies: of all files, how many contents have 1, 2, 3-4, 5-8, ... equal pages of 4 KiB.
    cut: pages of 2 MiB that would have to be cut to reclaim their parts; None without 2 MiB.
    """

    files: tuple[Sharing, ...]
    together: tuple[Sharing, ...]
    copies: tuple[int, ...]
    cut: int | None
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        images = len({one.name for one in self.files})
        return f"<equal pages of {images} memory images>"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Report:
        """What `to_dict` made plain."""
        names = [each.name for each in fields(Sharing)]
        files, together = (
            tuple(Sharing(**{name: row[name] for name in names}) for row in plain[which])
            for which in ("files", "together")
        )
        return cls(
            files, together, tuple(plain["copies"]), plain["cut"], plain["input"], plain["made"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data; see docs/results.md."""

        def row(sharing: Sharing) -> dict[str, Any]:
            return asdict(sharing) | {"reclaimed": sharing.reclaimed}

        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "made": self.made,
            "input": self.input,
            "files": [row(one) for one in self.files],
            "together": [row(one) for one in self.together],
            "copies": list(self.copies),
            "cut": self.cut,
        }


class _Image:
    """Hashes of the pages of one image."""

    def __init__(self, path: str, progress: Callable[[int], None]) -> None:
        lows, highs, addresses = [], [], []
        for block in images.blocks(path):
            words = np.frombuffer(block.data, np.uint64)
            count = len(words) // _WORDS
            low, high = np.empty(count, np.uint64), np.empty(count, np.uint64)
            _hash_pages(words, low, high)
            lows.append(low)
            highs.append(high)
            addresses.append((block.address // PAGE, count))
            progress(count)
        if not lows:
            raise InputError(f"{path}: holds no whole page of 4 KiB")
        self.low, self.high = np.concatenate(lows), np.concatenate(highs)
        self._runs = addresses

    def large_starts(self) -> np.ndarray:
        """Index of the first small page of each aligned, whole page of 2 MiB."""
        number = np.concatenate([first + np.arange(count) for first, count in self._runs])
        starts = np.flatnonzero(number % LARGE == 0)
        ends = starts + LARGE - 1
        whole = ends < len(number)
        starts, ends = starts[whole], ends[whole]
        return starts[number[ends] - number[starts] == LARGE - 1]

    def large(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of its pages of 2 MiB, from those of their parts."""
        starts = self.large_starts()
        low, high = np.empty(len(starts), np.uint64), np.empty(len(starts), np.uint64)
        parts = starts[:, None] + np.arange(LARGE)
        _hash_pages(np.ascontiguousarray(self.low[parts]).ravel(), low, high)
        return low, high


def _groups(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order, first position in it of each group of equal pages)."""
    order = np.lexsort((high, low))
    a, b = low[order], high[order]
    new = np.ones(len(a), bool)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return order, np.flatnonzero(new)


def _sharing(name: str, size: int, low: np.ndarray, high: np.ndarray) -> Sharing:
    if not len(low):
        return Sharing(name, size, 0, 0, 0, 0)
    _, first = _groups(low, high)
    copies = np.diff(first, append=len(low))
    several = copies > 1
    zero = int(((low == 0) & (high == 0)).sum())
    return Sharing(name, size, len(low), zero, int(copies[several].sum()), int(several.sum()))


def measure(
    paths: Sequence[str],
    sizes: Iterable[str] = ("4k", "2m"),
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Counts equal pages of some images. progress: called with pages read so far.

    Raises InputError where there is none, one cannot be read, or there are too many for this
    machine's memory.
    """
    if not paths:
        raise InputError("expected at least one memory image")
    _check_memory(paths)
    making = Making({path: path for path in paths})
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done)

    read = [(printable(os.path.basename(path) or path), _Image(path, add)) for path in paths]
    low = np.concatenate([image.low for _, image in read])
    high = np.concatenate([image.high for _, image in read])
    files: list[Sharing] = []
    together: list[Sharing] = []
    cut = None
    if "4k" in sizes:
        files += [_sharing(name, PAGE, image.low, image.high) for name, image in read]
        together.append(_sharing("all", PAGE, low, high))
    if "2m" in sizes:
        large = [(name, *image.large()) for name, image in read]
        files += [_sharing(name, PAGE * LARGE, a, b) for name, a, b in large]
        lows, highs = (np.concatenate([one[i] for one in large]) for i in (1, 2))
        together.append(_sharing("all", PAGE * LARGE, lows, highs))
        cut = _cut(read, low, high)
    asked = {"call": "dedup", "page_sizes": list(sizes), "images": list(paths)}
    return Report(
        tuple(files),
        tuple(together),
        _copies(low, high),
        cut,
        input=asked | {"files": making.files()},
        made=making.made(),
    )


def _check_memory(paths: Sequence[str]) -> None:
    """Raises InputError where the images are too large to be counted here."""
    pages = sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) // PAGE
    needed = pages * BYTES_PER_PAGE
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > have:
        raise InputError(
            f"{pages:,} pages: counting them takes {needed / 2**30:,.1f} GiB of memory; this "
            f"machine has {have / 2**30:,.1f}"
        )


def _copies(low: np.ndarray, high: np.ndarray) -> tuple[int, ...]:
    _, first = _groups(low, high)
    copies = np.diff(first, append=len(low))
    power = np.ceil(np.log2(copies)).astype(np.int64)
    return tuple(np.bincount(power).tolist())


def _cut(read: list[tuple[str, _Image]], low: np.ndarray, high: np.ndarray) -> int:
    """Pages of 2 MiB that equal no other as a whole, but have parts that equal others."""
    shared = _is_shared(low, high)
    parts, lows, highs = [], [], []
    base = 0
    for _, image in read:
        starts = image.large_starts()
        parts.append(shared[base + starts[:, None] + np.arange(LARGE)].any(axis=1))
        a, b = image.large()
        lows.append(a)
        highs.append(b)
        base += len(image.low)
    whole = _is_shared(np.concatenate(lows), np.concatenate(highs))
    return int((np.concatenate(parts) & ~whole).sum())


def _is_shared(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """True for each page that equals another."""
    shared = np.zeros(len(low), bool)
    if len(low):
        order, first = _groups(low, high)
        copies = np.diff(first, append=len(low))
        shared[order] = np.repeat(copies > 1, copies)
    return shared
