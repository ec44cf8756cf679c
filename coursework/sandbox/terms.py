"""On what terms a submission is graded: how long all of it may take, and with which protection.

    with terms(seconds=300) as held:
        ...                     # TimeUp is raised where it takes longer
    held.layers, held.missing   # of the sandbox, where any of the student's code was run

The time is kept twice. Each wait for the child ends with it; and in the main thread an alarm
(SIGALRM) ends whatever else the grader computes over what came back.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

#: Seconds for the alarm to wait after the end, so that waits can end by themselves; and between
#: further alarms, as Python drops an exception that is raised within a callback from C.
_GRACE, _AGAIN = 1.0, 5.0


class TimeUp(BaseException):
    """The submission has taken all its time. No Exception: nothing on the way may keep it."""


@dataclass
class Terms:
    """What holds now. end: on time.monotonic's clock. unsafe: run students' code even where a
    layer of protection is missing. layers, missing: of the children so far, as in `Verdict`."""

    end: float = float("inf")
    unsafe: bool = False
    layers: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


_CURRENT: ContextVar[Terms | None] = ContextVar("terms", default=None)


def current() -> Terms:
    """The terms of the innermost `terms`; without one, no end and every layer."""
    return _CURRENT.get() or Terms()


@contextmanager
def terms(seconds: float, unsafe: bool = False) -> Iterator[Terms]:
    """Terms for what is done inside. Raises TimeUp there once `seconds` have passed."""
    held = Terms(time.monotonic() + seconds, unsafe)
    token = _CURRENT.set(held)
    try:
        with _alarm(seconds):
            yield held
    finally:
        _CURRENT.reset(token)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
