"""What a report says, whatever it is written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Rows of cells. The first `names` columns say what a row is of, the others are numbers. A
    row of one cell is a heading. folded: it is long, and for who looks for it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure. words: what it shows. draw: makes it, each time anew."""

    title: str
    words: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Section:
    """One result, or several that belong together.

    warnings: what must be known before one concludes from it. verdict: what follows. texts: as the
    command prints them, by their titles. facts: how it was made. commands: that make it again.
    files: SHA-256 by name.
    """

    title: str
    lead: str
    warnings: Sequence[str] = ()
    verdict: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A report. sources: what it was made of: digests by the names of the files."""

    title: str
    sections: Sequence[Section]
    sources: Mapping[str, str] = field(default_factory=dict)
