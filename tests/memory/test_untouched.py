"""Machines that are gone hold no memory, and those made after them touch none in vain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.machine.simulator import build
preset = presets.load("skylake-sp")
for _ in range(3):
    kept = [build("nested", preset, Config(memory=16 << 30)) for _ in range(12)]
    kept = None
kept = [build("nested", preset, Config(memory=16 << 30)) for _ in range(12)]
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_machines_touch_what_they_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 700 << 10  # KiB; 1,600 MiB where used memory is filled anew
