"""Progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from mmulab.commands import signals


@contextmanager
def progress(name: str, length: int | None) -> Iterator[Callable[[int], None]]:
    """A function to tell how many accesses are done. It shows progress on standard error, if
    that is a terminal: a bar where the number is known beforehand, else a count."""
    done = 0
    if not sys.stderr.isatty():
        yield lambda _now: signals.check()
    elif length:
        with click.progressbar(length=length, label=name, file=sys.stderr) as bar:

            def advance(now: int) -> None:
                nonlocal done
                signals.check()
                bar.update(now - done)
                done = now

            yield advance
    else:

        def count(now: int) -> None:
            signals.check()
            click.echo(f"\r{name}: {now:,} accesses", nl=False, err=True)

        yield count
        click.echo(err=True)
