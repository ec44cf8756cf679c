"""A namespace of kernels as an argument: what takes it is compiled for it.

    WALK = Kernels(__name__, "WALK", translate=translate, fetch_ahead=fetch_ahead)

    @kernel
    def run(machine, walk, gva):
        return walk.translate(machine, gva)     # compiled in, once a namespace

numba knows a `Kernels` by its type alone, which says where to find it: the module and the
name there that it was made with. In plain Python it is an object with functions.
"""

from __future__ import annotations

from typing import Any


class Kernels:
    """Kernels by name. module, name: where this very object is to be found."""

    def __init__(self, module: str, name: str, **kernels: Any) -> None:
        self.where = module, name
        self.__dict__.update(kernels)
