"""What binary formats share: records of a fixed size, taken from a stream in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from workloads.streams import ByteStream

BLOCK = 4 << 20


def records(stream: ByteStream, dtype: np.dtype) -> Iterator[tuple[int, np.ndarray]]:
    """(byte offset, records) of a stream that holds nothing else, in blocks.

    Raises InputError with the offset of a record that is cut off.
    """
    offset = 0
    block = BLOCK // dtype.itemsize * dtype.itemsize
    while True:
        data = stream.read(block)
        whole = len(data) // dtype.itemsize * dtype.itemsize
        if whole:
            yield offset, np.frombuffer(data[:whole] if whole < len(data) else data, dtype)
        if whole < len(data):
            raise InputError(
                f"{stream.name}: truncated at byte {offset + len(data):,}: expected records of "
                f"{dtype.itemsize} bytes"
            )
        if len(data) < block:
            return
        offset += len(data)


def check_canonical(
    stream: ByteStream, address: np.ndarray, va_bits: int, where: np.ndarray | int
) -> None:
    """Raises InputError with a byte offset for the first address that is not canonical.

    where: the offset of each address, or of the block that they are of.
    """
    unused = 64 - va_bits
    wrong = ((address << unused) >> unused) != address
    if wrong.any():
        first = int(np.argmax(wrong))
        at = int(where if isinstance(where, int) else where[first])
        raise InputError(
            f"{stream.name}: byte {at:,}: address {int(address[first]) & (1 << 64) - 1:#x} is not "
            f"canonical in {va_bits} bits"
        )


def plausible(head: bytes, dtype: np.dtype, least: int = 2) -> np.ndarray | None:
    """A file's beginning as records, where there are at least so many; for detection."""
    whole = len(head) // dtype.itemsize
    return np.frombuffer(head, dtype, whole) if whole >= least else None
