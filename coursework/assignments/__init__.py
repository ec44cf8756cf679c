"""The assignments, one folder each; a folder that is added here is known."""

from __future__ import annotations

import importlib
import pkgutil

from mmulab.coursework.assignment import Assignment
from mmulab.mmu.errors import unknown


def names() -> list[str]:
    """Names of all assignments, easiest first."""
    return list(_all())


def get(name: str) -> Assignment:
    """An assignment by name. Raises InputError, with the nearest name, for any other."""
    assignments = _all()
    if name not in assignments:
        raise unknown("assignment", name, assignments)
    return assignments[name]


def _all() -> dict[str, Assignment]:
    found = [
        importlib.import_module(f"{__name__}.{module.name}").ASSIGNMENT
        for module in pkgutil.iter_modules(__path__)
        if module.ispkg
    ]
    return {each.name: each for each in sorted(found, key=lambda each: each.number)}
