"""Kinds: what an entry can take, as numba has types, without numba.

A kind is one object however often it is asked for, so that it is compared by identity. Its
text is the same in each process. `take` says of which kind a value is and turns it into
machine words, which compiled code makes the value of again (`kernels.entries_in_numba`):

| kind | words |
|---|---|
| a whole number, a bool | itself |
| a float | its bits |
| None, a `Kernels` | none: all is in the kind |
| an array | the address of its object |
| a `Struct` | the address of its table |
| a tuple | those of its members |
"""

from __future__ import annotations

import struct as structs_of_bytes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mmulab.mmu.kernels.namespaces import Kernels
from mmulab.mmu.kernels.structs import Struct


class Kind:
    """text: the kind in words; modules: that it stands for, beside their names."""

    def __init__(self, text: str, modules: tuple[str, ...] = ()) -> None:
        self.text, self.modules = text, modules

    def __repr__(self) -> str:
        return self.text


class Number(Kind):
    """A number of a NumPy type by its name, or None ("none")."""


class ArrayKind(Kind):
    """An array. layout: "C", "F", or "A" for any."""

    def __init__(self, dtype: np.dtype, ndim: int, layout: str, readonly: bool) -> None:
        super().__init__(f"array({dtype!r}, {ndim}, {layout}{', to read' * readonly})")
        self.dtype, self.ndim, self.layout, self.readonly = dtype, ndim, layout, readonly


class StructKind(Kind):
    """A `Struct` of a class."""

    def __init__(self, struct: type[Struct]) -> None:
        module = struct.__module__
        super().__init__(f"Struct({module}.{struct.__qualname__})", (module,))
        self.struct = struct


class KernelsKind(Kind):
    """A `Kernels`, by where it is to be found."""

    def __init__(self, where: tuple[str, str]) -> None:
        super().__init__(f"Kernels({'.'.join(where)})", (where[0],))
        self.where = where


class TupleKind(Kind):
    """A tuple, or a named one of a class."""

    def __init__(self, class_: type, members: tuple[Kind, ...]) -> None:
        named = class_ is not tuple
        name = f"{class_.__module__}.{class_.__qualname__}" if named else ""
        modules = sum((each.modules for each in members), (class_.__module__,) if named else ())
        super().__init__(f"{name}({', '.join(each.text for each in members)})", modules)
        self.class_, self.members = class_, members


number: Callable[[str], Kind] = cache(Number)
struct: Callable[[type[Struct]], Kind] = cache(StructKind)  # type: ignore[assignment]
kernels: Callable[[tuple[str, str]], Kind] = cache(KernelsKind)
several: Callable[[type, tuple[Kind, ...]], Kind] = cache(TupleKind)
int64, uint64, float64, boolean = map(number, ("int64", "uint64", "float64", "bool"))
none = number("none")


@cache
def _array(dtype: np.dtype, ndim: int, layout: str, readonly: bool) -> ArrayKind:
    return ArrayKind(dtype, ndim, layout, readonly)


def array(dtype: Any, ndim: int = 1, layout: str = "C", readonly: bool = False) -> ArrayKind:
    """Arrays of a dtype and a number of dimensions."""
    return _array(np.dtype(dtype), ndim, layout, readonly)


@cache
def _array_of(dtype: np.dtype, ndim: int, flags: int) -> ArrayKind:
    """Of an array with these `flags.num`, see NumPy's ndarraytypes.h."""
    layout = "C" if flags & 0x1 else "F" if flags & 0x2 else "A"
    return array(dtype, ndim, layout, not flags & 0x400)


def take(value: Any, words: list[int]) -> Kind:
    """The kind of a value, whose words are added. Raises TypeError where there is none."""
    if isinstance(value, np.ndarray):
        words.append(id(value))
        return _array_of(value.dtype, value.ndim, value.flags.num)
    if isinstance(value, Struct):
        words.append(value.address)
        return struct(type(value))
    if isinstance(value, (bool, np.bool_)):
        words.append(int(value))
        return boolean
    if isinstance(value, int):
        words.append(value)
        return _whole(value)
    if isinstance(value, np.integer):
        words.append(int(value))
        return number(value.dtype.name)
    if isinstance(value, float):
        words.append(structs_of_bytes.unpack("q", structs_of_bytes.pack("d", value))[0])
        return float64
    if isinstance(value, Kernels):
        return kernels(value.where)
    if isinstance(value, tuple):
        return several(type(value), tuple([take(each, words) for each in value]))
    if value is None:
        return none
    raise TypeError(f"an entry takes no {type(value).__name__}")


def _whole(value: int) -> Kind:
    """As numba has it: int64 where that holds a number, uint64 where only that does."""
    if -(1 << 63) <= value < 1 << 63:
        return int64
    if 0 <= value < 1 << 64:
        return uint64
    raise OverflowError(f"{value} is no number of 64 bits")


def given(kind: str, word: int) -> Any:
    """The number of a kind, by its name, that a word holds."""
    if kind == "float64":
        return structs_of_bytes.unpack("d", structs_of_bytes.pack("q", word))[0]
    if kind == "bool":
        return bool(word)
    return word & (1 << 64) - 1 if kind == "uint64" else word
