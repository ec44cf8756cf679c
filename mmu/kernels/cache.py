"""Compiled entries on disk: what numba's dispatchers ask before they compile.

An overload of an entry is one file, whose name says all that its machine code depends on:
the entry, a digest of the sources that it is made from (see `sources`), what it has of a
function around it, the types of its arguments, the processor, the versions and settings of
what compiles it. Any change is another file, and an older one is found again.

Of two processes that need the same overload at once, one compiles it and the other waits.

Needs of numba: that a dispatcher asks its `_cache` before it compiles and tells it after,
and what `_NEEDED` names. Where that is missing, each run compiles anew and says so.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import codegen, compiler, config, errors, serialize, sigutils, types

from mmulab.mmu.kernels import sources, store, structs
from mmulab.mmu.kernels.numba_patches import (
    NAMES_APART,
    has_all,
    is_within,
    prepare_to_load,
    without_bitcode,
)

_NEEDED = (
    (getattr(codegen, "CPUCodegen", None), "magic_tuple"),
    (getattr(compiler, "CompileResult", None), "_reduce"),
    (getattr(compiler, "CompileResult", None), "_rebuild"),
    (serialize, "dumps"),
    (sigutils, "normalize_signature"),
)
AVAILABLE = has_all(_NEEDED) and NAMES_APART

#: Settings of numba that change the machine code.
_SETTINGS = ("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML", "ENABLE_AVX",
             "ENABLE_PROFILING", "LOOP_VECTORIZE", "NRT_STATS", "OPT", "SLP_VECTORIZE")  # fmt: skip

_LONGEST = 120  # characters of an entry's name in the name of its file


class EntryCache:
    """The cache of one dispatcher, as numba's `FunctionCache` is one."""

    def __init__(self, dispatcher: Any) -> None:
        self._function: FunctionType = dispatcher.py_func
        self._options = dispatcher.targetoptions
        self.loaded: set[tuple[Any, ...]] = set()  # types of overloads that were not compiled here
        self._names: dict[Any, str | None] = {}
        self._locks: dict[str, store.Lock | None] = {}
        self.enable()

    @property
    def cache_path(self) -> str | None:
        """Directory of the files; None where there is no place for one."""
        try:
            return store.directory()
        except store.NoPlaceError:
            return None

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Removes what has been kept of this entry, whatever it depends on."""
        with suppress(OSError):
            for name in os.listdir(store.directory()):
                if name.startswith(f"{self._title()}-") and name.endswith(store.SUFFIX):
                    store.remove(name)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled overload; None where it has to be compiled, which then is this
        process's to do until `release`."""
        name = self.name(signature, target_context)
        if name is None or is_within():  # what is kept can be called, not linked with
            return None
        found = self._load(name, target_context)
        if found is None and name not in self._locks:
            self._locks[name] = store.lock(name)[1]
            found = self._load(name, target_context)  # another process may just have made it
        if found is not None:
            self.loaded.add(tuple(found.signature.args))
        return found

    def _load(self, name: str, target_context: Any) -> Any:
        content = store.read(name)
        if content is None:
            return None
        prepare_to_load(target_context)
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
        except Exception:  # it is as it was written, so that what it leads to is not
            store.remove(name)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keeps what has been compiled."""
        name = self.name(signature, result.target_context)
        if name is None:
            return
        if result.library.has_dynamic_globals or any(not each.can_cache for each in result.lifted):
            what = f"{self._title()} holds addresses of this process: each run compiles it anew"
            warnings.warn(errors.NumbaWarning(what), stacklevel=2)
            return
        kept = without_bitcode(result._reduce(), result.library._final_module)
        store.write(name, serialize.dumps(kept))

    def take(self, signature: Any, target_context: Any) -> bool:
        """Makes compiling an overload this process's to do; False where another does it."""
        name = self.name(signature, target_context)
        if name is not None and name not in self._locks:
            may, lock = store.lock(name, patience=0)
            if not may:
                return False
            self._locks[name] = lock
        return True

    def release(self, signature: Any, target_context: Any) -> None:
        """Lets other processes go on that wait for an overload."""
        if not self._locks:
            return
        lock = self._locks.pop(self.name(signature, target_context) or "", None)
        if lock is not None:
            lock.release()

    def name(self, signature: Any, target_context: Any) -> str | None:
        """Name of an overload's file; None where it can't be kept."""
        if not self._enabled:
            return None
        if not AVAILABLE:
            store.say_no_place(store.NoPlaceError(f"unknown ways of numba {numba.__version__}"))
            return None
        given, returned = sigutils.normalize_signature(signature)
        key = (tuple(given), returned)
        if key not in self._names:
            version = _version(self._function.__module__)
            digest = self._digest(*key, target_context.codegen().magic_tuple())
            named = version and digest and f"{self._title()}-{version}-{digest}{store.SUFFIX}"
            self._names[key] = named
        return self._names[key]

    def _title(self) -> str:
        title = f"{self._function.__module__}.{self._function.__qualname__}"
        plain = (each if each.isalnum() or each in "._" else "-" for each in title)
        return "".join(plain)[-_LONGEST:]

    def _digest(self, given: tuple[Any, ...], returned: Any, processor: Any) -> str | None:
        modules: set[str] = set()
        words = [
            _described(self._function, modules, ()),
            *(_type_described(each, modules) for each in (*given, returned)),
            *map(str, processor),
            *(sys.version, numba.__version__, llvmlite.__version__, np.__version__),
            *(f"{key}={value}" for key, value in sorted(self._options.items())),
            *(f"{key}={getattr(config, key, None)}" for key in _SETTINGS),
        ]
        code = sources.digest(modules)
        if code is None:
            return None
        return hashlib.sha256(code + "\0".join(words).encode()).hexdigest()[:32]


