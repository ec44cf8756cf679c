"""`--intervals`: how a trace is sampled, as a text such as `smarts:units=50,unit=20K`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from mmulab.mmu.config.units import parse_count, show
from mmulab.mmu.errors import InputError, unknown

#: What of skipped accesses is run, see `skipped`; all of them, as SMARTS does.
WARMED = ("pages", "lines", "all")

METHODS = ("smarts", "simpoint")


@dataclass(frozen=True)
class Intervals:
    """How a trace is sampled.

    method: "smarts" or "simpoint". unit: accesses of a unit of measurement. warmup: accesses before
    each that are simulated and not counted. warm: what is run of the rest, one of WARMED. parts:
    parts of the trace that begin with cold hardware, so that processes can share it. draw: the seed
    that chance takes units by. units: of
    smarts, how many are measured. clusters: of simpoint, at most. each: of simpoint, units that
    are measured of a cluster; 1 is the one nearest to its centre.
    """

    method: str = "smarts"
    unit: int = 10_000
    warmup: int = 100_000
    warm: str = "lines"
    parts: int = 1
    draw: int = 1
    units: int = 100
    clusters: int = 10
    each: int = 5

    @property
    def text(self) -> str:
        """In canonical form: those parameters that are not as usual."""
        usual = Intervals(self.method)
        changed = [
            f"{each.name}={_shown(getattr(self, each.name))}"
            for each in fields(self)
            if getattr(self, each.name) != getattr(usual, each.name)
        ]
        return self.method + (":" + ",".join(changed) if changed else "")


def _shown(value: Any) -> str:
    return show(value, 1000) if isinstance(value, int) else str(value)


_COMMON = ("unit", "warmup", "warm", "parts", "draw")
_OWN = {"smarts": ("units",), "simpoint": ("clusters", "each")}
_LEAST = {"unit": 2, "warmup": 0, "parts": 1, "draw": 1, "units": 2, "clusters": 1, "each": 1}


def parse(text: str) -> Intervals:
    """From METHOD or METHOD:KEY=VALUE,... Raises InputError naming what is wrong."""
    method, colon, rest = text.partition(":")
    if method not in METHODS:
        raise unknown("--intervals", method, METHODS)
    known = (*_COMMON, *_OWN[method])
    given: dict[str, Any] = {"method": method}
    for item in rest.split(",") if colon else ():
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--intervals {text}: {item!r}: expected KEY=VALUE")
        if key not in known:
            raise unknown(f"parameter of {method}", key, known)
        if key in given:
            raise InputError(f"--intervals {text}: {key} is given twice")
        given[key] = _value(text, key, value)
    return Intervals(**given)


def _value(text: str, key: str, value: str) -> Any:
    if key == "warm":
        if value not in WARMED:
            raise unknown("warm", value, WARMED)
        return value
    reader: Callable[[str], int] = parse_count
    try:
        number = reader(value)
    except ValueError as error:
        raise InputError(f"--intervals {text}: {key}: {error}") from None
    if number < _LEAST[key]:
        raise InputError(f"--intervals {text}: {key}={value}: expected at least {_LEAST[key]}")
    return number
