"""What a run needs compiled, part by part: each can be compiled in a process of its own.

A part is named by text (`kernels.warm.Part`), so that another process can be told which.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

import numpy as np

from mmulab.mmu.guest import entry_points
from mmulab.mmu.hardware import instructions as processor
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels import kinds, warm
from mmulab.mmu.kernels.compiling import is_numbas
from mmulab.mmu.kernels.warm import Part, compile_together
from mmulab.mmu.machine import data, run
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.seam import link_defaults
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.techniques.technique import Variant, compiled_for
from mmulab.mmu.trace import EVENT
from mmulab.mmu.vmm import calls

_NUMBERS = kinds.array(np.int64)
_AHEAD = "ahead"  # of a walk with TLB prefetch
_TABLE = (_NUMBERS,)


def parts_of(specs: Iterable[Spec]) -> list[Part]:
    """What a comparison of techniques runs. Of two processes one begins with the guest OS, the
    other with the run loops, which share most of what they are made of."""
    specs = list(specs)
    by_walk = {
        spec.technique.walk.where: (spec.origin, *_named(spec.technique.variant))
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
    except Exception as error:
        if not is_numbas(error):
            raise
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


def _named(variant: Variant) -> tuple[str, str]:
    return variant.arch, _AHEAD if variant.prefetches else ""


def run_loop(origin: str, arch: str, ahead: str) -> tuple[Any, Any]:
    """The run loop with the walk of a technique, by its name or file, in a variant."""
    columns = (_to_read(np.int64), _to_read(np.uint16), _to_read(EVENT))
    return run.run_once, (
        kinds.struct(Machine),
        kinds.kernels(registry.get(origin).on(Variant(arch, ahead == _AHEAD)).walk.where),
        *columns,
        *(kinds.int64,) * 3,
        *(kinds.array(np.int32), _NUMBERS),
    )


def prepare() -> tuple[Any, Any]:
    columns = (_to_read(np.int64), _to_read(np.uint8), _to_read(np.uint16))
    return run.prepare, (*columns, kinds.array(np.uint16), _NUMBERS, kinds.int64)


def find_lines() -> tuple[Any, Any]:
    columns = (_to_read(np.int64), _to_read(np.uint8), _to_read(np.uint16), _to_read(EVENT))
    return data.find_some, (
        *columns,
        kinds.int64,
        *(_NUMBERS,) * 2,
        *(kinds.int64,) * 3,
        *(kinds.array(np.int32), _NUMBERS) * 2,
    )


def _to_read(dtype: Any) -> kinds.Kind:
    """An array as `kernels.structs.to_read` makes it."""
    return kinds.array(dtype, readonly=True)
