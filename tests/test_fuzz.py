"""Damaged inputs for every reader; see drivers.fuzz."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import fuzz


@pytest.mark.skipif(os.name != "posix", reason="an alarm of POSIX")
@pytest.mark.parametrize("inputs", [1000, pytest.param(fuzz.INPUTS, marks=pytest.mark.long)])
def test_damaged_inputs_are_read_or_refused(inputs: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-m", "drivers.fuzz", str(inputs)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert f"{inputs:,} inputs" in done.stdout and " 0 failed" in done.stdout
    counted = re.search(r"([0-9,]+) read, ([0-9,]+) refused", done.stdout)
    assert counted
    taken, refused = (int(each.replace(",", "")) for each in counted.groups())
    assert min(taken, refused) > inputs // 20
