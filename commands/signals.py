"""Ctrl-C, SIGTERM and SIGHUP end a run the same way: KeyboardInterrupt, so that whatever is
under way cleans up.

An exception may be raised anywhere, and not everything can take it:

- LLVM's objects belong to either Python or LLVM: one that is raised while they change hands, or
  in a callback of LLVM's, has the process crash as they are freed. It waits until LLVM is left.
- Python drops one that is raised in another callback or a finalizer; it is raised again.
- Many packages are left broken by one in the middle of their import, and one while a process
  is started, or a temporary file made (as `tempfile` does to try a directory), leaves nobody who
  knows of it; outputs take their places all or none. These are let finish.
- An object whose making it ends may be unable to go: what its finalizer says, then or when the
  process ends, is no news.
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
from types import CodeType, FrameType
from typing import Any

from mmulab.mmu import outputs

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

#: Seconds in which further signals are one with the first, between two attempts to raise, and
#: that an import, the start of a process or a temporary file is given to finish. Assumptions.
_BURST, _AGAIN, _PATIENCE = 1.0, 0.02, 5.0

#: Modules that own what is LLVM's.
_LLVM = ("llvmlite.binding", "numba.core.codegen")

_first: tuple[int, float] | None = None  # the signal, and when it came
_owed = False  # it has not been raised yet, or was dropped
_depth = 0
_ending = False


def came() -> int:
    """The signal that came first; 0 where none did."""
    return _first[0] if _first else 0


def told() -> str:
    """How the command was ended, and what that left, as a user is told."""
    number = came() or signal.SIGINT
    how = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    left = "what was written is whole" if outputs.any_written() else "nothing was written"
    return f"{how}; {left}"


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
        outputs.forget()
    hook = sys.unraisablehook
    before = heed()
    try:
        yield
    finally:
        _depth -= 1
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def heed() -> dict[int, Any]:
    """Heeds signals from now on, but those that the process was started to ignore; returns what
    was done on each before."""
    global _depth
    _depth += 1
    sys.unraisablehook = _dropped
    return {
        number: signal.signal(number, _came)
        for number in _SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN
    }


def end() -> None:
    """For the very end, where Python takes itself apart and has nobody to raise to: signals are
    heeded no more."""
    global _ending
    _ending = True
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _came(number: int, frame: FrameType | None) -> None:
    global _first, _owed
    now = time.monotonic()
    if _first is None:
        _first, _owed = (number, now), True
    since = now - _first[1]
    if _ending or (not _owed and since < _BURST):
        return
    if _must_finish(frame) or (since < _PATIENCE and _should_finish(frame)):
        _try_again()
        return
    _owed = False
    raise KeyboardInterrupt


def _must_finish(frame: FrameType | None) -> bool:
    """True within LLVM, or where outputs take their places: neither waits for anything."""
    return outputs.are_taking_their_places() or any(
        module.startswith(_LLVM) for module, _ in _within(frame)
    )


def _should_finish(frame: FrameType | None) -> bool:
    """True within an import, the start of a process, or what makes and removes temporary files."""
    return any(
        code.co_filename == "<frozen importlib._bootstrap>"
        or (module == "subprocess" and code.co_name == "__init__")
        or module == "tempfile"
        for module, code in _within(frame)
    )


def _within(frame: FrameType | None) -> Iterator[tuple[str, CodeType]]:
    """Modules and code of a frame, and of those that called it."""
    while frame is not None:
        yield str(frame.f_globals.get("__name__")), frame.f_code
        frame = frame.f_back


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
    """What Python does with an exception that it cannot raise. After a signal, others come of
    what was left half made."""
    if not _first:
        sys.__unraisablehook__(unraisable)
    elif issubclass(unraisable.exc_type, KeyboardInterrupt) and not _ending:
        _try_again()
