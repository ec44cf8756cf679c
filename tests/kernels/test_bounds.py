"""NUMBA_BOUNDSCHECK=1: an index beyond its array is an IndexError, also in a kernel that is called
by address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import sys
import numpy as np
from numba import int64
from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.kernels.parts import Far, addresses_of, far_call, type_of
from mmulab.mmu.kernels.structs import ArrayField, Struct

class Held(Struct):
    number: np.ndarray
    FIELDS = {"number": ArrayField(np.int64)}

@inlined
def at(held, index):
    return held.number[index]

@kernel
def far(held, index):
    return at(held, np.uint64(index))

call = far_call(int64, type_of(Held), int64)
write = addresses_of(((0, Far(far, (type_of(Held), int64), int64)),))

@entry
def link(table):
    write(table)

@entry
def read(held: Held, table, index):
    return call(table[0], held, index)

table = np.zeros(1, np.int64)
link(table)
held = Held(number=np.arange(4) + 7)
print(read(held, table, 3))
read(held, table, 5)
"""


@pytest.mark.parametrize("checked", ["0", "1"])
def test_an_index_beyond_an_array(tmp_path: Path, checked: str) -> None:
    (tmp_path / "beyond.py").write_text(MODULE)
    environment = {
        **os.environ, "NUMBA_BOUNDSCHECK": checked, "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "import beyond"], cwd=tmp_path, env=environment, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "10\n"
    assert done.returncode == int(checked)
    assert ("IndexError: index is out of bounds" in done.stderr) == (checked == "1")
