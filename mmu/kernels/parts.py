"""Parts: kernels that are compiled and cached apart, and call each other by address.

A part writes the addresses of its kernels into a table of a machine, an int64 array; whoever
calls them loads an address from there and calls what lies at it, as Linux calls through
kvm_x86_ops. So what calls a part needs not be compiled again for each part there is, and
parts can be compiled at the same time in several processes.

    touch = far_call(int64, MACHINE, int64)                                  # in the seam
    touch(machine.vm.ops[TOUCH], machine, gfn)

    write = addresses_of(((TOUCH, Far(nested_touch, (MACHINE, int64), int64)),))  # in the part

    @entry                                           # one a part, cached on disk
    def link(ops):
        write(ops)

Addresses are those of numba's own calling convention, so that a call costs what any call
costs. They hold in this process only: they are linked anew, never saved. Needs of numba:
`context.call_conv`, `Dispatcher.overloads` and `CompileResult.fndesc`; tried with 0.68.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmulab.mmu.kernels.structs import JIT_OFF, Struct


class Far(NamedTuple):
    """A kernel that is called by address, with the numba types of what it takes and returns."""

    kernel: Any
    takes: tuple[Any, ...]
    returns: Any


if JIT_OFF:
    # In plain Python an address is a number in this list.
    _KERNELS: list[Callable[..., Any]] = []

    def type_of(struct: type[Struct]) -> Any:
        """The numba type of a Struct class."""
        return struct

    def as_struct(struct: type[Struct]) -> Any:
        """A function that takes what lies in a `Private` field as a Struct of a class."""
        return lambda value: value

    def far_call(returns: Any, *takes: Any) -> Any:
        """A function that calls the kernel at an address: call(address, arguments ...)."""

        def call(address: Any, *arguments: Any) -> Any:
            return _KERNELS[int(address)](*arguments)

        return call

    def addresses_of(kernels: Sequence[tuple[int, Far]]) -> Any:
        """A function that writes the addresses of kernels into a table, at their numbers."""
        numbers = {}
        for index, far in kernels:
            numbers[index] = len(_KERNELS)
            _KERNELS.append(far.kernel)

        def write(table: Any) -> None:
            for index, number in numbers.items():
                table[index] = number

        return write

else:
    from llvmlite import ir
    from numba.core import cgutils, config, types
    from numba.core.extending import intrinsic

    from mmulab.mmu.kernels.structs_in_numba import StructType

    _WORD = ir.IntType(64)

    def type_of(struct: type[Struct]) -> Any:
        """The numba type of a Struct class."""
        return StructType(struct)

    def as_struct(struct: type[Struct]) -> Any:
        """A function that takes what lies in a `Private` field as a Struct of a class."""
        kind = StructType(struct)

        @intrinsic
        def view(typing: Any, value: Any) -> Any:
            return kind(value), lambda context, builder, signature, values: values[0]

        return view

    def far_call(returns: Any, *takes: Any) -> Any:
        """A function that calls the kernel at an address: call(address, arguments ...)."""

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

    def addresses_of(kernels: Sequence[tuple[int, Far]]) -> Any:
        """A function that writes the addresses of kernels into a table, at their numbers."""

        @intrinsic
        def write(typing: Any, table: Any) -> Any:
            compiled = {}
            for index, far in kernels:
                # With what it must return said, or numba makes a type of a constant.
                far.kernel.compile(far.returns(*far.takes))
                compiled[index] = far.kernel.overloads[far.takes]

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
