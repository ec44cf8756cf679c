"""Names of what is compiled and kept on disk.

An entry that is compiled for the kinds of its arguments is one file, whose name says all that
its machine code depends on: the entry, a digest of the sources that it is made from (see
`sources`), what it has of a function around it, the kinds, and what compiles it for which
processor (see `toolchain`). Any change is another file, and an older one is found again.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from mmulab.mmu.kernels import sources, store, structs, toolchain
from mmulab.mmu.kernels.kinds import Kind
from mmulab.mmu.kernels.later import Later

_LONGEST = 120  # characters of an entry's name in the name of its file


def name(function: FunctionType, given: tuple[Kind, ...]) -> str | None:
    """Name of the file of an entry for the kinds that it is given; None where it can't be kept,
    as sources are not at hand."""
    version = _version(function.__module__)
    digest = _digest(function, given)
    return version and digest and f"{title(function)}-{version}-{digest}{store.SUFFIX}"


def title(function: FunctionType) -> str:
    """An entry, as the names of its files begin."""
    full = f"{function.__module__}.{function.__qualname__}"
    plain = (each if each.isalnum() or each in "._" else "-" for each in full)
    return "".join(plain)[-_LONGEST:]


def _digest(function: FunctionType, given: tuple[Kind, ...]) -> str | None:
    modules: set[str] = set()
    words = [
        _described(function, modules, ()),
        *(_described(each, modules, ()) for each in given),
        *toolchain.words(),
    ]
    code = sources.digest(modules)
    if code is None:
        return None
    return hashlib.sha256(code + "\0".join(words).encode()).hexdigest()[:32]


def _version(module: str) -> str | None:
    """A short digest of the sources of a module's entries; None where they are not at hand."""
    code = sources.digest([module])
    return code.hex()[:12] if code else None


def _described(value: Any, modules: set[str], within: tuple[Any, ...]) -> str:
    """A function, or a value that one has of the function around it, in words that are the
    same in each process; adds the modules of functions and classes."""
    if isinstance(value, (bool, int, float, str, bytes, type(None), np.generic, np.dtype)):
        return repr(value)
    if isinstance(value, Kind):
        modules.update(value.modules)
        return value.text
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_described(each, modules, within) for each in value)})"
    if isinstance(value, ModuleType):
        modules.add(value.__name__)
        return value.__name__
    if isinstance(value, Later):
        made_of = _described(value.depends, modules, (*within, value.py_func))
        return f"{_described(value.py_func, modules, within)}{made_of}"
    value = getattr(value, "py_func", getattr(value, "_defn", value))  # of numba's own
    if isinstance(value, (FunctionType, type)):
        return _function_described(value, modules, within)
    if type(value).__module__.startswith("numba."):  # a type
        return str(value)
    return hashlib.sha256(_pickled(value)).hexdigest()


def _function_described(
    value: FunctionType | type, modules: set[str], within: tuple[Any, ...]
) -> str:
    words = [f"{value.__module__}.{value.__qualname__}"]
    modules.add(value.__module__)
    if isinstance(value, FunctionType) and value not in within:
        words.append(str(value.__code__.co_firstlineno))
        for cell in value.__closure__ or ():
            words.append(_described(_content(cell), modules, (*within, value)))
    return f"<{' '.join(words)}>"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # numba's pickles more
        from numba.core import serialize

        found: bytes = serialize.dumps(value)
        return found


def is_cold(module: str) -> bool:
    """True where no entry of a module, as it is now, has been kept yet. Loads no module."""
    if structs.JIT_OFF:
        return False
    version = _version(module)
    try:
        names = os.listdir(store.directory())
    except OSError:
        return True
    return not any(
        name.startswith(f"{module}.") and f"-{version}-" in name and name.endswith(store.SUFFIX)
        for name in names
    )
