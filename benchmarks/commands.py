"""Times whole commands: --help, a warm and a cold `compare`, and the memory of a long stream.

    python benchmarks/commands.py [--long] [--tiny]

Prints medians of five runs, except for the cold one, which compiles every kernel
into an empty cache, and the long one (--long: 200 M accesses), which are run once.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from tiny import ARGUMENTS, sized

COMMAND = [sys.executable, "-m", "mmulab"]


COMPARE = sized(["compare"], ["compare", "gups:size=1M,accesses=10K", "--techniques", "native"])


def run(arguments: list[str], **environment: str) -> tuple[float, float]:
    """(seconds, peak resident memory in MB) of one run of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        COMMAND + arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"mmulab {' '.join(arguments)}: exit code {process.returncode}")
    return time.perf_counter() - started, _megabytes(usage)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def median(arguments: list[str]) -> tuple[float, float]:
    runs = [run(arguments) for _ in range(sized(5, 1))]
    return statistics.median(seconds for seconds, _ in runs), max(peak for _, peak in runs)


def report(name: str, seconds: float, peak: float) -> None:
    print(f"{name:<44} {seconds:8.2f} s {peak:8.0f} MB")


def main() -> None:
    report("mmulab --help", *median(["--help"]))
    with tempfile.TemporaryDirectory() as empty:
        report("mmulab compare, empty kernel cache", *run(COMPARE, NUMBA_CACHE_DIR=empty))
    run(COMPARE)
    report("mmulab compare, warm", *median(COMPARE))
    if "--long" in ARGUMENTS:
        name = sized("gups:size=256M,accesses=200M", "gups:size=1M,accesses=20K")
        report(f"mmulab compare {name}", *run(["compare", name]))


if __name__ == "__main__":
    main()
