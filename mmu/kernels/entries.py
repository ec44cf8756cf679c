"""Entries: kernels that Python calls. What has been compiled is kept, and runs without numba.

An entry is compiled for the kinds of its arguments (`kernels.kinds`). Its arguments are put
into a table of machine words, whose address is all that compiled code is given, and behind
them lies what it returns (`kernels.entries_in_numba`). What is compiled is one file
(`kernels.cache`, `kernels.store`). From there it is put into memory without LLVM and numba
(`kernels.machine_code`) and called by its address; where that can't be done, numba loads it.

Of two processes that need the same at once, one compiles it and the other waits.
"""

from __future__ import annotations

import ctypes
import inspect
import pickle
import threading
from collections.abc import Callable
from typing import Any

from mmulab.mmu.kernels import cache, kinds, machine_code, store, toolchain
from mmulab.mmu.kernels.kinds import Kind
from mmulab.mmu.kernels.later import Later

_WORD = 8
_one_at_a_time = threading.RLock()

Given = tuple[Kind, ...]


class _Made:
    """What is called of an entry for the kinds of its arguments.

    call: takes the address of a table; where is_bare, those of a pointer that it writes, of
    one to an exception, and of the table, and returns a status, as numba's functions do.
    returns: (is it a tuple, the kinds of its numbers by name).
    """

    def __init__(
        self,
        call: Callable[..., Any],
        returns: tuple[bool, tuple[str, ...]],
        is_bare: bool,
    ) -> None:
        self._call, self._is_bare = call, is_bare
        self._several, self._kinds = returns

    def run(self, words: list[int]) -> Any:
        count, returned = len(words), self._kinds
        table = (ctypes.c_int64 * (count + len(returned) + 2))(*words)
        address = ctypes.addressof(table)
        if self._is_bare:
            spare = address + (count + len(returned)) * _WORD
            status = self._call(spare, spare + _WORD, address)
            if status:
                raise _exception(status, table[-1])
        else:
            self._call(address)
        if not self._several:
            return kinds.given(returned[0], table[count])
        if not returned:
            return None
        return tuple(
            [kinds.given(kind, table[count + index]) for index, kind in enumerate(returned)]
        )


_BARE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Entry(Later):
    """A function that Python calls.

    compiled, loaded: for which kinds this process has compiled it, or found it on disk.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function, self._dispatcher)
        self.compiled: list[Given] = []
        self.loaded: list[Given] = []
        self._count = self.py_func.__code__.co_argcount
        self._made: dict[Given, _Made] = {}
        self._names: dict[Given, str | None] = {}
        self._locks: dict[Given, store.Lock | None] = {}

    def _dispatcher(self) -> Any:
        from mmulab.mmu.kernels.entries_in_numba import dispatcher

        return dispatcher(self.py_func)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != self._count:
            bound = inspect.signature(self.py_func).bind(*arguments, **named)
            bound.apply_defaults()
            arguments = bound.args
        words: list[int] = []
        given = tuple([kinds.take(each, words) for each in arguments])
        made = self._made.get(given)
        if made is None:
            made = self._ready(given)
        return made.run(words)

    def compile(self, given: Given) -> None:
        """Loads or compiles the entry for the kinds of its arguments. Raises what numba
        raises."""
        self._ready(given)

    def compile_unless_taken(self, given: Given) -> bool:
        """As `compile`; False where another process is compiling it."""
        name = self.name(given)
        if name is not None and given not in self._made and given not in self._locks:
            may, lock = store.lock(name, patience=0)
            if not may:
                return False
            self._locks[given] = lock
        self._ready(given)
        return True

    def is_cached(self, given: Given) -> bool:
        """True where it needs no compiling: it is on disk or in this process."""
        name = self.name(given)
        return given in self._made or (name is not None and store.has(name))

    def can_be_kept(self, given: Given) -> bool:
        """True where what is compiled will be found by other processes. Imports numba."""
        from mmulab.mmu.kernels import entries_in_numba

        return entries_in_numba.AVAILABLE and self.name(given) is not None

    def name(self, given: Given) -> str | None:
        """The file that it is kept in; None where it can't be kept."""
        if given not in self._names:
            self._names[given] = cache.name(self.py_func, given)
        return self._names[given]

    def _ready(self, given: Given) -> _Made:
        with _one_at_a_time:
            if given not in self._made:
                self._made[given] = self._load(given) or self._load_or_compile(given)
            return self._made[given]

    def _load_or_compile(self, given: Given) -> _Made:
        """Another process may just be making it."""
        name = self.name(given)
        try:
            if name is not None:
                if given not in self._locks:
                    self._locks[given] = store.lock(name)[1]
                found = self._load(given)
                if found is not None:
                    return found
            return self._compile(given, name)
        finally:
            lock = self._locks.pop(given, None)
            if lock is not None:
                lock.release()

    def _load(self, given: Given) -> _Made | None:
        name = self.name(given)
        content = None if name is None else store.read(name)
        if name is None or content is None:
            return None
        try:
            returns, symbols, code, rest = pickle.loads(content)
            made = _bare(code, symbols, returns)
            if made is None:
                from mmulab.mmu.kernels.entries_in_numba import rebuilt

                made = _Made(rebuilt(code, rest), returns, is_bare=False)
        except Exception:  # it is as it was written, so that what it leads to is not
            store.remove(name)
            return None
        self.loaded.append(given)
        return made

    def _compile(self, given: Given, name: str | None) -> _Made:
        from mmulab.mmu.kernels import entries_in_numba

        compiled = entries_in_numba.compile_entry(self.in_numba, given)
        self.compiled.append(given)
        if name is not None:
            content = entries_in_numba.kept(compiled, cache.title(self.py_func))
            if content is not None:
                store.write(name, content)
        return _Made(compiled.call, compiled.returns, is_bare=False)


def _bare(code: bytes, symbols: tuple[str, str], returns: Any) -> _Made | None:
    """What is called of machine code without numba; None where numba has to load it."""
    if not code or not machine_code.AVAILABLE or toolchain.checks_bounds():
        return None
    try:
        address = machine_code.load(code, *symbols)
    except (machine_code.UnknownError, OSError):
        return None
    return _Made(_BARE(address), returns, is_bare=True)


#: numba's excinfo_t (numba.core.callconv): where an exception lies pickled, its bytes, and what
#: is known of it only at run time.
class _ExceptionInfo(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("size", ctypes.c_int32), ("digest", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p), ("count", ctypes.c_int32),
    )  # fmt: skip


_RAISED = 1  # RETCODE_USEREXC


def _exception(status: int, address: int) -> Exception:
    """What a kernel has raised, as numba makes it of a function's status."""
    if status == _RAISED and address:
        info = _ExceptionInfo.from_address(address)
        if not info.arguments:
            kind, arguments, _ = pickle.loads(ctypes.string_at(info.data, info.size))
            made: Exception = kind(*(arguments or ()))
            return made
    return RuntimeError(f"a kernel ended with status {status}")
