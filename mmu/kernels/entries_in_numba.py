"""Entries compiled by numba, and loaded by it where `machine_code` can't. See `entries`.

What Python calls of an entry takes one number: the address of a table of words, from which it
makes the arguments, and behind which it leaves the results. So that it can be called through
nothing but its address, and as numba's own, each compiled for the kinds of the arguments.

An array's words are the address of its Python object, of which its data, shape and strides
are read, as all extension modules that are compiled with NumPy do (`PyArrayObject_fields` in
its ndarraytypes.h).

Needs of numba: what `_NEEDED` names, `context.call_conv`, `Dispatcher.overloads` and
`CompileResult.fndesc`. Where something of `_NEEDED` is missing, each run compiles anew and
says so.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
from llvmlite import ir
from numba import njit
from numba.core import cgutils, codegen, compiler, errors, serialize, types
from numba.core.extending import intrinsic
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array

from mmulab.mmu.kernels import kinds, store
from mmulab.mmu.kernels.numba_patches import (
    NAMES_APART,
    full,
    has_all,
    lean,
    prepare_to_load,
    without_bitcode,
)
from mmulab.mmu.kernels.types_in_numba import type_of

_NEEDED = (
    (getattr(codegen, "CPUCodegen", None), "magic_tuple"),
    (getattr(compiler, "CompileResult", None), "_reduce"),
    (getattr(compiler, "CompileResult", None), "_rebuild"),
    (serialize, "dumps"),
)
AVAILABLE = has_all(_NEEDED) and NAMES_APART

_njit: Any = njit  # its types know not all of its options
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_WORD = ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()

#: Where the fields of an array's object lie, in bytes: its data, shape and strides.
_DATA = object.__basicsize__
_SHAPE, _STRIDES = _DATA + 16, _DATA + 24


class Compiled(NamedTuple):
    """call: takes the address of a table. returns: kinds of the results by their names; None
    where it is one number, not a tuple."""

    call: Callable[[int], Any]
    result: Any
    returns: tuple[bool, tuple[str, ...]]


def dispatcher(function: Callable[..., Any], **options: Any) -> Any:
    """numba's dispatcher of a kernel, which compiled code alone calls."""
    return lean(_njit(**_OPTIONS, no_cpython_wrapper=True, **options)(function))


def type_of_value(value: Any) -> Any:
    """The numba type of a dispatcher or an intrinsic, which may just have been made."""
    context = cpu_target.typing_context
    context.refresh()
    return context.resolve_value_type(value)


def compile_entry(inner: Any, given: tuple[kinds.Kind, ...]) -> Compiled:
    """Compiles an entry, by its dispatcher, for the kinds of what it is given."""
    takes = tuple(type_of(each) for each in given)
    inner.compile(takes)
    made = inner.overloads[takes]
    returned = _general(made.fndesc.restype)
    call = _calling(made, given)

    def from_table(address):
        call(address)

    outer = full(_njit(**_OPTIONS, _nrt=False)(from_table))
    outer.compile((types.int64,))
    result = outer.overloads[(types.int64,)]
    return Compiled(result.entry_point, result, _names(returned))


def _names(returned: Any) -> tuple[bool, tuple[str, ...]]:
    """(is it a tuple, the kinds of its numbers)."""
    if returned == types.none:
        return True, ()
    several = isinstance(returned, types.BaseTuple)
    members = tuple(returned) if several else (returned,)
    for each in members:
        if not isinstance(each, (types.Integer, types.Boolean)) and each != types.float64:
            raise TypeError(f"an entry returns numbers, not {each}")
    return several, tuple(str(each) for each in members)


def _general(type_: Any) -> Any:
    return types.unliteral(type_)


