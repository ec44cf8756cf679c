"""Processors to choose from, one file each; see `mmu.presets.preset` for their shape.

Importing this package is cheap: a preset's file is read when it is asked for.
"""

from __future__ import annotations

from importlib import import_module

from mmulab.mmu.errors import unknown
from mmulab.mmu.presets.preset import Preset

#: What is simulated unless told otherwise: Xeons of 2023, which the large clouds rent out.
DEFAULT = "sapphire-rapids"

#: Names on the command line, oldest first, and the files that define them.
_MODULES = {
    "opteron-2008": "opteron2008",
    "haswell": "haswell",
    "skylake-sp": "skylake_sp",
    "neoverse-n1": "neoverse_n1",
    "zen-4": "zen4",
    "golden-cove": "golden_cove",
    "sapphire-rapids": "sapphire_rapids",
    "neoverse-v2": "neoverse_v2",
    "lion-cove": "lion_cove",
    "zen-5": "zen5",
    "kunminghu": "kunminghu",
}

#: Machines of publications' simulators: no processors, and not among `names`.
_SIMULATED = {"dmt-artifact": "dmt_artifact"}


def names() -> tuple[str, ...]:
    """Names of the presets, oldest processor first."""
    return tuple(_MODULES)


def is_known(name: str) -> bool:
    """Whether `load` has a preset of that name."""
    return name in _MODULES or name in _SIMULATED


def load(name: str) -> Preset:
    """The preset of that name; an InputError suggests the nearest if there is none."""
    modules = _MODULES | _SIMULATED
    if name not in modules:
        raise unknown("preset", name, modules)
    return import_module(f"mmulab.mmu.presets.{modules[name]}").PRESET
