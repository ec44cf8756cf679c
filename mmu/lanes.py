"""Eight slots of an int64 array at once, as one vector instruction each.

The sets of TLBs and caches are small, and where in a set a tag is found is
unpredictable: a loop that stops at the match costs a mispredicted branch more
often than not. These look at a whole group of slots and do not branch. LLVM makes
of them what the processor has: one compare of 512 bits, or two of 256.
"""

from __future__ import annotations

from typing import Any

from mmu.structs import JIT_OFF

LANES = 8

if JIT_OFF:

    def equal_mask(array: Any, start: Any, value: Any) -> int:
        """Bit i is set where array[start + i] == value, for i below LANES."""
        return sum(1 << i for i in range(LANES) if array[int(start) + i] == value)

    def least(array: Any, start: Any) -> int:
        """The smallest of array[start], ..., array[start + LANES - 1]."""
        return int(min(array[int(start) : int(start) + LANES]))

    def lowest_bit(mask: Any) -> int:
        """Number of the lowest bit set of a mask that is not zero."""
        return (int(mask) & -int(mask)).bit_length() - 1

    def prefetch(array: Any, index: Any) -> None:
        """Asks for the cache line of array[index]."""

else:
    from llvmlite import ir
    from numba.core import types
    from numba.core.extending import intrinsic

    _WORD = ir.IntType(64)
    _VECTOR = ir.VectorType(_WORD, LANES)

    def _group(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """The vector that begins at an index of an array, both the first arguments."""
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        loaded = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
        loaded.align = 8
        return loaded

    def _is_array(array: Any) -> bool:
        return isinstance(array, types.Array) and array.dtype == types.int64 and array.ndim == 1

    @intrinsic
    def equal_mask(typing: Any, array: Any, start: Any, value: Any) -> Any:
        """Bit i is set where array[start + i] == value, for i below LANES."""
        if not _is_array(array) or start != types.uint64 or value != types.int64:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            group = _group(context, builder, signature, arguments)
            one = builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), arguments[2], ir.Constant(_WORD, 0)
            )
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            same = builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)
            found = builder.icmp_signed("==", group, same)
            return builder.zext(builder.bitcast(found, ir.IntType(LANES)), _WORD)

        return types.int64(array, start, value), generate

    @intrinsic
    def least(typing: Any, array: Any, start: Any) -> Any:
        """The smallest of array[start], ..., array[start + LANES - 1]."""
        if not _is_array(array) or start != types.uint64:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            group = _group(context, builder, signature, arguments)
            kind = ir.FunctionType(_WORD, [_VECTOR])
            reduce = builder.module.declare_intrinsic("llvm.vector.reduce.smin.v8i64", fnty=kind)
            return builder.call(reduce, [group])

        return types.int64(array, start), generate

    @intrinsic
    def lowest_bit(typing: Any, mask: Any) -> Any:
        """Number of the lowest bit set of a mask that is not zero."""
        if mask != types.int64:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(mask), generate

    @intrinsic
    def prefetch(typing: Any, array: Any, index: Any) -> Any:
        """Asks for the cache line of array[index]."""
        if not isinstance(array, types.Array) or array.ndim != 1 or index != types.uint64:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = builder.gep(view.data, [arguments[1]])
            byte = ir.IntType(8).as_pointer()
            flag = ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch.p0", fnty=ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
            )
            # To be read, to be kept in all caches, data.
            builder.call(function, [builder.bitcast(pointer, byte), flag(0), flag(3), flag(1)])
            return context.get_dummy_value()

        return types.void(array, index), generate
