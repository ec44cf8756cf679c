"""Compiling kernels once, and loading them without delay: numba's own start is slower.

numba links, optimises and turns into machine code every function with all that it
calls, and then does so again for each of its callers. A kernel is only ever
called from compiled code, so that all of that but the last time, in the entry
that Python calls, is thrown away. `lean` leaves it out: a lean library keeps its
unlinked code and passes on what it needs to be linked with. And numba compares the
compiler's flags, option by option, whenever it resolves a call: about a tenth of the
time, most of which is saved by comparing first what has been set.

What was compiled before is loaded from disk without all that numba can compile being
made ready first, which takes numba longer than the loading: a compilation does it itself.

This reaches into numba's code libraries. Where they are not as expected (another
numba release), `AVAILABLE` is False and kernels compile as numba does it, with
the same results, three times slower, and start more slowly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numba.core import caching, codegen, targetconfig, types
from numba.core.runtime import rtsys

_NEEDED = (
    (codegen, "JITCodeLibrary"),
    (codegen, "JITCPUCodegen"),
    (getattr(codegen, "JITCodeLibrary", None), "finalize"),
    (getattr(codegen, "JITCodeLibrary", None), "get_pointer_to_function"),
    (getattr(codegen, "JITCodeLibrary", None), "_finalize_dynamic_globals"),
    (getattr(codegen, "JITCPUCodegen", None), "set_env"),
    (getattr(codegen, "JITCPUCodegen", None), "_library_class"),
    (getattr(targetconfig, "TargetConfig", None), "values"),
    (getattr(targetconfig, "TargetConfig", None), "options"),
    (getattr(caching, "FunctionCache", None), "_load_overload"),
    (getattr(caching, "FunctionCache", None), "_guard_against_spurious_io_errors"),
    (rtsys, "initialize"),
)
AVAILABLE = all(hasattr(owner, name) for owner, name in _NEEDED)

_state = threading.local()


def lean(dispatcher: Any) -> Any:
    """Makes a dispatcher compile leanly. It can then be called from kernels only."""
    if not AVAILABLE or not hasattr(dispatcher, "get_call_template"):
        return dispatcher  # under NUMBA_DISABLE_JIT it is the Python function
    compile_fully: Callable[..., Any] = dispatcher.compile

    def compile_leanly(signature: Any) -> Any:
        before = getattr(_state, "on", False)
        _state.on = True
        try:
            return compile_fully(signature)
        finally:
            _state.on = before

    resolve_call: Callable[..., Any] = dispatcher.get_call_template

    def resolve_generally(arguments: Any, keywords: Any) -> Any:
        arguments = tuple(_general(each) for each in arguments)
        return resolve_call(arguments, {name: _general(each) for name, each in keywords.items()})

    dispatcher.compile = compile_leanly
    dispatcher.get_call_template = resolve_generally
    return dispatcher


def _general(type_: Any) -> Any:
    """The type that a kernel is compiled for: int64 for any constant or smaller integer, so
    that it is not compiled again for each; inlining finds the constants."""
    type_ = types.unliteral(type_)
    whole = isinstance(type_, types.Integer) and type_ != types.uint64
    return types.int64 if whole else type_


def full(dispatcher: Any) -> Any:
    """Makes a dispatcher compile as numba does, even while a lean one is being compiled."""
    if not AVAILABLE or not hasattr(dispatcher, "get_call_template"):
        return dispatcher
    compile_as_is: Callable[..., Any] = dispatcher.compile

    def compile_fully(signature: Any) -> Any:
        before = getattr(_state, "on", False)
        _state.on = False
        try:
            return compile_as_is(signature)
        finally:
            _state.on = before

    dispatcher.compile = compile_fully
    _load_quickly(dispatcher)
    return dispatcher


def _load_quickly(dispatcher: Any) -> None:
    """As numba loads from its cache, but for the refresh of the target's context."""
    cache = getattr(dispatcher, "_cache", None)
    if not isinstance(cache, caching.FunctionCache):
        return

    def load_overload(signature: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with cache._guard_against_spurious_io_errors():
            return cache._load_overload(signature, target_context)

    cache.load_overload = load_overload  # type: ignore[method-assign]


if AVAILABLE:

    class _Library(codegen.JITCodeLibrary):
        """A code library that may be lean; decided when it is made."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._lean = getattr(_state, "on", False)

        def _needed(self) -> list[Any]:
            """All libraries to link with, a caller before what it calls.

            The linker skips a function that nothing has asked for yet.
            """
            order: list[Any] = []
            visited: set[int] = set()

            def visit(library: Any) -> None:
                if id(library) not in visited:
                    visited.add(id(library))
                    if library is self or getattr(library, "_lean", False):
                        for needed in reversed(library._linking_libraries):
                            visit(needed)
                    order.append(library)

            visit(self)
            return order[-2::-1]

        def finalize(self) -> None:
            if not self._lean:
                self._linking_libraries = self._needed()
                super().finalize()
                return
            self._raise_if_finalized()
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            if self._lean:
                return 0  # no machine code: as numba says of a symbol that is not defined
            address: int = super().get_pointer_to_function(name)
            return address

    _set_env = codegen.JITCPUCodegen.set_env

    def _set_env_where_emitted(self: Any, env_name: str, env: Any) -> None:
        if self._engine.is_symbol_defined(env_name) or not getattr(_state, "on", False):
            _set_env(self, env_name, env)

    codegen.JITCPUCodegen.set_env = _set_env_where_emitted  # type: ignore[method-assign]
    codegen.JITCPUCodegen._library_class = _Library

    _is_equal = targetconfig.TargetConfig.__eq__

    def _equal(self: Any, other: Any) -> Any:
        """As numba's, but first what has been set, and then what has not been as well."""
        if type(self) is type(other) and self._values == other._values:
            return True
        return _is_equal(self, other)

    def _hash(self: Any) -> int:
        """As numba's, which hashes the names of the options, the same for each of a class."""
        return hash(type(self))

    targetconfig.TargetConfig.__eq__ = _equal  # type: ignore[method-assign]
    targetconfig.TargetConfig.__hash__ = _hash  # type: ignore[method-assign]
