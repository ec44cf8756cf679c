"""Objects as JSON and raw arrays, and back: what pickle does, without what makes that unsafe.

    value     None, a truth value, a number or a text: itself. Anything else: [n], the n-th node
    node      [kind, ...]; each object is one, however many refer to it

Reading makes objects of classes that belong to a run (CLASSES) and sets what is in them: no
constructor, method or import of the file's choice runs, and objects that cannot be kept (code, open
files, traces) are named, and given by whoever reads. Arrays are written without their pages of
zeros, which stay untouched where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from importlib import import_module
from inspect import isfunction
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as numpy_format

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.structs import Struct

#: Modules whose classes a checkpoint may hold; of the package, so that importing one is harmless.
CLASSES = re.compile(r"mmulab\.mmu\.(host|machine|services|scenario|report|config|trace)(\.\w+)*")

#: Bytes of a block that is left out where it is all zeros, and of arrays that are kept whole.
BLOCK, WHOLE = 4096, 4 * 4096

_PLAIN = (bool, int, float, str)


class NotKept(InputError):
    """Something in a run that a checkpoint cannot hold."""


def name_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _structs(base: type[Struct] = Struct) -> dict[str, type[Struct]]:
    """Every kind of Struct that is loaded, by name."""
    found = {name_of(each): each for each in base.__subclasses__()}
    for each in list(found.values()):
        found |= _structs(each)
    return found


def _class_of(name: str, given: Mapping[str, Any]) -> type:
    """The class of a name, if a checkpoint may hold it. Raises ValueError."""
    if name in given:
        found: Any = given[name]
    else:
        module, _, path = name.partition(":")
        if not CLASSES.fullmatch(module):
            raise ValueError(f"class {name}")
        found = import_module(module)
        for part in path.split("."):
            found = vars(found)[part]
        if getattr(found, "__module__", "") != module:
            raise ValueError(f"class {name}")
    if not isinstance(found, type) or issubclass(found, Struct):
        raise ValueError(f"class {name}")
    return found


class Writer:
    """Writes arrays to a file as it meets them, and gathers the nodes.

    given: what is named in place of being written, by name; classes among it are those of objects
    beside CLASSES. nodes: plain data.
    """

    def __init__(self, file: BinaryIO, given: Mapping[str, Any]) -> None:
        self._file = file
        self._names = {id(value): name for name, value in reversed(list(given.items()))}
        self._given = given  # so that no id is used again
        self._seen: dict[int, tuple[int, Any]] = {}
        self.nodes: list[Any] = []

    def instead(self, value: Any, node: list[Any]) -> None:
        """A node stands for an object."""
        self._seen.setdefault(id(value), (len(self.nodes), value))
        self.nodes.append(node)

    def value(self, value: Any) -> Any:
        """What stands for a value. Raises NotKept."""
        if value is None or type(value) in _PLAIN:
            return value
        if id(value) in self._names:
            return self._node(value, ["named", self._names[id(value)]])
        if id(value) in self._seen:
            return [self._seen[id(value)][0]]
        return self._node(value, None)

    def _node(self, value: Any, node: list[Any] | None) -> list[int]:
        at = len(self.nodes)
        self._seen[id(value)] = (at, value)
        self.nodes.append(node)
        if node is None:
            self.nodes[at] = self._described(value)
        return [at]

    def _described(self, value: Any) -> list[Any]:
        kind = type(value)
        if kind is list or kind is tuple or kind is set:
            return [kind.__name__, [self.value(each) for each in value]]
        if kind is dict:
            return ["dict", [[self.value(key), self.value(of)] for key, of in value.items()]]
        if isinstance(value, np.ndarray):
            return ["array", *self._array(value)]
        if isinstance(value, np.generic) and not isinstance(value, np.void):
            return ["number", kind.__name__, value.tobytes().hex()]
        if isinstance(value, Struct):
            fields = [self.value(getattr(value, name)) for name in value.FIELDS]
            return ["struct", name_of(kind), fields]
        if isinstance(value, Enum):
            return ["enum", name_of(kind), value.name]
        if kind is np.random.Generator:
            return ["random", self.value(value.bit_generator.state)]
        if hasattr(value, "__self__") and isfunction(getattr(value, "__func__", None)):
            return ["method", self.value(value.__self__), value.__func__.__name__]
        return self._object(value)

    def _object(self, value: Any) -> list[Any]:
        kind = type(value)
        named = self._names.get(id(kind), name_of(kind))
        try:
            _class_of(named, self._given)
        except (ValueError, KeyError):
            raise NotKept(f"a checkpoint cannot hold {name_of(kind)}") from None
        if isinstance(value, tuple):
            return ["tuple of", named, [self.value(each) for each in value]]
        made = {key for key in vars(value) if isinstance(getattr(kind, key, None), cached_property)}
        state = getattr(value, "__getstate__", lambda: None)() or vars(value)
        fields = {key: of for key, of in state.items() if key not in made}
        return ["object", named, [[key, self.value(of)] for key, of in fields.items()]]

    def _array(self, array: np.ndarray) -> list[Any]:
        """Its type, shape, where it lies in the file, and which blocks of it."""
        if array.dtype.hasobject:
            raise NotKept("a checkpoint cannot hold an array of objects")
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        about = [numpy_format.dtype_to_descr(array.dtype), list(array.shape), self._file.tell()]
        if flat.nbytes < WHOLE:
            self._file.write(flat.tobytes())
            return [*about, None]
        whole = len(flat) // BLOCK
        blocks = flat[: whole * BLOCK].reshape(whole, BLOCK)
        filled = np.flatnonzero(blocks.view(np.uint64).any(axis=1))
        first = filled[np.flatnonzero(np.diff(filled, prepend=-2) != 1)]
        last = filled[np.flatnonzero(np.diff(filled, append=-2) != 1)] + 1
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            self._file.write(blocks[begin:end].data)
        self._file.write(flat[whole * BLOCK :].tobytes())
        return [*about, [first.tolist(), last.tolist()]]


class Reader:
    """Makes objects of nodes. given: as it was written, by name. makers: of kinds of nodes that
    stand for objects, see `Writer.instead`. made: the objects that have been made."""

    def __init__(
        self, file: BinaryIO, nodes: list[Any], given: Mapping[str, Any], makers: Mapping[str, Any]
    ) -> None:
        self._file, self._nodes, self.given, self.makers = file, nodes, given, makers
        self._kinds = _structs()
        self.made: dict[int, Any] = {}

    def value(self, value: Any) -> Any:
        """What a value stands for. Raises ValueError, KeyError, TypeError or IndexError where it
        is not what `Writer` wrote."""
        if not isinstance(value, list):
            if value is not None and type(value) not in _PLAIN:
                raise ValueError("value")
            return value
        (at,) = value
        if at not in self.made:
            kind, *rest = self._nodes[at]
            made = getattr(self, "_" + kind.replace(" ", "_"), None)
            if kind in self.makers:
                self.made[at] = self.makers[kind](*rest)
            elif made is None or kind not in _KINDS:
                raise ValueError(f"node {kind}")
            else:
                made(at, *rest)
        return self.made[at]

    def _named(self, at: int, name: str) -> None:
        self.made[at] = self.given[name]

    def _list(self, at: int, values: list[Any]) -> None:
        made: list[Any] = []
        self.made[at] = made
        made.extend(map(self.value, values))

    def _tuple(self, at: int, values: list[Any]) -> None:
        self.made[at] = tuple(map(self.value, values))

    def _set(self, at: int, values: list[Any]) -> None:
        self.made[at] = set(map(self.value, values))

    def _dict(self, at: int, pairs: list[Any]) -> None:
        made: dict[Any, Any] = {}
        self.made[at] = made
        for key, of in pairs:
            made[self.value(key)] = self.value(of)

    def _number(self, at: int, kind: str, content: str) -> None:
        dtype = np.dtype(kind)
        if dtype.kind not in "biuf":
            raise ValueError(f"number {kind}")
        self.made[at] = np.frombuffer(bytes.fromhex(content), dtype)[0]

    def _enum(self, at: int, name: str, member: str) -> None:
        kind = _class_of(name, {})
        if not issubclass(kind, Enum):
            raise ValueError(f"class {name}")
        self.made[at] = kind[member]

    def _struct(self, at: int, name: str, fields: list[Any]) -> None:
        kind = self._kinds[name]
        values = map(self.value, fields)
        self.made[at] = kind(**dict(zip(kind.FIELDS, values, strict=True)))

    def _random(self, at: int, state: Any) -> None:
        bits = np.random.PCG64()
        bits.state = self.value(state)
        self.made[at] = np.random.Generator(bits)

    def _method(self, at: int, owner: Any, name: str) -> None:
        owner = self.value(owner)
        if not isfunction(vars(type(owner)).get(name)) or not CLASSES.fullmatch(
            type(owner).__module__
        ):
            raise ValueError(f"method {name}")
        self.made[at] = getattr(owner, name)

    def _tuple_of(self, at: int, name: str, values: list[Any]) -> None:
        kind = _class_of(name, self.given)
        if not issubclass(kind, tuple):
            raise ValueError(f"class {name}")
        self.made[at] = tuple.__new__(kind, map(self.value, values))

    def _object(self, at: int, name: str, pairs: list[Any]) -> None:
        made: Any = object.__new__(_class_of(name, self.given))
        self.made[at] = made
        for key, of in pairs:
            vars(made)[str(key)] = self.value(of)

    def _array(self, at: int, about: Any, shape: Any, where: int, runs: Any) -> None:
        dtype = numpy_format.descr_to_dtype(_tuples(about))
        if dtype.hasobject:
            raise ValueError("array of objects")
        self.made[at] = made = np.zeros(tuple(shape), dtype)
        flat = made.reshape(-1).view(np.uint8)
        self._file.seek(where)
        whole = len(flat) // BLOCK
        for begin, end in zip(*runs, strict=True) if runs else [(0, 0)]:
            if not 0 <= begin <= end <= whole:
                raise ValueError("array")
            self._fill(flat[begin * BLOCK : end * BLOCK])
        self._fill(flat[whole * BLOCK :] if runs is not None else flat)

    def _fill(self, part: np.ndarray) -> None:
        if len(part) and self._file.readinto(part.data) != len(part):  # type: ignore[attr-defined]
            raise ValueError("array")


_KINDS = {
    "named", "list", "tuple", "set", "dict", "number", "struct", "enum", "random", "method",
    "tuple of", "object", "array",
}  # fmt: skip


def _tuples(about: Any) -> Any:
    """A dtype's description as numpy has it: JSON has no tuples."""
    if isinstance(about, str):
        return about
    return [(field[0], _tuples(field[1]), *(tuple(each) for each in field[2:])) for field in about]
