"""What recording costs beside Valgrind alone writing its text to a file, in one run.

    python benchmarks/record.py [--tiny] [-- PROG [ARG]...]

Runs the program (`seq 1 100000` unless given) three times each way, in turns, and prints the
minima and their ratio.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tiny import sized

from mmulab.workloads.recording import record

TURNS = sized(3, 1)


def alone(command: list[str], directory: Path) -> float:
    """Seconds of Valgrind's lackey with its log in a file."""
    tool = ["valgrind", "--tool=lackey", "--vgdb=no", "--trace-mem=yes", "--trace-syscalls=yes",
            "--basic-counts=no", f"--log-file={directory / 'log'}", "--"]  # fmt: skip
    started = time.perf_counter()
    subprocess.run([*tool, *command], stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - started


def recorded(command: list[str], directory: Path) -> tuple[float, int]:
    """Seconds of a recording, and its accesses."""
    quiet = ["sh", "-c", 'exec "$@" > /dev/null', "sh", *command]
    started = time.perf_counter()
    accesses = record(quiet, directory / "trace.mmt").accesses
    return time.perf_counter() - started, accesses


def main() -> None:
    counting = ["seq", "1", sized("100000", "10")]
    command = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else counting
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        recorded(["true"], directory)  # compiles the parser
        times = [(alone(command, directory), *recorded(command, directory)) for _ in range(TURNS)]
    text, traced = min(t[0] for t in times), min(t[1] for t in times)
    print(f"{' '.join(command)}: {times[0][2]:,} accesses")
    print(f"Valgrind alone, text to a file {text:8.1f} s")
    print(f"trace record                   {traced:8.1f} s   {traced / text:.2f} times")


if __name__ == "__main__":
    main()
