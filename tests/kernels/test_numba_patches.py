"""Without a patch, as on a numba that lacks what it needs, kernels give the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers import throwaway

NAME = "mmulab_patches_test"

#: What a patch needs of numba, and the switch that tells whether it is applied.
NEEDED = {
    "set_env": "LEAN", "_raise_if_finalized": "LEAN", "values": "FLAGS",
    "_unique_ids": "NAMES_APART", "c_helpers": "LOAD", "nothing": "",
}  # fmt: skip

HIDES = """
import builtins
has = builtins.hasattr
builtins.hasattr = lambda owner, name: name != {missing!r} and has(owner, name)
from mmulab.mmu.kernels import numba_patches
from mmulab.mmu.kernels import machine_code
builtins.hasattr = has
machine_code.AVAILABLE = False
switches = "LEAN", "FLAGS", "NAMES_APART", "LOAD"
switches = [each for each in switches if not getattr(numba_patches, each)]
from {name}.main import answer
print(*switches, answer(20), len(answer.loaded))
"""


@pytest.mark.parametrize("missing", NEEDED)
def test_without_a_patch(tmp_path: Path, missing: str) -> None:
    throwaway.write(tmp_path, NAME)
    code = HIDES.replace("{missing!r}", repr(missing)).replace("{name}", NAME)
    off = [NEEDED[missing]] if NEEDED[missing] else []
    assert throwaway.run(tmp_path, code).split() == [*off, "41", "0"]
    kept = "0" if missing == "_unique_ids" else "1"
    assert throwaway.run(tmp_path, code).split() == [*off, "41", kept]


def test_without_a_cache_of_this_kind(tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    code = f"""
from numba.core import compiler
del compiler.CompileResult._reduce
from {NAME}.main import answer
print(answer(20), answer(1.5 > 1))
"""
    process = throwaway.start(tmp_path, code)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "41 3\n"), err
    assert err.startswith("mmulab: no place to keep compiled code (unknown ways of numba")
    assert err.count("\n") == 1


FACTORY = """
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.kernels.vectors import seldom

def make(number):
    @kernel
    def add(x):
        seldom()  # not compiled into the entry, so that it keeps its name
        return x * x + number
    return add

add_one, add_two = make(1), make(2)

@entry
def one(x):
    return add_one(x)

@entry
def two(x):
    return add_two(x)
"""


def test_functions_of_one_name_that_two_processes_have_compiled(tmp_path: Path) -> None:
    throwaway.put(tmp_path / "mmulab_factory.py", FACTORY)
    throwaway.run(tmp_path, "import mmulab_factory; mmulab_factory.one(3)")
    throwaway.run(tmp_path, "import mmulab_factory; mmulab_factory.two(3)")
    code = "import mmulab_factory as m; print(m.one(3), m.two(3), len(m.two.loaded))"
    assert throwaway.run(tmp_path, code) == "10 11 1"


CALLED = """
from mmulab.mmu.kernels.compiling import entry

@entry
def inner(x):
    return x * x

@entry
def outer(x):
    return inner(x) + 1
"""


@pytest.mark.parametrize("first", ["", "m.inner(2); "])
def test_an_entry_that_another_calls(tmp_path: Path, first: str) -> None:
    """What is kept of it can be called and not linked with, whether it was loaded before."""
    throwaway.put(tmp_path / "mmulab_called.py", CALLED)
    load = "import mmulab_called as m; "
    throwaway.run(tmp_path, load + "m.inner(3)")
    hits = "len(m.inner.loaded), len(m.outer.loaded)"
    for kept in "0", "1":
        code = f"{load}{first}print(m.outer(3), {hits})"
        assert throwaway.run(tmp_path, code).split() == ["10", "1" if first else "0", kept]
    assert throwaway.run(tmp_path, f"{load}print(m.outer(3), m.inner(3))") == "10 9"
