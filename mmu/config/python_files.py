"""Python files that users name by their path: a technique, a balloon policy.

Each is loaded under a module name that its path and contents make, so that another version of it
is another module, and two files may have one name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mmulab.mmu.errors import InputError, MMULabError


def is_file(name: str) -> bool:
    """Whether a name is that of a file."""
    return name.endswith(".py") or os.sep in name or (os.altsep or os.sep) in name


def load(kind: str, path: Path) -> ModuleType:
    """The module of a file. kind: what it holds, one word, for errors and its module's name.

    Raises InputError, one sentence that names the file and the line, where it cannot be loaded.
    """
    what = f"{kind} {path}"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or error}") from None
    if path.suffix != ".py":
        raise InputError(f"{what}: expected a Python file, NAME.py")
    where = path.resolve()
    digest = hashlib.sha256(str(where).encode(errors="surrogateescape") + source).hexdigest()[:16]
    name = f"{_prefix(kind)}{digest}"
    found = sys.modules.get(name) or guarded(kind, str(path), lambda: _module(name, where))
    assert isinstance(found, ModuleType)
    return found


def guarded(kind: str, name: str, call: Callable[[], Any]) -> Any:
    """What a call of somebody else's code gives; what goes wrong in it is said in one sentence.

    kind, name: what the code is, to call it in the error. Raises InputError.
    """
    try:
        return call()
    except MMULabError:
        raise
    except (Exception, SystemExit) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        what = f"{kind} {name}{_line_of(kind, error)}: {type(error).__name__}: {said}"
        raise InputError(what.split("\n")[0]) from error


def _prefix(kind: str) -> str:
    return f"mmulab_{kind}_"


def _module(name: str, path: Path) -> ModuleType:
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


def _line_of(kind: str, error: BaseException) -> str:
    """Where in the file an error came up."""
    trace, line = error.__traceback__, ""
    while trace:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(_prefix(kind)):
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.lineno:
        line = f", line {error.lineno}"
    return line
