"""The moment at which a command's outputs take their places: whoever would end the process
waits for it, and can tell afterwards whether anything was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_under_way = 0
_any = False


@contextmanager
def taking_their_places() -> Iterator[None]:
    """As long as it lasts, files are moved to where they are seen: a signal does not part it.
    For steps that take no time."""
    global _under_way, _any
    _under_way += 1
    try:
        yield
        _any = True
    finally:
        _under_way -= 1


def are_taking_their_places() -> bool:
    """True within `taking_their_places`."""
    return _under_way > 0


def any_written() -> bool:
    """True where this process has put outputs in place since `forget`."""
    return _any


def forget() -> None:
    """For a process that runs one command after another."""
    global _any
    _any = False
