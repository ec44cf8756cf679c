"""Techniques in one process, and in plain Python; what they keep lives as long as the machine."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from drivers import technique_files as files
from drivers.one_machine import Driver
from drivers.results import unmade

from mmulab.mmu.trace import STORE

EXAMPLE = Path(__file__).parents[2] / "docs" / "extending" / "fault_around.py"
BASE = 0x7F00_0000_0000
PAGE = 4096


def use(driver: Driver, page: int) -> None:
    driver.run([BASE + page * PAGE], [STORE])


@pytest.mark.parametrize("technique", ["shadow", "nested", str(EXAMPLE)])
def test_private_state_goes_with_its_machine(technique: str) -> None:
    driver = Driver(technique)
    use(driver, 0)
    state = weakref.ref(driver.machine.vm.private)
    assert state() is not None
    del driver
    gc.collect()
    assert state() is None


def test_machines_of_several_techniques_do_not_disturb_each_other(tmp_path: Path) -> None:
    names = ["shadow", "nested", f"{EXAMPLE}:around=4", f"{EXAMPLE}:around=8",
             files.write(tmp_path, "copy", files.copy_of("nested", "copy"))]  # fmt: skip
    # Given machines that take turns, a page each,
    together = [Driver(name) for name in names]
    for page in range(100):
        for driver in together:
            use(driver, page)
    # when others do the same one after another,
    for driver, name in zip(together, names, strict=True):
        alone = Driver(name)
        for page in range(100):
            use(alone, page)
        # then it makes no difference.
        for array in ("stats", "exits", "own", "references"):
            mine, theirs = getattr(driver.machine.vcpu, array), getattr(alone.machine.vcpu, array)
            assert np.array_equal(mine, theirs), (name, array)
        assert int(driver.machine.vcpu.exits.sum()) > 0
    four, eight = together[2].machine.vcpu, together[3].machine.vcpu
    assert int(four.exits[0]) > int(eight.exits[0])


def output(*arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import cli; cli.main()", *map(str, arguments)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_python_runs_techniques_from_files(tmp_path: Path) -> None:
    walk = files.write(tmp_path, "own_walk", files.OWN_WALK)
    command = ("compare", "gups:size=1M,accesses=800", "--memory", "64M", "--json", "-",
               "--techniques", f"{EXAMPLE}:around=4,{walk}")  # fmt: skip
    plain, compiled = (unmade(output(*command, NUMBA_DISABLE_JIT=off)) for off in "10")
    assert plain == compiled
    around, own_walk = plain[0]["results"]
    assert around["events"]["mapped_around"] > 0
    assert own_walk["counts"]["walks"] > 0
