"""What is read ahead is what the source holds, and its thread ends."""

from __future__ import annotations

import gc
import io
import threading
import time

import pytest

from mmulab.workloads.ahead import ReadAhead

DATA = bytes(range(256)) * (40 << 10)  # 10 MiB, more than is read ahead


class Broken(io.BytesIO):
    """Fails where the data ends."""

    def read(self, count: int | None = -1) -> bytes:
        if part := super().read(count):
            return part
        raise EOFError("broken")


def threads_end(before: int) -> bool:
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    return threading.active_count() == before


def everything(source: ReadAhead, count: int) -> bytes:
    return b"".join(iter(lambda: source.read(count), b""))


@pytest.mark.parametrize("count", [1000, 1 << 20, 3 << 20])
def test_all_bytes_in_order(count: int) -> None:
    before = threading.active_count()
    ahead = ReadAhead(io.BytesIO(DATA))
    assert everything(ahead, count) == DATA
    assert ahead.read(1) == ahead.read(1) == b""
    assert threads_end(before)


def test_an_error_comes_where_it_is_and_again() -> None:
    ahead = ReadAhead(Broken(DATA))
    got = b""
    while len(got) < len(DATA):
        got += ahead.read(1 << 19)
    assert got == DATA
    for _ in range(2):
        with pytest.raises(EOFError, match="broken"):
            ahead.read(1)


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_the_thread_ends_before_the_source(how: str) -> None:
    before = threading.active_count()
    source = io.BytesIO(DATA)
    ahead = ReadAhead(source)
    assert ahead.read(10) == DATA[:10]
    if how == "closed":
        ahead.close()
        assert threading.active_count() == before
    else:
        del ahead
        gc.collect()
        assert threads_end(before)
    assert source.closed == (how == "closed")
