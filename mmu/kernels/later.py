"""What kernels call and numba has to be told of: told when something is first compiled.

numba takes longer to import than a short run takes, and what was compiled before runs without
it (`kernels.entries`). So a kernel, or a function for kernels that is made of LLVM's
instructions, is an object of little until then; numba asks it for its type where it finds it
in a kernel that it compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from mmulab.mmu.kernels.structs import JIT_OFF


class Later:
    """py_func: what it is in plain Python. make: gives what numba has for it. depends: what it
    was made of besides, which is described in the names of files."""

    def __init__(
        self, function: Callable[..., Any], make: Callable[[], Any], depends: tuple[Any, ...] = ()
    ) -> None:
        self.py_func: Any = function
        self.depends = depends
        self._make = make
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__

    @cached_property
    def in_numba(self) -> Any:
        """numba's dispatcher, or intrinsic."""
        return self._make()

    @property
    def _numba_type_(self) -> Any:
        """What numba asks an object for that it knows nothing of."""
        from mmulab.mmu.kernels.entries_in_numba import type_of_value

        return type_of_value(self.in_numba)


def later(module: Callable[[], Any]) -> Callable[[Callable[..., Any]], Any]:
    """A function for kernels: the decorated one in plain Python, that of the same name in a
    module else, which is imported by a function."""

    def decorate(function: Callable[..., Any]) -> Any:
        if JIT_OFF:
            return function
        return Later(function, lambda: getattr(module(), function.__name__))

    return decorate
