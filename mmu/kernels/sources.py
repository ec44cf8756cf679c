"""Digests of the sources that compiled code is made from.

An entry is made from its module and from all that this imports, directly or not, below
`mmulab`. Imports are found in the text of a module, not by running it: those within
functions count too, and a module that is not loaded yet is read where it would be loaded
from. Of the packages that a module lies in, `__init__.py` counts, but not what it imports,
unless a name is imported from it.

A module outside mmulab, a user's own technique, counts by its file, together with what it
imports of its own package, from beside it and of mmulab.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

#: A source changed since is not what runs in this process.
_STARTED = time.time()

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\((?:[^)#]|#[^\n]*)*\)|(?:[^\n\\]|\\\n)*)"
    r"|import[ \t]+((?:[^\n\\]|\\\n)*))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")


class Source(NamedTuple):
    """The text of a module, as what is compiled depends on it."""

    digest: bytes
    fresh: bool  # what runs in this process
    imports: frozenset[str]  # modules whose imports count too


def digest(modules: Iterable[str]) -> bytes | None:
    """Digest of the sources of modules and of all that these import, 32 bytes; None where a
    source is not at hand (code typed in), or has changed since this process loaded it."""
    found: dict[str, Source] = {}
    packages: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        source = _source(name)
        if source is None:
            return None
        found[name] = source
        waiting += source.imports
        while name := name.rpartition(".")[0]:
            packages.add(name)
    total = hashlib.sha256()
    for name in sorted(packages | found.keys()):
        source = _source(name)
        if source is not None:  # a package may be a mere folder
            if not source.fresh:
                return None
            total.update(f"{name}\0".encode() + source.digest)
    return total.digest()


@cache
def _source(name: str) -> Source | None:
    place = _place(name)
    if place is None:
        return None
    path, is_package = place
    try:
        with open(path, "rb") as file:
            content = file.read()
            changed = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    # A time yet to come says nothing but that clocks differ.
    fresh = not _STARTED < changed <= time.time()
    text = content.decode("utf-8", "replace")
    roots = {"mmulab", name.split(".")[0]}
    imports = {
        target
        for target in _imports(text, name if is_package else name.rpartition(".")[0], roots)
        if (_place(target) if target.split(".")[0] in roots else _is_beside(target, path))
    }
    return Source(hashlib.sha256(content).digest(), fresh, frozenset(imports))


def _imports(text: str, package: str, roots: set[str]) -> Iterable[str]:
    """Names of the modules that a text imports; package is what its relative imports mean.
    Only below the roots is a submodule told from another name."""
    for origin, names, modules in _IMPORT.findall(text):
        for item in modules.split(","):
            if words := item.split():
                yield words[0]
        if origin.startswith("."):
            above = package.split(".")
            depth = len(origin) - len(origin.lstrip("."))
            above = above[: len(above) - depth + 1]
            origin = ".".join([*above, *filter(None, [origin.lstrip(".")])])
        if origin.split(".")[0] not in roots:
            yield origin
            continue
        for item in _COMMENT.sub("", names).strip("() \t\r\n").split(","):
            if words := item.replace("\\", " ").split():
                yield _imported(origin, words[0])


def _imported(origin: str, name: str) -> str:
    """The module that `from origin import name` takes a name from: a submodule or the origin."""
    place = _place(origin)
    is_submodule = place is not None and place[1] and _place(f"{origin}.{name}") is not None
    return f"{origin}.{name}" if is_submodule else origin


def _is_beside(module: str, path: str) -> bool:
    """True where a module that is loaded lies in the folder of a file."""
    beside = getattr(sys.modules.get(module), "__file__", None)
    return bool(beside) and os.path.dirname(str(beside)) == os.path.dirname(path)


@cache
def _place(name: str) -> tuple[str, bool] | None:
    """(file, is it a package) of a module that is loaded or can be; nothing is run for it."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file:
        return file, hasattr(module, "__path__")
    parent, _, child = name.rpartition(".")
    if not parent or parent in sys.modules:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):  # of no package; of a process without a script
            return None
        if spec is None or not spec.origin:
            return None
        return spec.origin, spec.submodule_search_locations is not None
    above = _place(parent)
    if above is None or not above[1]:
        return None
    folder = os.path.join(os.path.dirname(above[0]), child)
    for path, is_package in ((f"{folder}.py", False), (f"{folder}/__init__.py", True)):
        if os.path.isfile(path):
            return path, is_package
    return None
