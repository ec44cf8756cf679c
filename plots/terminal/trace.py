"""Accesses and events of a trace as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmulab.mmu.trace import (
    BRK,
    CONTENT,
    EVENT_NAMES,
    FORK,
    INDEPENDENT,
    MMAP,
    MPROTECT,
    MUNMAP,
    SWITCH,
    Chunk,
)

_KINDS = ("load", "store", "fetch")
_PAGE_SIZES = ("", "4K pages", "2M pages", "1G pages")


def _rights(value: int) -> str:
    return "".join(letter if value >> bit & 1 else "-" for bit, letter in enumerate("rwx"))


def _event(event: Any) -> str:
    kind, start, length, value = (int(event[n]) for n in ("kind", "start", "length", "value"))
    span = f"{start & (1 << 64) - 1:#x}, {length:,} bytes"
    text = {
        MMAP: f"{span}, {_rights(value)} {_PAGE_SIZES[value >> 8 & 3]}",
        MUNMAP: span,
        MPROTECT: f"{span}, {_rights(value)}",
        BRK: f"to {start:#x}",
        FORK: f"child {value}",
        SWITCH: f"thread {value}" if value else "",
        CONTENT: f"{span}, tag {value & (1 << 64) - 1:#x}",
    }.get(kind, "")
    return f"{EVENT_NAMES[kind]:<8} process {int(event['pid'])}  {text}".rstrip()


def _more(name: str, value: int) -> str:
    """What an optional column says of an access; empty where that is nothing."""
    if not value:
        return ""
    if name == "ip":
        return f"  ip {value & (1 << 64) - 1:#x}"
    return f"  {name} {'none' if name == 'depends' and value == INDEPENDENT else value}"


def lines(chunks: Iterable[Chunk], first: int = 0) -> Iterator[str]:
    """A line an access, with its number from `first` on, and a line an event between them."""
    yield f"{'access':>12}  {'kind':<8} {'address':>18}  size"
    number = first
    for chunk in chunks:
        rows = zip(chunk.address.tolist(), chunk.kind.tolist(), chunk.size.tolist(), strict=True)
        events = list(chunk.events)
        columns = chunk.columns()
        for position, (address, kind, size) in enumerate(rows):
            while events and events[0]["position"] <= position:
                yield f"{'':>12}  {_event(events.pop(0))}"
            more = "".join(_more(name, int(column[position])) for name, column in columns.items())
            shown = f"{address & (1 << 64) - 1:#18x}"
            yield f"{number:>12,}  {_KINDS[kind]:<8} {shown}  {size:>4}{more}"
            number += 1
        for event in events:
            yield f"{'':>12}  {_event(event)}"
