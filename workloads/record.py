"""Recording: a real program under Valgrind's lackey, straight into a columnar file.

The log goes through a pipe to the parser, so that no text file is ever written.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mmu.errors import InputError, RunError
from mmu.files import check_writable
from workloads.slices import after, before
from workloads.streams import ByteStream

_TOOL = (
    "--tool=lackey",
    "--vgdb=no",
    "--trace-mem=yes",
    "--trace-syscalls=yes",
    "--basic-counts=no",
)


@dataclass(frozen=True)
class Recording:
    """What was recorded. status: the program's exit code, None where it was stopped."""

    path: Path
    accesses: int
    status: int | None

    def __str__(self) -> str:
        end = "stopped at the limit" if self.status is None else f"exit code {self.status}"
        return f"{self.path}: {self.accesses:,} accesses ({end})"


def record(
    command: list[str], output: str | Path, max_accesses: int | None = None, skip: int = 0
) -> Recording:
    """Runs a program under Valgrind and writes its trace.

    skip: accesses at the beginning to leave out (their events stay). max_accesses: the
    program is stopped after so many. The program keeps its own input and output.

    Raises InputError where Valgrind, the program or the output's directory is missing,
    RunError where the program made no memory accesses that Valgrind could trace.
    """
    target = check_writable(output, "output")
    if shutil.which("valgrind") is None:
        raise InputError("trace record: valgrind is not installed; it does the tracing")
    if shutil.which(command[0]) is None:
        raise InputError(f"trace record: {command[0]}: no such program")
    from workloads.formats.columnar import ColumnarWriter

    metadata = {
        "program": command[0],
        "arguments": command[1:],
        "tool": _version(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "skip": skip,
        "max": max_accesses,
    }
    reading, writing = os.pipe()
    with ColumnarWriter(target, metadata) as writer, os.fdopen(reading, "rb") as log:
        process = subprocess.Popen(
            ["valgrind", *_TOOL, f"--log-fd={writing}", "--", *command], pass_fds=(writing,)
        )
        os.close(writing)
        try:
            complete = _copy(log, writer, max_accesses, skip)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if not complete:
            process.kill()
        status = process.wait()
        if not writer.accesses:
            raise RunError(f"trace record: {command[0]}: no memory accesses after {skip:,}")
    return Recording(target, writer.accesses, status if complete else None)


def _copy(log: object, writer: object, limit: int | None, skip: int) -> bool:
    """Parses the log into the writer; False where it stopped at the limit."""
    from workloads.formats import Options, lackey
    from workloads.formats.columnar import ColumnarWriter

    assert isinstance(writer, ColumnarWriter)
    stream = ByteStream(log, "valgrind's log", None)  # type: ignore[arg-type]
    for chunk in lackey.read(stream, Options(va_bits=57)):
        kept = after(chunk, skip)
        skip = max(0, skip - chunk.accesses)
        if limit is not None and writer.accesses + kept.accesses >= limit:
            writer.write(before(kept, limit - writer.accesses))
            return False
        if kept.accesses or len(kept.events):
            writer.write(kept)
    return True


def _version() -> str:
    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
