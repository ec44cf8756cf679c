"""Techniques, one file each, and the hooks through which the rest reaches them.

To add one: a file with a `TECHNIQUE` and the hooks that it needs, its name in
`NAMES`, and its branch in the hooks of `hooks.py`.
"""

from __future__ import annotations

from importlib import import_module

from mmulab.mmu.errors import unknown
from mmulab.mmu.techniques.technique import Technique

NAMES = ("native", "shadow", "nested")  # in the order of their ids in mmu.state


def get(name: str) -> Technique:
    """What a technique says of itself. Raises InputError for an unknown name."""
    if name not in NAMES:
        raise unknown("technique", name, NAMES)
    technique: Technique = import_module(f"mmulab.mmu.techniques.{name}").TECHNIQUE
    return technique
