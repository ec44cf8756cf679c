"""Values of an axis, as people write them: `4k,2m`, `512..8192*2`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mmulab.mmu.errors import InputError

#: Values that one range may stand for.
MOST = 10_000

_RANGE = re.compile(r"(\d+)([KMGTkmgt]?)\.\.(\d+)([KMGTkmgt]?)(?:([*+])(\d+))?")


def text(value: Any) -> str:
    """A value of TOML or Python as the command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(what: str, given: Any) -> tuple[str, ...]:
    """The values of an axis: of a text with commas, or of a list whose items have none.

    Commas part values as they part techniques: one before `key=value` belongs to the value
    before it. what: to call the axis in an error. Raises InputError where there is none, or one
    twice.
    """
    from mmulab.mmu.techniques.specs import split

    items = split(given) if isinstance(given, str) else given
    if not isinstance(items, Iterable):
        items = [items]
    found = [value for item in items for value in spread(what, text(item).strip())]
    if not found:
        raise InputError(f"{what}: no value; expected KEY=A,B,...")
    for value in found:
        if found.count(value) > 1:
            raise InputError(f"{what}: {value} twice; expected values that differ")
    return tuple(found)


def spread(what: str, item: str) -> list[str]:
    """What a range stands for: `1..5` 1 2 3 4 5, `0..8+4` 0 4 8, `64M..256M*2` 64M 128M 256M.
    Anything else stands for itself. Raises InputError for a range without an end."""
    match = _RANGE.fullmatch(item)
    if not match:
        return [item]
    first, unit, last, other, sign, by = match.groups()
    if unit != other:
        raise InputError(f"{what}: {item}: expected both ends in one unit, such as 64M..1024M*2")
    value, end, step = int(first), int(last), int(by or 1)
    grows = (value > 0 and step > 1) if sign == "*" else step > 0
    if not grows or end < value:
        raise InputError(f"{what}: {item}: expected a range that rises, such as 512..8192*2")
    found = []
    while value <= end:
        found.append(f"{value}{unit}")
        if len(found) > MOST:
            raise InputError(f"{what}: {item}: expected {MOST:,} values at most")
        value = value * step if sign == "*" else value + step
    return found
