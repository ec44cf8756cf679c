"""Small packages of kernels, written for one test, and processes that run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mmulab.mmu.kernels import store

#: Texts of the modules of a package: an entry, what it imports, and what it does not.
PACKAGE = {
    "__init__": "",
    "main": """
from mmulab.mmu.kernels.compiling import entry
from {name}.helper import (
    unused,  # a name, not a module :)
    twice,
)

@entry
def answer(x):
    return twice(x) + 1
""",
    "helper": """
import {name}.deep as deep
from mmulab.mmu.kernels.compiling import inlined

def unused():
    pass

@inlined
def twice(x):
    return deep.shifted(x)
""",
    "deep": """
from mmulab.mmu.kernels.compiling import inlined

@inlined
def shifted(x):
    return x << 1
""",
    "preset": '"""Not imported by a kernel."""\n',
}

_ENTRY = """
from mmulab.mmu.kernels.compiling import entry

@entry
def answer{number}(x):
    return x * {number}
"""


def write(folder: Path, name: str, texts: dict[str, str] = PACKAGE) -> None:
    """Writes a package as if it had been there for an hour."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for module, text in texts.items():
        put(folder / name / f"{module}.py", text.replace("{name}", name))


def write_entries(folder: Path, name: str, count: int) -> None:
    """Writes a module of entries answer1, answer2, ..., each times its number."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(_ENTRY.replace("{number}", str(n)) for n in range(1, count + 1))
    text += """
from mmulab.mmu.kernels.kinds import int64

def part(number):
    return globals()["answer" + number], (int64,)
"""
    put(folder / f"{name}.py", text)


def put(path: Path, text: str) -> None:
    """Writes a source as if it had been there for an hour: one that changed since a process
    began is not what runs in it."""
    path.write_text(text, encoding="utf-8")
    before = time.time() - 3600
    os.utime(path, (before, before))


def kept(cache: Path) -> list[str]:
    """Files of entries in a cache, without what is known of the processor and numba."""
    names = (path.name for path in cache.iterdir() if path.suffix == store.SUFFIX)
    return sorted(name for name in names if not name.startswith("toolchain-"))


def start(folder: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs a text with modules of a folder; a cache in the folder's `cache`."""
    environment = {
        "PYTHONPATH": str(folder),
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def output(process: subprocess.Popen[str]) -> str:
    """What a process prints; it must succeed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def run(folder: Path, code: str, **environment: str) -> str:
    return output(start(folder, code, **environment))
