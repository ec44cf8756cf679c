"""Techniques in files that tests write."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mmulab.mmu.techniques import seam

#: Bare metal with every hook's default.
BARE = """
from mmulab.mmu.hardware.walks.one_dimensional import WALK
from mmulab.mmu.techniques.reference import Reference
from mmulab.mmu.techniques.technique import Technique

TECHNIQUE = Technique(
    name="bare", summary="-", source="-", module=__name__, walk=WALK, reference=Reference,
    virtual=False,
)
"""

#: Bare metal by a walk of its own: the radix walk, made anew.
OWN_WALK = """
from mmulab.mmu.hardware import fetch_ahead
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, offset_in
from mmulab.mmu.techniques.reference import Reference
from mmulab.mmu.techniques.technique import Technique

radix = make_walk(X86, in_place, STEP, fetch_ahead.GUEST)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    status, leaf, level = radix(core, vcpu, memory, gva, kind, user, 0)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    pass


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
TECHNIQUE = Technique(
    name="own_walk", summary="-", source="-", module=__name__, walk=WALK, reference=Reference,
    virtual=False,
)
"""

_PROBE = """
import numpy as np

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.techniques import nested, seam
from mmulab.mmu.techniques.technique import Technique


class State(nested.NestedState):
    FIELDS = {**nested.NestedState.FIELDS, "calls": ArrayField(np.int64)}


_state = as_struct(State)
"""

_PROBE_HOOK = """
_{name} = nested.TECHNIQUE.hooks.get("{name}", seam.HOOKS["{name}"].default)


@kernel
def {name}({arguments}):
    _state(machine.vm.private).calls[{number}] += 1
    return _{name}({arguments})

"""

_PROBE_END = """
HOOKS = {name: globals()[name] for name in seam.HOOKS}
TECHNIQUE = Technique(
    name="probe", summary="-", source="-", module=__name__, walk=nested.WALK,
    reference=nested.NestedReference, hooks=HOOKS, parameters=nested.TECHNIQUE.parameters,
    exits=nested.TECHNIQUE.exits,
    state=lambda sizes, values: State(
        root=np.full(1, -1, np.int64), calls=np.zeros(len(HOOKS), np.int64)
    ),
)
"""


def probe() -> str:
    """Nested paging that counts the calls of each hook in its private state, in the order of
    `seam.HOOKS`."""
    hooks = (
        _PROBE_HOOK.format(name=name, number=number, arguments=", ".join(["machine", *op.takes]))
        for number, (name, op) in enumerate(seam.HOOKS.items())
    )
    return _PROBE + "".join(hooks) + _PROBE_END


def copy_of(name: str, new: str) -> str:
    """The source of a technique of the package that is one file, under another name."""
    text = Path(str(import_module(f"mmulab.mmu.techniques.{name}").__file__)).read_text()
    assert text.count(f'name="{name}"') == 1
    return text.replace(f'name="{name}"', f'name="{new}"')


def write(folder: Path, name: str, text: str) -> str:
    """Writes a file of a technique; returns what names it."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)
