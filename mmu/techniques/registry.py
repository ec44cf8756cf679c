"""Which techniques there are: those of the package, those of other packages, files.

A package adds one by an entry point of the group `mmulab.techniques`, whose name is the
technique's and whose object is its `TECHNIQUE`. A file is any Python file with a `TECHNIQUE`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from mmulab.mmu import techniques
from mmulab.mmu.errors import InputError, MMULabError, unknown
from mmulab.mmu.techniques.technique import Technique

#: What is compared unless somebody says otherwise, in the order of tables.
DEFAULT = ("native", "shadow", "nested")

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
    return (*DEFAULT, *(name for name in found if name not in DEFAULT))


def names() -> tuple[str, ...]:
    """Techniques that can be named: those of the package, then those of other packages."""
    others = sorted({point.name for point in entry_points(group=GROUP)} - set(of_package()))
    return (*of_package(), *others)


def get(name: str) -> Technique:
    """A technique by its name or its file. Raises InputError where there is no such."""
    if name in DEFAULT or name in of_package():
        module = f"{techniques.__name__}.{name.replace('-', '_')}"
        return _technique(import_module(module), name)
    if is_file(name):
        return _from_file(Path(name))
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _checked(_load(name, point.load), f"technique {name}")
    raise unknown("technique", name, names())


def built_in() -> list[Technique]:
    """The techniques of the package."""
    return [get(name) for name in of_package()]


def is_file(name: str) -> bool:
    """Whether a technique is named by its file."""
    return name.endswith(".py") or os.sep in name or (os.altsep or os.sep) in name


def _from_file(path: Path) -> Technique:
    """The technique of a file, loaded under a module name that its path and contents make, so
    that another version of it is another module."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"technique {path}: {error.strerror or error}") from None
    if path.suffix != ".py":
        raise InputError(f"technique {path}: expected a Python file, NAME.py")
    where = path.resolve()
    digest = hashlib.sha256(str(where).encode(errors="surrogateescape") + source).hexdigest()[:16]
    name = f"mmulab_technique_{digest}"
    module = sys.modules.get(name) or _load(str(path), lambda: _module(name, where))
    return _technique(module, str(path))


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load(name: str, load: Any) -> Any:
    """What is loaded; what goes wrong in somebody else's code is said in one sentence."""
    try:
        return load()
    except MMULabError:
        raise
    except (Exception, SystemExit) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        what = f"technique {name}{_line_of(error)}: {type(error).__name__}: {said}"
        raise InputError(what.split("\n")[0]) from error


def _line_of(error: BaseException) -> str:
    """Where in the file that is being loaded an error came up."""
    trace, line = error.__traceback__, ""
    while trace:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("mmulab_technique_"):
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.lineno:
        line = f", line {error.lineno}"
    return line


def _technique(module: Any, name: str) -> Technique:
    found = getattr(module, "TECHNIQUE", None)
    return _checked(found, f"technique {name}", name in DEFAULT or name in of_package())


def _checked(found: Any, what: str, built_in: bool = False) -> Technique:
    if not isinstance(found, Technique):
        raise InputError(f"{what}: expected an object TECHNIQUE of mmulab's Technique in it")
    if not built_in and found.name in of_package():
        raise InputError(f"{what}: calls itself {found.name!r}, which is a technique of mmulab")
    return found
