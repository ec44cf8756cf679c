"""How numba sees a `Struct`, a pointer to its table, and a `Kernels`, nothing but a type; and
the numba types of kinds. See `kernels.structs`, `kernels.namespaces`, `kernels.kinds`.

Needs of numba, besides what `numba.extending` names: that a type's attributes are resolved by
an `AttributeTemplate` and lowered by `lower_getattr_generic`, and `numba.np.arrayobj`'s
`populate_array`, to make an array of an address and a shape. There is no doing without.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import lower_getattr_generic, models, register_model
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.np import numpy_support

from mmulab.mmu.kernels import kinds
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


class KernelsType(types.Opaque):
    """The numba type of a `Kernels`. where: its module, and its name there."""

    def __init__(self, where: tuple[str, str]) -> None:
        self.where = where
        super().__init__(name=f"Kernels({'.'.join(where)})")


@register_model(KernelsType)
class _KernelsModel(models.OpaqueModel):
    pass


@infer_getattr
class _KernelsAttributes(AttributeTemplate):
    key = KernelsType

    def generic_resolve(self, kernels: Any, name: str) -> Any:  # type: ignore[override]
        module, where = kernels.where
        member = getattr(getattr(sys.modules[module], where), name, None)
        return None if member is None else types.Dispatcher(member.in_numba)


@lower_getattr_generic(KernelsType)
def _get_kernel(context: Any, _builder: Any, _kernels: Any, _value: Any, _name: str) -> Any:
    return context.get_dummy_value()


def type_of(kind: Any) -> Any:
    """The numba type of a kind; of a numba type itself."""
    if isinstance(kind, kinds.Number):
        return types.boolean if kind is kinds.boolean else getattr(types, kind.text)
    if isinstance(kind, kinds.ArrayKind):
        item, layout = numpy_support.from_dtype(kind.dtype), cast(Any, kind.layout)
        return types.Array(item, kind.ndim, layout, readonly=kind.readonly)
    if isinstance(kind, kinds.StructKind):
        return StructType(kind.struct)
    if isinstance(kind, kinds.KernelsKind):
        return KernelsType(kind.where)
    if isinstance(kind, kinds.TupleKind):
        named = kind.class_ if kind.class_ is not tuple else None
        return types.BaseTuple.from_types([type_of(each) for each in kind.members], named)
    return kind
