"""Landlock and seccomp, each by itself: what it refuses when nothing else stands before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmulab.coursework import sandbox
from mmulab.coursework.sandbox.inside import landlock, seccomp

INSIDE = Path(sandbox.__file__).parent

ALONE = """
import sys
sys.path.append(sys.argv[1])
import os, socket, threading, signal, ctypes
from inside import landlock, privileges, seccomp
canary = sys.argv[3]
assert privileges.give_up() == ""
why = getattr(sys.modules["inside." + sys.argv[2]], "restrict")(*eval(sys.argv[4]))
assert why == "", why
refused = []
def attempt(name, function):
    try:
        function()
    except (PermissionError, RuntimeError):
        refused.append(name)
libc = ctypes.CDLL(None, use_errno=True)
def by_libc(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
attempt("read", lambda: open(canary).read())
attempt("write", lambda: open(canary, "a"))
attempt("delete", lambda: os.remove(canary + "2"))
attempt("make", lambda: os.mkdir(canary + "3"))
attempt("rights", lambda: os.chmod(canary, 0o600))
attempt("delete in C", lambda: by_libc("unlink", (canary + "4").encode()))
attempt("socket", lambda: socket.socket())
attempt("connect", lambda: socket.create_connection(("127.0.0.1", 9)))
attempt("fork", lambda: os.fork() or os._exit(0))
attempt("thread", lambda: threading.Thread(target=int).start())
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("run", lambda: os.execv(sys.executable, ["python", "-c", "print('run')"]))
os.write(1, " ".join(n.replace(" ", "-") for n in refused).encode())
os._exit(0)
"""


def refused_by(layer: str, arguments: str, tmp_path: Path) -> set[str]:
    canary = tmp_path / "canary"
    for name in ("", "2", "4"):
        (tmp_path / f"canary{name}").write_text("the secret")
    command = [sys.executable, "-c", ALONE, str(INSIDE), layer, str(canary), arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def layers() -> tuple[str, ...]:
    with sandbox.Conversation("def f():\n    return 1\n", "f") as talk:
        return talk.verdict().layers


@pytest.mark.skipif(not landlock.version(), reason="no Landlock here")
def test_landlock_alone(tmp_path: Path) -> None:
    refused = refused_by("landlock", "[['/usr', '/lib']]", tmp_path)
    assert {"read", "write", "delete", "make", "delete-in-C"} <= refused
    assert "connect" in refused or landlock.version() < 4
    assert "kill" in refused or landlock.version() < 6


@pytest.mark.skipif("seccomp" not in layers(), reason="no seccomp here")
def test_seccomp_alone(tmp_path: Path) -> None:
    refused = refused_by("seccomp", "[]", tmp_path)
    assert refused == {
        "write", "delete", "make", "rights", "delete-in-C", "socket", "connect", "fork",
        "thread", "kill", "run",
    }  # fmt: skip


def test_seccomp_programs_fit_the_kernel() -> None:
    for machine in ("x86_64", "aarch64"):
        text = seccomp.program(machine, 1234)
        assert len(text) % 8 == 0 and len(text) // 8 < 4096  # BPF_MAXINSNS
        for at in range(0, len(text), 8):  # no jump leaves the program
            yes, no = text[at + 2], text[at + 3]
            assert text[at] & 7 != 5 or at + 8 * (1 + max(yes, no)) < len(text)
