"""A small run for command lines, and what a command line came to."""

from __future__ import annotations

SMALL = "gups:size=1M,accesses=20K"


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def check_error(result: Result, code: int, expected: str) -> None:
    lines = [line for line in result.err.splitlines() if not line.startswith("compiling")]
    assert result.code == code
    assert len(lines) == 1 and lines[0].startswith("mmulab: ")
    assert expected in lines[0]
    assert "Traceback" not in result.err
