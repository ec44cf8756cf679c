"""How numba sees a `Struct`: a pointer to its table. See `mmu.kernels.structs`.

Needs of numba, besides what `numba.extending` names: that a type's attributes are resolved by
an `AttributeTemplate` and lowered by `lower_getattr_generic`, and `numba.np.arrayobj`'s
`populate_array`, to make an array of an address and a shape. There is no doing without.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import (
    NativeValue,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.np import numpy_support

from mmulab.mmu.kernels.structs import ArrayField, Private, Struct

_WORD = ir.IntType(64)


class StructType(types.Type):
    """The numba type of a Struct class."""

    def __init__(self, struct: type[Struct]) -> None:
        self.struct = struct
        super().__init__(name=f"Struct({struct.__module__}.{struct.__qualname__})")

    def member(self, name: str) -> tuple[int, Any]:
        """(index of its first word in the table, numba type) of a field."""
        index = 0
        for field_name, field in self.struct.FIELDS.items():
            if field_name == name:
                return index, _type_of(field)
            index += 1 + field.ndim if isinstance(field, ArrayField) else 1
        raise AttributeError(name)


def _type_of(field: ArrayField | Private | type[Struct]) -> types.Type:
    if isinstance(field, ArrayField):
        return _array_type(field.dtype, field.ndim)
    if isinstance(field, Private):
        return StructType(Struct)
    return StructType(field)


@cache  # numba asks at each use of a field, and takes long to make the type of a record
def _array_type(dtype: np.dtype, ndim: int) -> types.Array:
    return types.Array(numpy_support.from_dtype(dtype), ndim, "C")


@typeof_impl.register(Struct)
def _typeof(value: Struct, _context: Any) -> StructType:
    return StructType(type(value))


@register_model(StructType)
class _Model(models.OpaqueModel):
    pass


@infer_getattr
class _Attributes(AttributeTemplate):
    key = StructType

    def generic_resolve(self, struct: Any, name: str) -> Any:  # type: ignore[override]
        if name not in struct.struct.FIELDS:
            return None
        return struct.member(name)[1]


@unbox(StructType)
def _unbox(_type: StructType, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "address")
    word = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(c.builder.inttoptr(word, cgutils.voidptr_t))


def _load(builder: Any, table: Any, index: int) -> Any:
    """A word of a table, marked as never changing."""
    pointer = builder.gep(table, [_WORD(index)])
    word = builder.load(pointer)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_getattr_generic(StructType)
def _getattr(context: Any, builder: Any, struct: StructType, value: Any, name: str) -> Any:
    from numba.np.arrayobj import populate_array  # long to import, and compiling needs it alone

    index, member = struct.member(name)
    table = builder.bitcast(value, _WORD.as_pointer())
    field = struct.struct.FIELDS[name]
    if not isinstance(field, ArrayField):
        return builder.inttoptr(_load(builder, table, index), cgutils.voidptr_t)
    array = context.make_array(member)(context, builder)
    data_type = array.data.type
    item = field.dtype.itemsize
    shape = [_load(builder, table, index + 1 + axis) for axis in range(member.ndim)]
    strides = [_WORD(item)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=builder.inttoptr(_load(builder, table, index), data_type),
        shape=shape,
        strides=strides,
        itemsize=_WORD(item),
        meminfo=None,
    )
    return array._getvalue()
