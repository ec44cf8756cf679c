"""A namespace of kernels as an argument: what takes it is compiled for it.

    WALK = Kernels(__name__, "WALK", translate=translate, fetch_ahead=fetch_ahead)

    @kernel
    def run(machine, walk, gva):
        return walk.translate(machine, gva)     # compiled in, once a namespace

numba knows a `Kernels` by its type alone, which says where to find it: the module and the
name there that it was made with. In plain Python it is an object with functions.
"""

from __future__ import annotations

import sys
from typing import Any

from mmulab.mmu.kernels.structs import JIT_OFF


class Kernels:
    """Kernels by name. module, name: where this very object is to be found."""

    def __init__(self, module: str, name: str, **kernels: Any) -> None:
        self.where = module, name
        self.__dict__.update(kernels)


if not JIT_OFF:
    from numba.core import types
    from numba.core.extending import (
        NativeValue,
        lower_getattr_generic,
        models,
        register_model,
        typeof_impl,
        unbox,
    )
    from numba.core.typing.templates import AttributeTemplate, infer_getattr

    class KernelsType(types.Opaque):
        """The numba type of a `Kernels`. where: its module, and its name there."""

        def __init__(self, where: tuple[str, str]) -> None:
            self.where = where
            super().__init__(name=f"Kernels({'.'.join(where)})")

    @typeof_impl.register(Kernels)
    def _typeof(value: Kernels, _context: Any) -> KernelsType:
        return KernelsType(value.where)

    @register_model(KernelsType)
    class _Model(models.OpaqueModel):
        pass

    @unbox(KernelsType)
    def _unbox(_type: KernelsType, _value: Any, c: Any) -> NativeValue:
        return NativeValue(c.context.get_dummy_value())

    @infer_getattr
    class _Attributes(AttributeTemplate):
        key = KernelsType

        def generic_resolve(self, kernels: Any, name: str) -> Any:  # type: ignore[override]
            module, where = kernels.where
            member = getattr(getattr(sys.modules[module], where), name, None)
            return None if member is None else types.Dispatcher(member)

    @lower_getattr_generic(KernelsType)
    def _getattr(context: Any, _builder: Any, _kernels: Any, _value: Any, _name: str) -> Any:
        return context.get_dummy_value()
