"""The model of Linux's KSM against a recorded kernel and a live one."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import ksm_program, ksm_scenarios
from models.linux_ksm import COUNTERS

RECORDED = ksm_scenarios.recorded()


@pytest.mark.parametrize("run", RECORDED["runs"], ids=lambda run: run["name"])
def test_every_counter_of_a_recorded_kernel(run):
    assert RECORDED["counters"] == list(COUNTERS)
    model = [[record[c] for c in COUNTERS] for record in ksm_scenarios.replay(run["scenario"])]
    assert model == run["records"]


def kernel_obstacle() -> str | None:
    if not sys.platform.startswith("linux"):
        return "not Linux"
    release = re.match(r"(\d+)\.(\d+)", Path("/proc/sys/kernel/osrelease").read_text())
    if release is None or (int(release[1]), int(release[2])) < (6, 11):
        return "a kernel before 6.11 looks a page up before it knows that the page keeps still"
    return ksm_program.obstacle()


def test_every_counter_of_this_machines_kernel():
    """Live, where KSM may be used: some named scenarios, and random ones never seen before."""
    reason = kernel_obstacle()
    if reason:
        pytest.skip(reason)
    named = ksm_scenarios.named()
    scenarios = [named["zero pages"], named["chains with at most 3 sites a page, pruned"]]
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    scenarios += [ksm_scenarios.random_scenario(rng, batches=n % 2 == 0) for n in range(10)]
    program = subprocess.Popen(
        [sys.executable, "-m", "drivers.ksm_program"], cwd=Path(ksm_program.__file__).parents[1],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, errors = program.communicate(json.dumps(scenarios), timeout=120)
    except subprocess.TimeoutExpired:
        program.terminate()  # puts KSM's settings back
        raise
    if "KSM is in use" in errors:
        pytest.skip(errors)
    assert program.returncode == 0, errors
    for number, (scenario, real) in enumerate(zip(scenarios, json.loads(out), strict=True)):
        assert ksm_scenarios.replay(scenario) == real, f"seed {seed}, scenario {number}"
