"""What `vectors` compiles to: see there.

Needs of numba: `intrinsic`, and the array structure of `make_array`; of LLVM, the textual
names of its intrinsics. There is no doing without.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

_WORD = ir.IntType(64)
_HALF = ir.IntType(32)
_MOST = 32  # lanes


def _group(context: Any, builder: Any, kind: Any, arguments: Any, lanes: int) -> Any:
    """The vector that begins at an index of an array, both the first arguments."""
    array = context.make_array(kind)(context, builder, arguments[0])
    pointer = builder.gep(array.data, [arguments[1]])
    vector = ir.VectorType(_HALF, lanes)
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = 4
    return loaded


def _shuffled(builder: Any, vector: Any, word: Any, order: list[int]) -> Any:
    """Lanes of a vector and, as number len(order), of a word, in an order."""
    undefined = ir.Constant(vector.type, ir.Undefined)
    one = builder.insert_element(undefined, word, ir.Constant(_WORD, 0))
    kind = ir.VectorType(_HALF, len(order))
    return builder.shuffle_vector(vector, one, ir.Constant(kind, order))


def _equal(builder: Any, group: Any, word: Any, lanes: int) -> Any:
    """The lanes that equal a word, as the low bits of an int64."""
    same = _shuffled(builder, group, word, [lanes] * lanes)
    found = builder.icmp_signed("==", group, same)
    return builder.zext(builder.bitcast(found, ir.IntType(lanes)), _WORD)


def _is_array(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype == types.int32 and array.ndim == 1


@intrinsic(prefer_literal=True)
def equal_mask(typing: Any, array: Any, start: Any, lanes: Any, value: Any) -> Any:
    """Bit i is set where array[start + i] == value, for i below lanes."""
    if not _is_array(array) or start != types.uint64 or value != types.int64:
        return None
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        group = _group(context, builder, signature.args[0], arguments, count)
        return _equal(builder, group, builder.trunc(arguments[3], _HALF), count)

    return types.int64(array, start, lanes, value), generate


@intrinsic(prefer_literal=True)
def least(typing: Any, array: Any, start: Any, lanes: Any) -> Any:
    """The smallest of array[start], ..., array[start + lanes - 1]."""
    if not _is_array(array) or start != types.uint64:
        return None
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        group = _group(context, builder, signature.args[0], arguments, count)
        kind = ir.FunctionType(_HALF, [group.type])
        name = f"llvm.vector.reduce.smin.v{count}i32"
        smallest = builder.call(builder.module.declare_intrinsic(name, fnty=kind), [group])
        return builder.sext(smallest, _WORD)

    return types.int64(array, start, lanes), generate


@intrinsic
def seldom(typing: Any) -> Any:
    """In the body of a kernel: it is rarely called, and compiled out of its callers' way."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        builder.function.attributes.add("cold")
        return context.get_dummy_value()

    return types.void(), generate


def _up_to(builder: Any, place: Any, kind: Any) -> Any:
    """A vector of a kind with all ones in lanes 0 to place, zeros beyond: a window of a
    constant."""
    name = "mmulab.lanes.window"
    constant = builder.module.globals.get(name)
    if constant is None:
        numbers = ir.Constant(ir.ArrayType(_HALF, 2 * _MOST), [-1] * _MOST + [0] * _MOST)
        constant = ir.GlobalVariable(builder.module, numbers.type, name)
        constant.linkage = "internal"
        constant.global_constant = True
        constant.initializer = numbers
    first = builder.sub(_WORD(_MOST - 1), place)
    pointer = builder.gep(constant, [_WORD(0), first])
    window = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    window.align = 4
    return window


@intrinsic(prefer_literal=True)
def move_to_front(typing: Any, array: Any, start: Any, last: Any, value: Any, lanes: Any) -> Any:
    """Makes a value the first of array[start], ..., array[start + last]; see above."""
    numbers = types.uint64, types.int64, types.int64
    if not _is_array(array) or (start, last, value) != numbers:
        return None
    count = lanes.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.trunc(arguments[3], _HALF)
        group = _group(context, builder, signature.args[0], arguments, count)
        found = _equal(builder, group, value, count)
        stop = builder.or_(found, builder.shl(_WORD(1), arguments[2]))
        place = builder.cttz(stop, ir.Constant(ir.IntType(1), 1))
        moved = _shuffled(builder, group, value, [count, *range(count - 1)])
        # Not a select: of that and the store LLVM makes a masked store, which some
        # processors are slow at (as measured here, slower than all the rest).
        moves = _up_to(builder, place, group.type)
        stays = builder.xor(moves, ir.Constant(group.type, [-1] * count))
        result = builder.or_(builder.and_(moved, moves), builder.and_(group, stays))
        builder.store(result, group.operands[0]).align = 4
        return found

    return types.int64(array, start, last, value, lanes), generate


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
