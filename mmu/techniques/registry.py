"""Which techniques there are: those of the package, those of other packages, files.

A package adds one by an entry point of the group `mmulab.techniques`, whose name is the
technique's and whose object is its `TECHNIQUE`. A file is any Python file with a `TECHNIQUE`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from mmulab.mmu import techniques
from mmulab.mmu.config import python_files
from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.techniques.technique import Technique

#: Those that come first wherever techniques are listed.
_FIRST = ("native", "shadow", "nested")

GROUP = "mmulab.techniques"

_DECLARES = re.compile(r"^TECHNIQUE\b.*=", re.MULTILINE)


@cache
def of_package() -> tuple[str, ...]:
    """Techniques of the package: every file or folder here that declares a `TECHNIQUE`. Its name
    is the technique's, with dashes for underscores. None is loaded for it."""
    found = []
    for module in iter_modules(techniques.__path__):
        folder = Path(getattr(module.module_finder, "path", ""))
        file = folder / (f"{module.name}/__init__.py" if module.ispkg else f"{module.name}.py")
        if _DECLARES.search(file.read_text(encoding="utf-8")):
            found.append(module.name.replace("_", "-"))
    return (*_FIRST, *(name for name in found if name not in _FIRST))


def names() -> tuple[str, ...]:
    """Techniques that can be named: those of the package, then those of other packages."""
    others = sorted({point.name for point in entry_points(group=GROUP)} - set(of_package()))
    return (*of_package(), *others)


def get(name: str) -> Technique:
    """A technique by its name or its file. Raises InputError where there is no such."""
    if name in _FIRST or name in of_package():
        module = f"{techniques.__name__}.{name.replace('-', '_')}"
        return _technique(import_module(module), name)
    if python_files.is_file(name):
        path = Path(name)
        return _technique(python_files.load("technique", path), str(path))
    for point in entry_points(group=GROUP):
        if point.name == name:
            loaded = python_files.guarded("technique", name, point.load)
            return _checked(loaded, f"technique {name}")
    raise unknown("technique", name, names())


def built_in() -> list[Technique]:
    """The techniques of the package."""
    return [get(name) for name in of_package()]


def _technique(module: Any, name: str) -> Technique:
    found = getattr(module, "TECHNIQUE", None)
    return _checked(found, f"technique {name}", name in _FIRST or name in of_package())


def _checked(found: Any, what: str, built_in: bool = False) -> Technique:
    if not isinstance(found, Technique):
        raise InputError(f"{what}: expected an object TECHNIQUE of mmulab's Technique in it")
    if not built_in and found.name in of_package():
        raise InputError(f"{what}: calls itself {found.name!r}, which is a technique of mmulab")
    return found
