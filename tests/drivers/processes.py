"""The command as a process of its own, with the signals of a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "mmulab"]
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def _as_from_a_terminal() -> None:
    for number in ENDING:  # a test that runs in the background may have been told to ignore them
        signal.signal(number, signal.SIG_DFL)


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command, leading a session of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=_as_from_a_terminal, **options,
    )  # fmt: skip


def in_shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of the shell, in which `mmulab` is the command. Its output is text."""
    whole = f'mmulab() {{ "{sys.executable}" -m mmulab "$@"; }}\n{line}'
    return subprocess.run(
        ["sh", "-c", whole], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def said(err: str) -> list[str]:
    """What standard error says, but of compiling."""
    return [line for line in err.splitlines() if line and not line.startswith("compiling")]


def of_session(leader: int) -> list[str]:
    """Command lines of the processes of a session, those that have ended apart."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdigit() and int(stat[3]) == leader and stat[0] not in "ZX":
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, IndexError):
            continue
    return found
