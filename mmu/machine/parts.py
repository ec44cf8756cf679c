"""What a run needs compiled, part by part: each can be compiled in a process of its own.

A part is named by text (`kernels.warm.Part`), so that another process can be told which.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from numba.core import types
from numba.core.errors import NumbaError
from numba.np.numpy_support import from_dtype

from mmulab.mmu.guest import entry_points
from mmulab.mmu.hardware import instructions as processor
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels import warm
from mmulab.mmu.kernels.parts import type_of
from mmulab.mmu.kernels.warm import Part, compile_together
from mmulab.mmu.machine import data, run
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.seam import link_defaults
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.techniques.technique import Variant, compiled_for
from mmulab.mmu.trace import EVENT
from mmulab.mmu.vmm import calls

_TABLE = (types.Array(types.int64, 1, "C"),)


def parts_of(specs: Iterable[Spec]) -> list[Part]:
    """What a comparison of techniques runs. Of two processes one begins with the guest OS, the
    other with the run loops, which share most of what they are made of."""
    specs = list(specs)
    by_walk = {
        spec.technique.walk.where: (spec.origin, *spec.technique.variant)
        for spec in reversed(specs)
    }
    first, *others = (Part(__name__, "run_loop", found) for found in by_walk.values())
    hooks = [
        Part(__name__, "technique", (spec.origin,))
        for spec in sorted(specs, key=lambda spec: -len(spec.technique.hooks))
    ]
    parts = [Part(__name__, "guest"), first]
    for pair in zip_longest(dict.fromkeys(hooks), others):
        parts += [part for part in pair if part]
    if any(spec.technique.virtual for spec in specs):
        parts.append(Part(__name__, "host_memory"))
    small = ("instructions", "defaults", "prepare", "find_lines")
    return parts + [Part(__name__, name) for name in small]


def compile_parts(specs: Iterable[Spec]) -> None:
    """Compiles what a comparison runs, in all cores. Raises InputError where numba cannot
    compile what a technique brings."""
    specs = list(specs)
    try:
        compile_together(parts_of(specs))
    except NumbaError:
        for spec in specs:
            with compiled_for(spec.technique):
                compile_together(parts_of([spec]))
        raise


def is_cold(specs: Iterable[Spec]) -> bool:
    """True where some of what a comparison runs has to be compiled."""
    return warm.is_cold(parts_of(specs))


def guest() -> tuple[Any, Any]:
    return entry_points.link, _TABLE


def technique(origin: str) -> tuple[Any, Any]:
    """The hooks of a technique, by its name or file."""
    return registry.get(origin).link, _TABLE


def defaults() -> tuple[Any, Any]:
    return link_defaults, _TABLE


def instructions() -> tuple[Any, Any]:
    return processor.link, _TABLE


def host_memory() -> tuple[Any, Any]:
    return calls.link, _TABLE


def run_loop(origin: str, arch: str, prefetches: bool) -> tuple[Any, Any]:
    """The run loop with the walk of a technique, by its name or file, in a variant."""
    from mmulab.mmu.kernels.namespaces import KernelsType  # there is none in plain Python

    position = (types.int64,) * 3
    lines = (types.Array(types.int32, 1, "C"), types.Array(types.int64, 1, "C"))
    columns = (_to_read(types.int64), _to_read(types.uint16), _to_read(from_dtype(EVENT)))
    return run.run_once, (
        type_of(Machine),
        KernelsType(registry.get(origin).on(Variant(arch, prefetches)).walk.where),
        *columns,
        *position,
        *lines,
    )


def prepare() -> tuple[Any, Any]:
    columns = (_to_read(types.int64), _to_read(types.uint8), _to_read(types.uint16))
    out = (types.Array(types.uint16, 1, "C"), types.Array(types.int64, 1, "C"))
    return run.prepare, (*columns, *out, types.int64)


def find_lines() -> tuple[Any, Any]:
    numbers = types.Array(types.int64, 1, "C")
    columns = (types.int64, types.uint8, types.uint16, from_dtype(EVENT))
    return data.find_some, (
        *(_to_read(column) for column in columns),
        types.int64,
        *(numbers,) * 2,
        types.int64,
        types.int64,
        types.int64,
        *(types.Array(types.int32, 1, "C"), numbers) * 2,
    )


def _to_read(dtype: Any) -> Any:
    """An array as `kernels.structs.to_read` makes it."""
    return types.Array(dtype, 1, "C", readonly=True)
