"""The child process: loads a driver, gives up its powers, then loads the student's file."""

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import sys
import traceback
import types
from pathlib import Path
from typing import Any

FILE = "<your file>"


def main() -> None:
    """python -c ... ROOT PLACE RESULT: see `coursework.sandbox.run`."""
    place, result = Path(sys.argv[2]), int(sys.argv[3])
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    driver = importlib.import_module(request["driver"])
    import numpy as np

    with np.load(place / "inputs.npz", allow_pickle=False) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    driver.prepare()
    limits = request["limits"]
    source = request["source"]
    del request, arrays
    _limit(limits)
    layers = _give_up()
    outputs: dict[str, Any] = {}
    error = ""
    try:
        outputs = driver.run(_load(source), inputs)
    except BaseException as problem:  # SystemExit and KeyboardInterrupt are the student's too
        error = _said(problem)
    text = io.BytesIO()
    if not error:
        np.savez(text, **outputs)
    head = json.dumps({"error": error, "layers": layers}).encode() + b"\n"
    data = head + text.getvalue()
    while data:
        data = data[os.write(result, data) :]
    os._exit(0)


def _load(source: str) -> types.ModuleType:
    module = types.ModuleType("student")
    exec(compile(source, FILE, "exec"), module.__dict__)
    return module


def _said(problem: BaseException) -> str:
    """An error as its student should read it: the lines of their own file only."""
    if isinstance(problem, SyntaxError) and problem.filename == FILE:
        return f"line {problem.lineno}: not Python: {problem.msg}"
    if isinstance(problem, MemoryError):
        return "took more memory than it may"
    lines = [
        f"line {frame.lineno}"
        for frame in traceback.extract_tb(problem.__traceback__)
        if frame.filename == FILE
    ]
    where = f"{lines[-1]}: " if lines else ""
    what = str(problem).strip().splitlines()
    return f"{where}{type(problem).__name__}: {' '.join(what[:3])[:500]}"


def _limit(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["output"] + 4096,) * 2)
    if sys.platform.startswith("linux"):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limits["memory"],) * 2)


def _give_up() -> list[str]:
    """Gives up powers, and says which layers are in force from now on."""
    from coursework.sandbox import seccomp

    layers = ["setrlimit", "audit hook"]
    if seccomp.available() and seccomp.install():
        layers.append("seccomp")
    sys.addaudithook(_Hook())
    return layers


class _Hook:
    """Refuses what student code has no business with; raises what the student then reads."""

    _REFUSED = (
        "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link",
        "os.symlink", "os.truncate", "os.utime", "os.system", "os.exec", "os.fork", "os.forkpty",
        "os.posix_spawn", "os.spawn", "os.kill", "os.killpg", "os.listdir", "os.scandir",
        "os.chdir", "shutil.", "subprocess.", "socket.", "ctypes.", "signal.", "mmap.", "pty.",
        "winreg.", "urllib.", "http.", "ftplib.", "smtplib.", "sqlite3.",
    )  # fmt: skip

    def __init__(self) -> None:
        self.readable = tuple({os.path.realpath(p) + os.sep for p in [sys.prefix, sys.base_prefix,
                               *sys.path] if p})  # fmt: skip

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes or not self._may_read(path):
                raise PermissionError(f"opening {path!r} is not allowed here")
        elif event.startswith(self._REFUSED) and not _from_numba(event):
            raise PermissionError(f"{event} is not allowed here")

    def _may_read(self, path: Any) -> bool:
        if not isinstance(path, str | bytes):
            return False
        return os.path.realpath(os.fsdecode(path)).startswith(self.readable)


def _from_numba(event: str) -> bool:
    """numba's compiler calls LLVM through ctypes and lists its own packages: allowed to it,
    when no line of the student's file is nearer than the compiler."""
    if not event.startswith(("ctypes.", "os.listdir", "os.scandir", "mmap.", "signal.")):
        return False
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name == FILE:
            return False
        if os.sep + "llvmlite" + os.sep in name or os.sep + "numba" + os.sep in name:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return True
