"""Standard streams that are closed, full or a broken pipe; an environment that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.command_line import SMALL
from drivers.processes import in_shell, said

WRONG = {
    f"mmulab trace info {SMALL} >&-": (1, ["mmulab: standard output is closed"]),
    f"mmulab trace info {SMALL} --json - >&-": (1, ["mmulab: standard output is closed"]),
    f"mmulab trace info {SMALL} >/dev/full": (1, ["mmulab: no space left on the device"]),
    f"mmulab trace info {SMALL} 2>/dev/full >&-": (1, []),
    "mmulab trace info - <&-": (2, ["mmulab: standard input: Bad file descriptor"]),
    f"mmulab trace info {SMALL} 2>&- >out": (0, []),
    f"mmulab trace info {SMALL} <&- >out": (0, []),
    f"mmulab trace info {SMALL} >&- 2>&- <&- --json out": (1, []),
}


@pytest.mark.parametrize("line", WRONG)
def test_closed_and_full(tmp_path: Path, line: str) -> None:
    done = in_shell(line, tmp_path)
    code, lines = WRONG[line]
    assert (done.returncode, said(done.stderr)) == (code, lines)


def test_a_broken_pipe_is_silent(tmp_path: Path) -> None:
    line = "{ mmulab trace head @python -n 200000; echo $? >&2; } | head -1"
    done = in_shell(line, tmp_path)
    assert done.stdout.count("\n") == 1 and said(done.stderr) == ["1"]


@pytest.mark.parametrize("threads", ["0", "x", "-1", ""])
def test_numbers_of_threads_that_numba_does_not_take(tmp_path: Path, threads: str) -> None:
    done = in_shell(f"mmulab compare {SMALL}", tmp_path, NUMBA_NUM_THREADS=threads)
    assert done.returncode == 2
    expected = f"mmulab: NUMBA_NUM_THREADS={threads}: expected a whole number from 1"
    assert said(done.stderr) == [expected]
