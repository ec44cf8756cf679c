"""Progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def progress(trace: Any) -> Iterator[Callable[[int], None] | None]:
    """Progress on standard error, if that is a terminal: a bar where the trace's length
    is known, else a count."""
    if not sys.stderr.isatty():
        yield None
    elif trace.length:
        done = 0
        with click.progressbar(length=trace.length, label=trace.name, file=sys.stderr) as bar:

            def advance(now: int) -> None:
                nonlocal done
                bar.update(now - done)
                done = now

            yield advance
    else:
        yield lambda now: click.echo(f"\r{trace.name}: {now:,} accesses", nl=False, err=True)
        click.echo(err=True)
