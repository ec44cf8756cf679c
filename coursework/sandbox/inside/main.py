"""The child's life: read what to do, load the driver, lock up, run the student's file, report.

grader -> child   {"mode", "limits", "packages", "preload", "driver", "source", ...}
child -> grader   {"ready": layers}         before any line of the student's has run
grader -> child   inputs                    a batch: one message; a conversation: many
child -> grader   {"ok": ...} with results, or {"error": what went wrong}
"""

from __future__ import annotations

import ast
import importlib
import linecache
import os
import sys
import types
from typing import Any

from . import faults, wire
from .confine import confine
from .faults import NotAllowed

_PDEATHSIG, _SIGKILL = 1, 9


def main(requests: int, results: int) -> None:
    """requests, results: file descriptors of the pipes from and to the grader."""
    _die_with_parent()
    told, _ = _receive(requests)
    sys.path.extend(told["packages"])
    for name in told["preload"]:
        importlib.import_module(name)
    driver = _module("driver", told["driver"], "<driver>") if told["driver"] else None
    if driver is not None and hasattr(driver, "prepare"):
        driver.prepare()
    # A loaded package knows where its own modules are; what stands beside it is not needed.
    sys.path[:] = [path for path in sys.path if path not in told["packages"]]
    layers = confine(told)
    _send(results, {"ready": layers})
    try:
        if told["mode"] == "batch":
            _batch(told, driver, requests, results)
        else:
            _converse(told, requests, results)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the student's too
        _flush()
        _send(results, {"error": faults.describe(error, told["name"])})
    os._exit(0)


def _batch(told: dict[str, Any], driver: Any, requests: int, results: int) -> None:
    values, arrays = _receive(requests)
    student = _load(told, driver)
    outputs = driver.run(student, {**values, **arrays})
    import numpy as np

    arrays = {name: each for name, each in outputs.items() if isinstance(each, np.ndarray)}
    values = {name: each for name, each in outputs.items() if name not in arrays}
    _flush()
    _send(results, {"ok": values}, arrays)


def _converse(told: dict[str, Any], requests: int, results: int) -> None:
    student = _load(told, None)
    name = told["function"]
    function = getattr(student, name, None)
    if not callable(function):
        raise NotAllowed(f"there is no function {name}")
    _send(results, {"ok": {}})
    while True:
        question, _ = _receive(requests)
        answer = function(*question["arguments"])
        try:
            message = wire.pack({"ok": {"answer": answer}})
        except wire.BadMessage as error:
            raise NotAllowed(f"{name} returned {error}") from None
        _flush()
        _write(results, message)


def _load(told: dict[str, Any], driver: Any) -> types.ModuleType:
    """The student's file as a module. Its lines are kept for tracebacks and for numba."""
    name, source = told["name"], told["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        tree = ast.parse(source, name)
    except (RecursionError, MemoryError):
        raise NotAllowed("not Python: nested too deeply") from None
    except ValueError as error:  # null bytes, before Python 3.12
        raise NotAllowed(f"not Python: {error}") from None
    except SyntaxError as error:
        if error.lineno is None:  # null bytes, from then on
            raise NotAllowed(f"not Python: {error.msg}") from None
        raise
    if told["imports"] is not None:
        faults.check_imports(tree, tuple(told["imports"]))
    if hasattr(driver, "check"):
        try:
            driver.check(tree)
        except ValueError as error:
            raise NotAllowed(str(error)) from None
    return _module("student", source, name)


def _module(name: str, source: str, file: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    return module


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _flush() -> None:
    """Sends what the student printed on its way, before what it is to be read with."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # the student may have put anything in its place
            pass


def _receive(handle: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message of the grader's: (values, arrays). Ends the process where there is no more."""
    length = wire.header_bytes(_read(handle, wire.PREFIX))
    values, described, following = wire.open_header(_read(handle, length))
    return values, wire.open_arrays(described, _read(handle, following))


def _read(handle: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(handle, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _send(handle: int, values: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
    _write(handle, wire.pack(values, arrays))


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
