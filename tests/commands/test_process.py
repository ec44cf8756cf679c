"""The command as a process: how it starts, reads its input and is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mmulab import workloads


def test_interrupt_in_the_middle_of_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "mmulab", "compare",
         "gups:size=1G,accesses=100G", "--json", str(out)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    lines = [line for line in err.splitlines() if line and not line.startswith("compiling")]
    assert process.returncode == 1
    assert lines == ["mmulab: interrupted; nothing was written"]
    assert list(tmp_path.iterdir()) == []


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
