"""Runs a student's Python file where it can do no harm, and says readably what became of it.

The file runs in a child process (`child`) with an empty temporary directory, an empty
environment, and limits on CPU time, memory and output (setrlimit). Before it is loaded the
child gives up, for good, what it could do harm with:

    seccomp     (Linux, x86-64) the kernel refuses to open a file for writing, to delete, rename
                or change one, to make a socket, a process or a thread, to run a program, to
                send a signal
    audit hook  (everywhere) Python refuses the same, and to read files that are neither
                Python's own nor the packages'

`Verdict.layers` says which were in force. A class's grader belongs in a container all the
same: the hook is no boundary against code that means harm, and reading is left to it alone.

What comes back is arrays, never pickles, and never marks: the grader plays the student's
decisions again by itself.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from coursework.sandbox import child; child.main()"
)


@dataclass(frozen=True)
class Limits:
    """cpu, wall: seconds, compiling included. memory: bytes of address space beyond what Python
    and its packages take. output: bytes of results."""

    cpu: int = 20
    wall: int = 60
    memory: int = 1 << 30
    output: int = 64 << 20


@dataclass(frozen=True)
class Verdict:
    """What became of a run. ok: it ended as it should. message: else, why not, for the
    student. outputs: the arrays that the driver returned. layers: of protection in force."""

    ok: bool
    message: str = ""
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    layers: tuple[str, ...] = ()


def run(
    source: str,
    driver: str,
    inputs: Mapping[str, np.ndarray],
    limits: Limits = Limits(),
) -> Verdict:
    """Runs a student's source under a driver: a module of ours with run(module, inputs), which
    calls the student's functions and returns arrays by name."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="mmulab-") as directory:
        place = Path(directory)
        np.savez(place / "inputs.npz", **dict(inputs))  # type: ignore[arg-type]
        request = {"driver": driver, "source": source, "limits": vars(limits)}
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with open(place / "result", "w+b") as result:
            ended = _child(place, result.fileno(), limits)
            result.seek(0)
            data = result.read(limits.output + 1)
    if ended is not None and not data:
        return Verdict(False, ended)
    return _read(data, ended, limits)


def _child(place: Path, result: int, limits: Limits) -> str | None:
    """Runs the child to its end; why it ended, where not by itself."""
    empty = place / "empty"
    empty.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _START, str(_ROOT), str(place), str(result)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=empty,
        env={"PATH": os.defpath, "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        pass_fds=(result,),
        start_new_session=True,
    )
    try:
        code = process.wait(limits.wall)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
    if code is None:
        return f"did not finish within {limits.wall} s; is there an endless loop?"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"did not finish within {limits.cpu} s of CPU time; is there an endless loop?"
    if code < 0:
        return f"was ended by signal {signal.Signals(-code).name}"
    return None if code == 0 else f"ended the process with exit code {code}"


def _read(data: bytes, ended: str | None, limits: Limits) -> Verdict:
    """The child's result: a line of JSON, then arrays. Anything else is the student's doing."""
    import numpy as np

    if len(data) > limits.output:
        return Verdict(False, f"returned more than {limits.output >> 20} MiB")
    line, _, rest = data.partition(b"\n")
    try:
        said: Any = json.loads(line)
        layers = tuple(str(layer) for layer in said["layers"])
        if said["error"]:
            return Verdict(False, str(said["error"])[:2000], layers=layers)
        with np.load(io.BytesIO(rest), allow_pickle=False) as arrays:
            outputs = {name: arrays[name] for name in arrays.files}
    except Exception:  # whatever was written in place of a result
        return Verdict(False, ended or "ended before it returned a result")
    if ended is not None:
        return Verdict(False, ended, layers=layers)
    return Verdict(True, outputs=outputs, layers=layers)
