"""The command as a process: how it starts and reads its input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmulab import workloads


def test_help_is_instant_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, mmulab.commands.main, mmulab.workloads, mmulab.plots, mmulab.mmu.presets\n"
        "heavy = {'numba', 'matplotlib', 'llvmlite'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_standard_input(tmp_path: Path) -> None:
    data = workloads.bundled().read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "mmulab", "compare", "-", "--techniques", "native"],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    assert b"standard input: 1,500,000 accesses" in done.stdout
