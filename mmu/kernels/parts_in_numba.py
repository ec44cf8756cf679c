"""What `parts` compiles to: see there.

Needs of numba: `context.call_conv`, `Dispatcher.overloads` and `CompileResult.fndesc`; tried
with 0.68.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.extending import intrinsic

from mmulab.mmu.kernels.structs import Struct
from mmulab.mmu.kernels.types_in_numba import StructType, type_of

_WORD = ir.IntType(64)


def as_struct(struct: type[Struct]) -> Any:
    """A function that takes what lies in a `Private` field as a Struct of a class."""
    kind = StructType(struct)

    @intrinsic
    def view(typing: Any, value: Any) -> Any:
        return kind(value), lambda context, builder, signature, values: values[0]

    return view


def far_call(returning: Any, taking: Sequence[Any]) -> Any:
    """A function that calls the kernel at an address: call(address, arguments ...)."""
    returns, takes = type_of(returning), tuple(type_of(each) for each in taking)

    @intrinsic
    def call(typing: Any, address: Any, *arguments: Any) -> Any:
        if len(arguments) != len(takes):
            return None

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(returns, takes)
            function = builder.inttoptr(values[0], kind.as_pointer())
            given = [
                context.cast(builder, value, had, wanted)
                for value, had, wanted in zip(
                    cgutils.unpack_tuple(builder, values[1]),
                    signature.args[1],
                    takes,
                    strict=True,
                )
            ]
            status, result = context.call_conv.call_function(
                builder, function, returns, takes, given
            )
            if getattr(config, "BOUNDSCHECK", None):  # else kernels raise nothing
                with cgutils.if_unlikely(builder, status.is_error):
                    context.call_conv.return_status_propagate(builder, status)
            return context.get_dummy_value() if returns == types.void else result

        return returns(types.int64, types.Tuple(arguments)), generate

    return call


def addresses_of(kernels: Sequence[tuple[int, Any]]) -> Any:
    """A function that writes the addresses of kernels, each a `parts.Far`, into a table, at
    their numbers."""

    @intrinsic
    def write(typing: Any, table: Any) -> Any:
        compiled = {}
        for index, far in kernels:
            dispatcher, takes = far.kernel.in_numba, tuple(type_of(each) for each in far.takes)
            # With what it must return said, or numba makes a type of a constant.
            dispatcher.compile(type_of(far.returns)(*takes))
            compiled[index] = dispatcher.overloads[takes]

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, values[0])
            for index, result in compiled.items():
                about = result.fndesc
                kind = context.call_conv.get_function_type(about.restype, about.argtypes)
                function = cgutils.get_or_insert_function(
                    builder.module, kind, about.llvm_func_name
                )
                context.active_code_library.add_linking_library(result.library)
                address = builder.ptrtoint(function, _WORD)
                builder.store(address, builder.gep(array.data, [_WORD(index)]))
            return context.get_dummy_value()

        return types.void(table), generate

    return write
