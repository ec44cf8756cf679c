"""Progress on a terminal, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_interrupts = 0


def _interrupted(_signal: int, _frame: Any) -> None:
    global _interrupts
    _interrupts += 1
    raise KeyboardInterrupt


def heed_interrupts() -> None:
    """Makes Ctrl-C end a run even where it comes while a kernel is compiled: Python drops
    an exception that is raised in a callback of the compiler's."""
    signal.signal(signal.SIGINT, _interrupted)


def _check() -> None:
    if _interrupts:
        raise KeyboardInterrupt


@contextmanager
def progress(name: str, length: int | None) -> Iterator[Callable[[int], None]]:
    """A function to tell how many accesses are done. It shows progress on standard error, if
    that is a terminal: a bar where the number is known beforehand, else a count."""
    done = 0
    if not sys.stderr.isatty():
        yield lambda _now: _check()
    elif length:
        with click.progressbar(length=length, label=name, file=sys.stderr) as bar:

            def advance(now: int) -> None:
                nonlocal done
                _check()
                bar.update(now - done)
                done = now

            yield advance
    else:

        def count(now: int) -> None:
            _check()
            click.echo(f"\r{name}: {now:,} accesses", nl=False, err=True)

        yield count
        click.echo(err=True)
