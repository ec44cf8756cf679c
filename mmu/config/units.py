"""Numbers as people write them: 256M bytes, 20M accesses."""

from __future__ import annotations

#: What errors say was expected.
A_SIZE = "a number of bytes, such as 4096, 256M or 16G"
A_COUNT = "a whole number, such as 500000 or 20M"

_POWERS = " KMGT"


def _scaled(text: str, base: int) -> float:
    power = _POWERS.find(text[-1:]) if text[-1:] else -1
    return float(text[:-1]) * base**power if power > 0 else float(text)


def _whole(value: float) -> int:
    if not abs(value) < 1e18 or value != int(value):
        raise ValueError
    return int(value)


def parse_bytes(text: str) -> int:
    """A size with an optional binary suffix: 4096, 256M, 16GiB. Raises ValueError, which
    says what was expected."""
    body = text.strip().upper().removesuffix("IB").removesuffix("B")
    try:
        return _whole(_scaled(body, 1024))
    except ValueError:
        raise ValueError(f"{text!r}: expected {A_SIZE}") from None


def parse_count(text: str) -> int:
    """A number with an optional decimal suffix: 500000, 500_000, 20M. Raises ValueError,
    which says what was expected."""
    body = text.strip().upper().replace("_", "").replace(",", "")
    try:
        return _whole(_scaled(body, 1000))
    except ValueError:
        raise ValueError(f"{text!r}: expected {A_COUNT}") from None


_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}


def parse_seconds(text: str) -> float:
    """A time with a unit: 20ms, 1.5s, 100us. Raises ValueError."""
    body = text.strip().lower().replace("µ", "u")
    for unit in sorted(_SECONDS, key=len, reverse=True):
        if body.endswith(unit):
            return float(body.removesuffix(unit)) * _SECONDS[unit]
    return float(body)


def show(value: int, base: int) -> str:
    """The shortest text that parses to the value; base 1024 or 1000."""
    for power in (4, 3, 2, 1):
        if value and value % base**power == 0:
            return f"{value // base**power}{_POWERS[power]}"
    return str(value)
