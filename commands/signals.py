"""Ctrl-C, SIGTERM and SIGHUP end a run the same way: KeyboardInterrupt, so that whatever is
under way cleans up.

An exception may be raised anywhere, and not everything can take it:

- Python drops one that is raised in a callback of the compiler's; it is raised again.
- Many packages are left broken by one in the middle of their import, and one while a process
  is started leaves nobody who knows of it. Both are let finish.
- A terminal that closes sends SIGHUP more than once: what comes soon after the first changes
  nothing, so that cleaning up is not interrupted.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

#: Seconds in which further signals are one with the first, between two attempts to raise, and
#: that what cannot take an exception is given to finish. Assumptions.
_BURST, _AGAIN, _PATIENCE = 1.0, 0.02, 5.0

_first: tuple[int, float] | None = None  # the signal, and when it came
_owed = False  # it has not been raised yet, or was dropped
_depth = 0


def came() -> int:
    """The signal that came first; 0 where none did."""
    return _first[0] if _first else 0


def check() -> None:
    """Raises KeyboardInterrupt where a signal came, whatever became of its exception."""
    global _owed
    if _first:
        _owed = False
        raise KeyboardInterrupt


@contextmanager
def heeded() -> Iterator[None]:
    """Heeds signals as long as it lasts, but those that the process was started to ignore."""
    global _first, _owed, _depth
    if not _depth:
        _first, _owed = None, False
    _depth += 1
    before = {
        number: signal.signal(number, _came)
        for number in _SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN
    }
    hook, sys.unraisablehook = sys.unraisablehook, _dropped
    try:
        yield
    finally:
        _depth -= 1
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """For the very end, where Python takes itself apart and has nobody to raise to."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _came(number: int, frame: FrameType | None) -> None:
    global _first, _owed
    now = time.monotonic()
    if _first is None:
        _first, _owed = (number, now), True
    since = now - _first[1]
    if not _owed and since < _BURST:
        return
    if since < _PATIENCE and _is_delicate(frame):
        _try_again()
        return
    _owed = False
    raise KeyboardInterrupt


def _is_delicate(frame: FrameType | None) -> bool:
    """True within an import or the start of a process."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == "<frozen importlib._bootstrap>":
            return True
        if code.co_name == "__init__" and frame.f_globals.get("__name__") == "subprocess":
            return True
        frame = frame.f_back
    return False


def _try_again() -> None:
    global _owed
    _owed = True
    timer = threading.Timer(_AGAIN, _send)
    timer.daemon = True
    with suppress(RuntimeError):  # Python is ending
        timer.start()


def _send() -> None:
    """The signal once more, so that what the main thread waits for ends too."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, came())
    else:
        _thread.interrupt_main(signal.Signals(came()))


def _dropped(unraisable: Any) -> None:
    """What Python does with an exception that it cannot raise."""
    if _first and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _try_again()
    else:
        sys.__unraisablehook__(unraisable)
