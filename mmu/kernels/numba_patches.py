"""What is changed in numba: each patch by itself, with what it needs of numba.

numba's own start and compilation are slower than need be, for what is compiled here. Each
patch names the parts of numba that it reaches into. Where one is missing (another release),
that patch alone is left out: results are the same, only later.

`lean` and `full`
    numba links, optimises and turns into machine code every function with all that it
    calls, and then does so again for each of its callers. A kernel is only ever called from
    compiled code, so that all of that but the last time, in the entry that Python calls, is
    thrown away. A lean library keeps its unlinked code and passes on what it needs to be
    linked with. Without: three times slower.
flags
    numba compares the compiler's flags, option by option, whenever it resolves a call: about
    a tenth of the time, most of which is saved by comparing first what has been set.
variables
    numba looks for the variables of an instruction in all that it consists of, some hundred
    thousand times in a compilation; most of that is names, places and numbers, which hold
    none. Without: a thirtieth slower.
names
    numba tells functions of one name (those that a function makes) apart by counting them,
    in each process from one, and several libraries that are loaded share a function whose
    name they share. What other processes have compiled is loaded here, so that each begins
    to count elsewhere. Without: see `NAMES_APART`.
`prepare_to_load`
    What was compiled before is loaded from disk without all that numba can compile being
    made ready first, nor its runtime being compiled, which takes numba longer than the loading:
    a compilation does it itself.
`without_bitcode`
    numba keeps a function's machine code and its code for LLVM, to link it into others, and
    reads all of that again. An entry is linked into nothing, so that the names in it are enough.
    Without: loading takes twice as long.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from llvmlite import binding as llvm
from llvmlite import ir as llvm_ir
from numba.core import bytecode, codegen, ir, runtime, targetconfig, types

_state = threading.local()


def has_all(needed: Iterable[tuple[Any, str]]) -> bool:
    """True where each owner has what is named."""
    return all(hasattr(owner, name) for owner, name in needed)


_LEAN_NEEDED = (
    (codegen, "JITCodeLibrary"),
    (codegen, "JITCPUCodegen"),
    (getattr(codegen, "JITCodeLibrary", None), "finalize"),
    (getattr(codegen, "JITCodeLibrary", None), "get_pointer_to_function"),
    (getattr(codegen, "JITCodeLibrary", None), "_finalize_dynamic_globals"),
    (getattr(codegen, "JITCodeLibrary", None), "_raise_if_finalized"),
    (getattr(codegen, "JITCPUCodegen", None), "set_env"),
    (getattr(codegen, "JITCPUCodegen", None), "_library_class"),
    (getattr(codegen, "JitEngine", None), "is_symbol_defined"),
)
LEAN = has_all(_LEAN_NEEDED)


def lean(dispatcher: Any) -> Any:
    """Makes a dispatcher compile leanly. It can then be called from kernels only."""
    if not hasattr(dispatcher, "get_call_template"):
        return dispatcher  # under NUMBA_DISABLE_JIT it is the Python function
    resolve_call: Callable[..., Any] = dispatcher.get_call_template

    def resolve_generally(arguments: Any, keywords: Any) -> Any:
        arguments = tuple(_general(each) for each in arguments)
        return resolve_call(arguments, {name: _general(each) for name, each in keywords.items()})

    dispatcher.get_call_template = resolve_generally
    return _compiling(dispatcher, lean=True)


def full(dispatcher: Any) -> Any:
    """Makes a dispatcher compile as numba does, even while a lean one is being compiled."""
    return _compiling(dispatcher, lean=False)


def _compiling(dispatcher: Any, lean: bool) -> Any:
    """A dispatcher that says, while it compiles, whether the libraries it makes are lean."""
    if not LEAN or not hasattr(dispatcher, "get_call_template"):
        return dispatcher
    compile_: Callable[..., Any] = dispatcher.compile

    def compile_so(signature: Any) -> Any:
        before = getattr(_state, "on", False)
        _state.on = lean
        try:
            return compile_(signature)
        finally:
            _state.on = before

    dispatcher.compile = compile_so
    return dispatcher


def _general(type_: Any) -> Any:
    """The type that a kernel is compiled for: int64 for any constant or smaller integer, so
    that it is not compiled again for each; inlining finds the constants."""
    type_ = types.unliteral(type_)
    whole = isinstance(type_, types.Integer) and type_ != types.uint64
    return types.int64 if whole else type_


if LEAN:

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


_FLAGS_NEEDED = (
    (targetconfig, "TargetConfig"),
    (getattr(targetconfig, "TargetConfig", None), "values"),
    (getattr(targetconfig, "TargetConfig", None), "options"),
)
FLAGS = has_all(_FLAGS_NEEDED)

if FLAGS:
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


_VARIABLES_NEEDED = (
    (getattr(ir, "Inst", None), "_rec_list_vars"),
    (getattr(ir, "Inst", None), "list_vars"),
    (ir, "Var"),
    (ir, "Loc"),
)
VARIABLES = has_all(_VARIABLES_NEEDED)

if VARIABLES:
    _WITHOUT_VARIABLES = frozenset((str, int, float, bool, type(None), ir.Loc))

    def _variables(self: Any, value: Any) -> list[Any]:
        """As numba's, but what holds no variables is passed over by its type."""
        if isinstance(value, ir.Var):
            return [value]
        if isinstance(value, ir.Inst):
            return value.list_vars()
        if isinstance(value, dict):
            value = value.values()
        elif not isinstance(value, (list, tuple)):
            return []
        found: list[Any] = []
        for each in value:
            if type(each) is ir.Var:
                found.append(each)
            elif type(each) not in _WITHOUT_VARIABLES:
                found += _variables(self, each)
        return found

    ir.Inst._rec_list_vars = _variables  # type: ignore[method-assign]


