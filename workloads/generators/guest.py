"""A guest after boot: memory of which other guests have the same parts, and then some work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import CONTENT, EVENT, LOAD, STORE, Chunk
from mmulab.workloads import content_tags
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    LARGEST_ARENA,
    Parameter,
    mapped,
    stream,
)
from mmulab.workloads.generators.randoms import below, hashed, unit
from mmulab.workloads.generators.zipf_law import rank_of, zeta_of

SUMMARY = (
    "a guest's memory after boot, in part the same in every guest of an image, then loads and "
    "stores of its active part by Zipf's law; made for `mmulab run` with page merging"
)
PARAMETERS = {
    "size": Parameter(256 << 20, "bytes of memory in use", "bytes", 1 << 16, LARGEST_ARENA),
    "image": Parameter("linux", "guests of one image hold the same files", "text"),
    "zero": Parameter(0.1, "fraction of pages of zeros; assumption", "fraction", 0, 1),
    "file": Parameter(0.3, "fraction of pages of the image's files; assumption", "fraction", 0, 1),
    "duplicates": Parameter(
        0.05, "fraction of the other pages that equal another of the same guest; assumption",
        "fraction", 0, 1,
    ),
    "active": Parameter(0.3, "fraction of file and other pages that the work touches", "fraction",
                        0.001, 1),
    "write": Parameter(0.2, "fraction of accesses that store; to other than file pages",
                       "fraction", 0, 1),
    "theta": Parameter(0.7, "skew of the work; assumption", "fraction", 0.01, 0.999),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE = 4096
_EVENTS = 1 << 16  # of a chunk, so that memory stays bounded


def _pages(parameters: dict[str, Any]) -> tuple[int, int, int]:
    """Pages of zeros, of files and others, which lie in this order."""
    pages = int(parameters["size"]) // _PAGE
    zero = int(pages * parameters["zero"])
    file = int(pages * parameters["file"])
    return zero, file, pages - zero - file


def check(parameters: dict[str, Any]) -> None:
    if parameters["zero"] + parameters["file"] > 1:
        raise InputError("guest: zero and file: expected fractions that add up to 1 at most")
    zero, file, other = _pages(parameters)
    if int((file + other) * parameters["active"]) < 2:
        raise InputError("guest: active: fewer than two pages; expected more, or a larger size")


def _tags(parameters: dict[str, Any], seed: int) -> np.ndarray:
    """What each page holds: int64. A duplicate equals the page of half its number."""
    zero, file, other = _pages(parameters)
    owner = f"{seed}"
    numbers = np.arange(other)
    equal = (numbers * 0.6180339887498949) % 1.0 < parameters["duplicates"]
    numbers = np.where(equal, numbers // 2, numbers)
    files = content_tags.file_pages(str(parameters["image"]), np.arange(file))
    return np.concatenate(
        [np.zeros(zero, np.int64), files, content_tags.unique_pages(owner, numbers)]
    )


def _populate(parameters: dict[str, Any], seed: int) -> Iterator[Chunk]:
    """Chunks without accesses: a mapping, and what its pages hold."""
    tags = _tags(parameters, seed)
    events = mapped((ARENA, len(tags) * _PAGE))
    nothing = np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint16)
    for first in range(0, len(tags), _EVENTS):
        part = tags[first : first + _EVENTS]
        filled = np.zeros(len(part), EVENT)
        filled["kind"], filled["pid"] = CONTENT, 1
        filled["start"] = ARENA + (first + np.arange(len(part))) * _PAGE
        filled["length"] = _PAGE
        filled["value"] = part
        yield Chunk(*nothing, np.concatenate([events, filled]))
        events = events[:0]


@entry
def _fill(first, address, kind, seed, base, files, active, theta, zeta, write):
    """Each access takes a page of the active part by rank, scattered by a hash, and a word."""
    for position in range(address.size):
        at = 3 * (first + position)
        rank = rank_of(unit(seed, at), active, theta, zeta)
        page = np.int64(hashed(1, rank) % np.uint64(active))
        address[position] = base + page * _PAGE + 8 * below(seed, at + 1, _PAGE // 8)
        stores = page >= files and unit(seed, at + 2) < write
        kind[position] = STORE if stores else LOAD


def chunks(parameters: dict[str, Any], seed: int) -> Iterator[Chunk]:
    yield from _populate(parameters, seed)
    zero, file, other = _pages(parameters)
    part = float(parameters["active"])
    # The active part lies around the border between files and others.
    files, others = int(file * part), int(other * part)
    active = max(2, files + others)
    theta, write = float(parameters["theta"]), float(parameters["write"])
    base = ARENA + (zero + file - files) * _PAGE
    zeta = zeta_of(active, theta)
    yield from stream(
        int(parameters["accesses"]),
        mapped(),
        lambda first, address, kind: _fill(
            first, address, kind, seed, base, files, active, theta, zeta, write
        ),
    )
