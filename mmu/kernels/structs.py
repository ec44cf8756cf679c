"""Structures of arrays that kernels take by address.

numba passes a NamedTuple of arrays field by field, some two hundred machine words
for a whole machine: calls become slow and compilation takes minutes. A `Struct`
is passed as one pointer to a table of the addresses and shapes of its arrays;
`struct.field` in a kernel is a view of the array, and costs a load that the
compiler may hoist, since a table never changes. In plain Python (and with
NUMBA_DISABLE_JIT=1) a Struct is an object with arrays for attributes.

    class Frames(Struct):
        FIELDS = {"frame": ArrayField(FRAME_RECORD), "free": ArrayField(np.int64)}

A field is an array of a fixed dtype and dimension, C-contiguous, another Struct, or `Private`.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np

#: True where kernels run as plain Python.
JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


class _Record(np.void):  # type: ignore[misc]
    """A record whose fields are attributes, as they are in compiled code."""

    def __getattribute__(self, name: str) -> Any:
        if name in np.void.__getattribute__(self, "dtype").names:
            return self[name]
        return np.void.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def for_kernels(array: np.ndarray) -> np.ndarray:
    """The array as kernels can take it: in plain Python, records need `_Record`."""
    if JIT_OFF and array.dtype.names:
        return array.view(np.dtype((_Record, array.dtype)))
    return array


def to_read(array: np.ndarray) -> np.ndarray:
    """The array as kernels take it that only read it: not to be written to, so that they are
    compiled once, not again for arrays that may be."""
    view = for_kernels(array).view()
    view.flags.writeable = False
    return view


class ArrayField:
    """What a field of a Struct must be: an array of a dtype and a number of dimensions."""

    def __init__(self, dtype: Any, ndim: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.ndim = ndim


class Private:
    """A field that is any Struct: only its owner knows which, and reads it by `as_struct`."""


class Struct:
    """Base of the state that kernels work on. Subclasses name their FIELDS."""

    FIELDS: ClassVar[dict[str, ArrayField | Private | type[Struct]]] = {}

    def __init__(self, **values: Any) -> None:
        if values.keys() != self.FIELDS.keys():
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.FIELDS)}")
        words: list[int] = []
        for name, field in self.FIELDS.items():
            value = values[name]
            if isinstance(field, ArrayField):
                self._check(name, field, value)
                words += [value.ctypes.data, *value.shape]
                value = for_kernels(value)
            else:
                words.append(value.address)
            setattr(self, name, value)
        self._table = np.array(words, np.int64)
        self.address = self._table.ctypes.data

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its fields, from which the table of addresses is made again."""
        fields = {name: getattr(self, name) for name in self.FIELDS}
        return _remake, (type(self), fields)

    def _check(self, name: str, field: ArrayField, value: np.ndarray) -> None:
        fits = value.dtype == field.dtype and value.ndim == field.ndim
        if not fits or not value.flags.c_contiguous:
            raise TypeError(
                f"{type(self).__name__}.{name}: expected a contiguous array of "
                f"{field.ndim} dimensions of {field.dtype}"
            )


def _remake(struct: type[Struct], fields: dict[str, Any]) -> Struct:
    return struct(**fields)