_NAMES_NEEDED = ((getattr(bytecode, "FunctionIdentity", None), "_unique_ids"),)
#: False where what other processes have compiled must not be loaded.
NAMES_APART = has_all(_NAMES_NEEDED)

if NAMES_APART:
    bytecode.FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(6), "big"))


_native_runtime: Any = getattr(runtime, "_nrt_python", None)
_LOAD_NEEDED = (
    (_native_runtime, "c_helpers"),
    (llvm, "add_symbol"),
)
LOAD = has_all(_LOAD_NEEDED)


@cache
def _name_runtime() -> None:
    """Names what code calls in numba's runtime, as that does when it is compiled."""
    for name, address in _native_runtime.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


def prepare_to_load(target_context: Any) -> None:
    """Makes a target's context ready for code to be loaded into it."""
    if LOAD:
        _name_runtime()
    else:
        target_context.refresh()


def without_bitcode(reduced: tuple[Any, ...], final_module: Any) -> tuple[Any, ...]:
    """A reduced result of a compilation, with a module of mere names in place of its code for
    LLVM: of its functions that Python calls, and of environments. Unchanged where numba reduces
    to something else."""
    try:
        (name, kind, (machine_code, _)), described, *others, environments = reduced
        wanted = {described.llvm_func_name, described.llvm_cpython_wrapper_name}
        wanted |= {described.env_name, *(each.env_name for each in environments)}
    except (AttributeError, TypeError, ValueError):
        return reduced
    if kind != "object":
        return reduced
    module = llvm_ir.Module()
    nothing = llvm_ir.FunctionType(llvm_ir.VoidType(), [])
    for each in final_module.functions:
        if each.name in wanted and not each.is_declaration:
            function = llvm_ir.Function(module, nothing, each.name)
            llvm_ir.IRBuilder(function.append_basic_block()).ret_void()
    for each in final_module.global_variables:
        if each.name in wanted and not each.is_declaration:
            variable = llvm_ir.GlobalVariable(module, llvm_ir.IntType(8), each.name)
            variable.initializer = llvm_ir.Constant(llvm_ir.IntType(8), 0)
    names = llvm.parse_assembly(str(module)).as_bitcode()
    return (name, kind, (machine_code, names)), described, *others, environments