def _version(module: str) -> str | None:
    """A short digest of the sources of a module's entries; None where they are not at hand."""
    code = sources.digest([module])
    return code.hex()[:12] if code else None


def _type_described(kind: Any, modules: set[str]) -> str:
    """A type in words, the same in each process; adds the modules that it stands for."""
    if isinstance(kind, types.BaseTuple):
        items: Any = kind
        return f"{kind}({', '.join(_type_described(each, modules) for each in items)})"
    if isinstance(kind, types.Dispatcher):
        return _described(kind.dispatcher, modules, ())
    if where := getattr(kind, "where", None):  # a namespace of kernels
        modules.add(where[0])
        return f"{kind} {where}"
    if structure := getattr(kind, "struct", None):
        modules.add(structure.__module__)
    return str(kind)


def _described(value: Any, modules: set[str], within: tuple[Any, ...]) -> str:
    """A function, or a value that one has of the function around it, in words that are the
    same in each process; adds the modules of functions and classes."""
    value = getattr(value, "py_func", getattr(value, "_defn", value))  # of @kernel, @intrinsic
    if isinstance(value, (bool, int, float, str, bytes, type(None))):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(_described(each, modules, within) for each in value)})"
    if isinstance(value, types.Type):
        return _type_described(value, modules)
    if not isinstance(value, (FunctionType, type)):
        return hashlib.sha256(serialize.dumps(value)).hexdigest()
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


def keep(dispatcher: Any) -> Any:
    """Makes a dispatcher keep what it compiles."""
    if not hasattr(dispatcher, "targetctx"):
        return dispatcher  # under NUMBA_DISABLE_JIT it is the Python function
    cache = EntryCache(dispatcher)
    compile_: Callable[..., Any] = dispatcher.compile
    resolve: Callable[..., Any] = dispatcher.get_call_template

    def compile_and_release(signature: Any) -> Any:
        try:
            return compile_(signature)
        finally:
            cache.release(signature, dispatcher.targetctx)

    def resolve_call(arguments: Any, keywords: Any) -> Any:
        """An entry that compiled code calls, too: it is linked with, so it is compiled here."""
        while cache.loaded:
            dispatcher.overloads.pop(cache.loaded.pop(), None)
        return resolve(arguments, keywords)

    dispatcher._cache = cache
    dispatcher.compile = compile_and_release
    dispatcher.get_call_template = resolve_call
    return dispatcher


def is_cached(dispatcher: Any, signature: Any) -> bool:
    """True where an entry needs no compiling for a signature, a tuple of types: it is on disk
    or in this process, or runs as plain Python."""
    cache = getattr(dispatcher, "_cache", None)
    if not isinstance(cache, EntryCache):
        return True
    if tuple(sigutils.normalize_signature(signature)[0]) in dispatcher.overloads:
        return True
    name = cache.name(signature, dispatcher.targetctx)
    return name is not None and store.has(name)


def can_keep(dispatcher: Any, signature: Any) -> bool:
    """True where what is compiled of an entry will be found by other processes."""
    cache = getattr(dispatcher, "_cache", None)
    return isinstance(cache, EntryCache) and (
        cache.name(signature, dispatcher.targetctx) is not None
    )


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


def compile_unless_taken(dispatcher: Any, signature: Any) -> bool:
    """Compiles or loads an entry; False where another process is compiling it."""
    cache = getattr(dispatcher, "_cache", None)
    if isinstance(cache, EntryCache):
        if not cache.take(signature, dispatcher.targetctx):
            return False
        dispatcher.compile(signature)
    return True
