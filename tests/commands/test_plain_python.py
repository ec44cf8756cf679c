"""Kernels as plain Python (NUMBA_DISABLE_JIT=1), for a debugger: the same results to the byte."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from drivers.results import unmade

COMMANDS = {
    "compare": ("compare", "gups:size=2M,accesses=1500", "--json", "-"),
    "churn": ("compare", "microchurn:accesses=1500", "--memory", "64M", "--json", "-"),
    "wide sets": (
        "compare", "gups:size=2M,accesses=1500", "--json", "-", "--set", "cache.L2.ways=20",
        "--set", "walk_cache.pde.ways=40", "--set", "walk_cache.ept_pde.policy=plru",
    ),
    "walk": ("walk", "0x7f1234567abc"),
}  # fmt: skip


def output(arguments: tuple[str, ...], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mmulab", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_plain_python_agrees(name: str) -> None:
    plain, compiled = (output(COMMANDS[name], NUMBA_DISABLE_JIT=off) for off in "10")
    if "--json" not in COMMANDS[name]:
        assert plain == compiled
    else:
        assert unmade(plain) == unmade(compiled)
        nested = unmade(plain)[0]["results"][2]
        assert sum(sum(each["served_by"]) for each in nested["references"]) > 50
