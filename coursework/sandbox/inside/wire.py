"""Messages between the grader and the child: plain values as JSON, and arrays as raw bytes.

    8 bytes   length of the header, little-endian
    header    JSON: {"values": {...}, "arrays": [[name, type, shape], ...]}
    arrays    the bytes of each, in C order, little-endian

The receiver knows from the header how long a message will be, before it takes memory for it.
Nothing is unpickled, and no type is known but these few. `open_header` is the one place that
looks at what may have been forged: each value is of a plain type, finite, of at most 64 bits and
not deeply nested, each array of a size that memory has. A message that passes can be wrong, and
no worse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

PREFIX = 8
MOST_HEADER = 1 << 20

#: Types of arrays that may be sent, as NumPy writes them.
TYPES = {"|b1": 1, "|u1": 1, "<u2": 2, "<i4": 4, "<i8": 8, "<f8": 8}
MOST_DIMENSIONS = 4
MOST_ARRAY = 1 << 32  # bytes of an array, and of one with its empty dimensions taken as 1
MOST_DEPTH = 32  # of lists and dictionaries in one another
_LEAST_WHOLE, _MOST_WHOLE = -(1 << 63), (1 << 64) - 1


class BadMessage(Exception):
    """A message that breaks the rules above; says how."""


def pack(values: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> bytes:
    """A message. Raises BadMessage for what cannot be sent."""
    described, parts = [], []
    for name, array in (arrays or {}).items():
        kind = str(array.dtype.newbyteorder("<").str)
        if kind not in TYPES or array.ndim > MOST_DIMENSIONS:
            raise BadMessage(f"{name!r} is a {array.ndim}-dimensional array of {array.dtype}")
        described.append([name, kind, list(array.shape)])
        parts.append(array.astype(kind, copy=False).tobytes())
    try:
        header = json.dumps({"values": dict(values), "arrays": described}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadMessage(f"a value that JSON cannot express: {error}") from None
    text = header.encode()
    if len(text) > MOST_HEADER:
        raise BadMessage(f"more than {MOST_HEADER:,} bytes of JSON")
    return b"".join([len(text).to_bytes(PREFIX, "little"), text, *parts])


def header_bytes(prefix: bytes) -> int:
    """Length of the header. Raises BadMessage."""
    length = int.from_bytes(prefix[:PREFIX], "little")
    if length > MOST_HEADER:
        raise BadMessage(f"more than {MOST_HEADER:,} bytes of JSON")
    return length


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def open_header(text: bytes) -> tuple[dict[str, Any], list[tuple[str, str, list[int]]], int]:
    """(values, arrays as name, type and shape, bytes that follow). Raises BadMessage."""
    try:
        header = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadMessage("something that is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("values"), dict):
        raise BadMessage("JSON that is no message")
    _check(header["values"])
    listed = header.get("arrays")
    described = [_described(each) for each in (listed if isinstance(listed, list) else [None])]
    if len({name for name, _, _ in described}) < len(described):
        raise BadMessage("two arrays of one name")
    length = sum(_count(shape) * TYPES[kind] for _, kind, shape in described)
    return header["values"], described, length


def _described(each: Any) -> tuple[str, str, list[int]]:
    """Name, type and shape of an array to come. Raises BadMessage."""
    if not (isinstance(each, list) and len(each) == 3):
        raise BadMessage("JSON that is no message")
    name, kind, shape = each
    if not isinstance(name, str) or not isinstance(kind, str) or kind not in TYPES:
        raise BadMessage("an array of a type that may not be sent")
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_DIMENSIONS
        or not all(type(size) is int and size >= 0 for size in shape)
        # NumPy refuses [0, 1 << 60, 1 << 60], though it has no elements.
        or _count([max(1, size) for size in shape]) * TYPES[kind] > MOST_ARRAY
    ):
        raise BadMessage("an array without a proper shape")
    return name, kind, shape


def _check(values: Any) -> None:
    """Raises BadMessage for a value that is no plain one. Lists and dictionaries are gone
    through level by level: a deep one must not exhaust the stack."""
    level = [values]
    for _ in range(MOST_DEPTH):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following += value.keys()
                following += value.values()
            elif isinstance(value, list):
                following += value
            elif isinstance(value, str):
                _check_text(value)
            elif type(value) is int and not _LEAST_WHOLE <= value <= _MOST_WHOLE:
                raise BadMessage("a whole number of more than 64 bits")
            elif type(value) is float and not math.isfinite(value):
                raise BadMessage("a number that is not finite")
        if not following:
            return
        level = following
    raise BadMessage(f"more than {MOST_DEPTH} lists in one another")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which can be written nowhere
        raise BadMessage("text that is not Unicode") from None


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def open_arrays(described: list[tuple[str, str, list[int]]], data: bytes) -> dict[str, Any]:
    """The arrays, from exactly the bytes that the header promised."""
    if not described:
        return {}
    import numpy as np

    arrays, start = {}, 0
    for name, kind, shape in described:
        count = _count(shape)
        flat = np.frombuffer(data, kind, count, start)
        arrays[name] = flat.reshape(shape).astype(flat.dtype.newbyteorder("="))
        start += count * TYPES[kind]
    return arrays
