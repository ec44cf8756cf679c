"""A batch: a driver of ours calls the student's functions, in the child, over arrays."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmulab.coursework.sandbox.inside import wire
from mmulab.coursework.sandbox.process import Child, Ended
from mmulab.coursework.sandbox.verdict import IMPORTS, LIMITS, Limits, Verdict


def run(
    source: str,
    driver: str,
    inputs: Mapping[str, Any],
    limits: Limits = LIMITS,
    *,
    name: str = "the file",
    imports: Sequence[str] | None = IMPORTS,
    preload: Sequence[str] = ("numpy",),
) -> Verdict:
    """Runs a student's source under a driver, and returns what the driver returns.

    driver: dotted name of a module of ours; its text runs in the child, where there are only
        the standard library and the packages of `preload`. It has

            run(student, inputs) -> dict    calls the functions of the module `student`
            check(tree)                     optional: ValueError for source that breaks a rule
            prepare()                       optional: what needs more rights than the student has

    inputs: arrays (bool, uint8, uint16, int32, int64, float64) and plain values by name.
    name: of the file, for messages. imports: top-level modules that it may import; None: any.
    preload: packages that are imported before the student's file; "numba" to compile.

    Never raises for what the file does. Raises RunError where the sandbox does not work here.
    """
    import numpy as np

    told = {
        "mode": "batch",
        "driver": _source_of(driver),
        "source": source,
        "name": name,
        "imports": None if imports is None else list(imports),
    }
    arrays = {name: each for name, each in inputs.items() if isinstance(each, np.ndarray)}
    values = {name: each for name, each in inputs.items() if name not in arrays}
    try:
        child = Child(told, limits, tuple(preload))
    except wire.BadMessage:  # the source is too large
        return Verdict(False, "not allowed", f"is larger than {wire.MOST_HEADER >> 1:,} bytes")
    try:
        child.send(values, arrays)
        returned, found = child.receive(limits.wall)
        outputs = returned.get("ok")
        if not isinstance(outputs, dict):
            raise Ended("result", "returned something that is no result")
        return child.verdict(outputs={**outputs, **found})
    except Ended as ended:
        if ended.kind == "wall":
            text = f"did not finish in {limits.wall:g} s; does it wait for something?"
            ended = Ended("wall", text)
        return child.verdict(ended)
    finally:
        child.close()


def _source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise ValueError(f"no driver {module}")
    return Path(spec.origin).read_text(encoding="utf-8")