def _calling(made: Any, given: tuple[kinds.Kind, ...]) -> Any:
    """A function of a table's address: calls what has been compiled."""
    about = made.fndesc

    @intrinsic
    def call(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            words = _Words(context, builder, values[0])
            arguments = [
                words.value(kind, type_) for kind, type_ in zip(given, about.argtypes, strict=True)
            ]
            kind = context.call_conv.get_function_type(about.restype, about.argtypes)
            function = cgutils.get_or_insert_function(builder.module, kind, about.llvm_func_name)
            context.active_code_library.add_linking_library(made.library)
            status, result = context.call_conv.call_function(
                builder, function, about.restype, about.argtypes, arguments
            )
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            words.store(about.restype, result)
            return context.get_dummy_value()

        return types.void(address), generate

    return call


class _Words:
    """A table of words that is read and then written to."""

    def __init__(self, context: Any, builder: Any, address: Any) -> None:
        self.context, self.builder = context, builder
        self.table = builder.inttoptr(address, _WORD.as_pointer())
        self.next = 0

    def _place(self) -> Any:
        self.next += 1
        return self.builder.gep(self.table, [_WORD(self.next - 1)])

    def value(self, kind: kinds.Kind, type_: Any) -> Any:
        """The value of a kind that the next words are."""
        builder = self.builder
        if isinstance(kind, kinds.TupleKind):
            members = zip(kind.members, type_, strict=True)
            found = [self.value(member, member_type) for member, member_type in members]
            return self.context.make_tuple(builder, type_, found)
        if kind is kinds.none or isinstance(kind, kinds.KernelsKind):
            return self.context.get_dummy_value()
        word = builder.load(self._place())
        if isinstance(kind, kinds.StructKind):
            return builder.inttoptr(word, cgutils.voidptr_t)
        if isinstance(kind, kinds.ArrayKind):
            return self._array(kind, type_, builder.inttoptr(word, _POINTER))
        if kind is kinds.boolean:
            return builder.trunc(word, ir.IntType(1))
        if kind is kinds.float64:
            return builder.bitcast(word, ir.DoubleType())
        return word if type_.bitwidth == 64 else builder.trunc(word, ir.IntType(type_.bitwidth))

    def _array(self, kind: kinds.ArrayKind, type_: Any, holder: Any) -> Any:
        """The array of a Python object."""
        builder = self.builder

        def field(offset: int, of: Any) -> Any:
            place = builder.gep(holder, [_WORD(offset)])
            return builder.load(builder.bitcast(place, of.as_pointer()))

        def numbers(offset: int) -> list[Any]:
            start = field(offset, _WORD.as_pointer())
            return [builder.load(builder.gep(start, [_WORD(i)])) for i in range(kind.ndim)]

        array = self.context.make_array(type_)(self.context, builder)
        populate_array(
            array,
            data=field(_DATA, array.data.type),
            shape=numbers(_SHAPE),
            strides=numbers(_STRIDES),
            itemsize=_WORD(kind.dtype.itemsize),
            meminfo=None,
        )
        return array._getvalue()

    def store(self, type_: Any, result: Any) -> None:
        """Leaves results in the next words."""
        builder, type_ = self.builder, _general(type_)
        if isinstance(type_, types.BaseTuple):
            members: Any = type_
            for index, member in enumerate(members):
                self.store(member, builder.extract_value(result, index))
        elif type_ == types.float64:
            builder.store(builder.bitcast(result, _WORD), self._place())
        elif type_ != types.none:
            signed = type_ != types.boolean and type_.signed
            widened = result
            if result.type != _WORD:
                widened = (builder.sext if signed else builder.zext)(result, _WORD)
            builder.store(widened, self._place())


def kept(compiled: Compiled, title: str) -> bytes | None:
    """What is kept of a compilation of an entry; None, and why is said, where nothing can be."""
    if not AVAILABLE:
        store.say_no_place(store.NoPlaceError(f"unknown ways of numba {numba.__version__}"))
        return None
    result = compiled.result
    libraries = [result.library, *getattr(result.library, "_linking_libraries", ())]
    if any(each.has_dynamic_globals for each in libraries) or result.lifted:
        what = f"{title} holds addresses of this process: each run compiles it anew"
        warnings.warn(errors.NumbaWarning(what), stacklevel=2)
        return None
    reduced = without_bitcode(result._reduce(), result.library._final_module)
    (name, kind, data), described, *others = reduced
    code = b""
    if kind == "object":
        code, data = data[0], (b"", data[1])
    rest = serialize.dumps(((name, kind, data), described, *others))
    names = described.llvm_func_name, described.llvm_cpython_wrapper_name
    return pickle.dumps((compiled.returns, names, code, rest))


def rebuilt(code: bytes, rest: bytes) -> Callable[[int], Any]:
    """What is called of an entry that was compiled before, loaded by numba."""
    (name, kind, data), *others = pickle.loads(rest)
    if kind == "object":
        data = code, data[1]
    context = cpu_target.target_context
    prepare_to_load(context)
    result = compiler.CompileResult._rebuild(context, (name, kind, data), *others)
    call: Callable[[int], Any] = result.entry_point
    return call
