"""Bytes that are read ahead in a thread: decompressing goes on beside what is made of them."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import BinaryIO

_BLOCK = 1 << 20  # bytes read at a time
_BLOCKS = 4  # read ahead: assumptions, enough for a chunk of accesses
_LOOK_AGAIN = 0.1  # seconds, for a reader that is gone


class ReadAhead:
    """What a source holds, from front to back. The source is read by a thread from now on, which
    ends with the source, with `close`, or where nobody has this any more."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._blocks: queue.Queue[bytes | BaseException] = queue.Queue(_BLOCKS)
        self._unread = memoryview(b"")
        self._error: BaseException | None = None
        ended = threading.Event()
        self._end = weakref.finalize(self, ended.set)
        self._thread = threading.Thread(
            target=_read_on, args=(source, self._blocks, ended), daemon=True
        )
        self._thread.start()

    def read(self, count: int) -> bytes:
        """Up to count bytes, none at the end. Raises what reading the source raises."""
        if not self._unread and self._error is None:
            block = self._blocks.get()
            if isinstance(block, BaseException):
                self._error = block
            else:
                self._unread = memoryview(block)
        if not self._unread and self._error is not None:
            if isinstance(self._error, EndOfSource):
                return b""
            raise self._error
        part = bytes(self._unread[:count])
        self._unread = self._unread[count:]
        return part

    def close(self) -> None:
        """Ends the thread, then closes the source."""
        self._end()
        self._thread.join()
        self._source.close()


class EndOfSource(Exception):
    """Stands for the end among blocks."""


def _read_on(
    source: BinaryIO, blocks: queue.Queue[bytes | BaseException], ended: threading.Event
) -> None:
    """What the thread does. It does not know the `ReadAhead`, so as not to keep it."""
    block: bytes | BaseException = b""
    while not isinstance(block, BaseException):
        try:
            block = source.read(_BLOCK) or EndOfSource()
        except BaseException as error:  # raised by `read`
            block = error
        while not ended.is_set():
            try:
                blocks.put(block, timeout=_LOOK_AGAIN)
                break
            except queue.Full:
                continue
        if ended.is_set():
            return
