"""Parts are compiled at the same time; whatever becomes of a helper, the parent has them all."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drivers import throwaway

from mmulab.mmu.kernels import store, warm

NAME = "mmulab_warm_test"
COUNT = 3
PARTS = [warm.Part(NAME, "part", (str(number),)) for number in range(1, COUNT + 1)]


@pytest.fixture
def parts(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[warm.Part]]:
    throwaway.write_entries(tmp_path, NAME, COUNT)
    monkeypatch.setattr(warm, "cores", lambda: 2)
    yield PARTS
    sys.modules.pop(NAME, None)


def misses() -> list[int]:
    """How often each part has been compiled by this process."""
    entries = [part.resolve()[0] for part in PARTS]
    assert [entry(20) for entry in entries] == [20, 40, 60]
    return [len(entry.compiled) for entry in entries]


#: The parent leaves all to its helper, and waits until it is done.
LEAVES_ALL = f"""
import time
from mmulab.mmu.kernels import warm
from mmulab.mmu.kernels.entries import Entry
parts = [warm.Part({NAME!r}, "part", (str(number),)) for number in range(1, {COUNT + 1})]
def wait(entry, given):
    until = time.monotonic() + 60
    while not entry.is_cached(given) and time.monotonic() < until:
        time.sleep(0.01)
Entry.compile_unless_taken = wait
warm.cores = lambda: 2
assert warm.is_cold(parts)
warm.compile_together(parts)
assert not warm.is_cold(parts)
entries = [part.resolve()[0] for part in parts]
print([each(20) for each in entries], [len(each.compiled) for each in entries])
"""


def test_a_helper_compiles_and_the_parent_loads(tmp_path: Path) -> None:
    throwaway.write_entries(tmp_path / "elsewhere", NAME, COUNT)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'elsewhere')!r})\n{LEAVES_ALL}"
    assert throwaway.run(tmp_path, code) == "[20, 40, 60] [0, 0, 0]"
    assert len(throwaway.kept(tmp_path / "cache")) == COUNT


def test_what_is_cached_starts_no_helper(
    parts: list[warm.Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warm.is_cold(parts)
    warm.compile_together(parts)
    assert not warm.is_cold(parts)
    sys.modules.pop(NAME)
    assert not warm.is_cold(parts)
    monkeypatch.setattr(warm, "_start", lambda _: pytest.fail("a helper"))
    warm.compile_together(parts)
    assert misses() == [0, 0, 0]


@pytest.mark.parametrize("why", ["one core", "one part", "no cache", "no locks"])
def test_the_parent_alone(
    parts: list[warm.Part], cache: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(warm, "_start", lambda _: pytest.fail("a helper"))
    if why == "one core":
        monkeypatch.setattr(warm, "cores", lambda: 1)
    elif why == "one part":
        warm.compile_together(parts[:1])
        warm.compile_together(parts[1:2])
        parts = parts[2:]
    elif why == "no cache":
        cache.mkdir()
        cache.chmod(0o777)
    else:
        monkeypatch.setattr(store, "fcntl", None)
    warm.compile_together(parts)
    assert misses() == [1, 1, 1]


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
def test_a_helper_that_fails(
    parts: list[warm.Part], monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    warm.compile_together(parts)
    assert misses() == [1, 1, 1]


def test_a_part_whose_helper_was_killed(
    parts: list[warm.Part], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock of the first part and dies; the parent has waited for it."""
    monkeypatch.setattr(warm, "cores", lambda: 1)
    entry, given = parts[0].resolve()
    name = entry.name(given)
    code = f"""
from mmulab.mmu.kernels import store
assert store.lock({name!r})[1] is not None
print("locked", flush=True)
import time; time.sleep(1)
import os; os.kill(os.getpid(), 9)
"""
    process = throwaway.start(tmp_path, code)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    warm.compile_together(parts)
    assert misses() == [1, 1, 1]
    process.communicate()
    assert len(throwaway.kept(cache)) == COUNT


SLEEPS = """
import fcntl, sys, time
def part(path):
    if sys.argv[0] == "-c":
        file = open(path, "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(100)
"""


def alive(path: Path) -> bool:
    """True where a helper sleeps, which has a file locked as long as it lives."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def waits_until(path: Path, is_alive: bool) -> None:
    until = time.monotonic() + 60
    while alive(path) != is_alive:
        assert time.monotonic() < until
        time.sleep(0.01)


def sleeping(path: Path) -> list[warm.Part]:
    return [warm.Part("mmulab_sleeps", "part", (str(path),))] * 2


def test_helpers_end_with_an_interrupted_parent(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    throwaway.put(tmp_path / "mmulab_sleeps.py", SLEEPS)
    monkeypatch.setattr(warm, "cores", lambda: 2)
    path = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), warm._helpers(sleeping(path)):
        waits_until(path, True)
        raise KeyboardInterrupt
    assert not alive(path)


def test_helpers_end_with_a_killed_parent(tmp_path: Path) -> None:
    throwaway.put(tmp_path / "mmulab_sleeps.py", SLEEPS)
    path = tmp_path / "lock"
    code = f"""
import time
from mmulab.mmu.kernels import warm
warm.cores = lambda: 2
with warm._helpers([warm.Part("mmulab_sleeps", "part", ({str(path)!r},))] * 2):
    time.sleep(100)
"""
    parent: subprocess.Popen[Any] = throwaway.start(tmp_path, code)
    try:
        waits_until(path, True)
    finally:
        parent.kill()
        parent.communicate()
    waits_until(path, False)


def test_plain_python_compiles_nothing(tmp_path: Path) -> None:
    throwaway.write_entries(tmp_path, NAME, COUNT)
    code = f"""
from mmulab.mmu.kernels import cache, warm
parts = [warm.Part({NAME!r}, "part", ("1",))]
warm.compile_together(parts)
print(warm.is_cold(parts), cache.is_cold({NAME!r}), parts[0].resolve()[0](20))
"""
    assert throwaway.run(tmp_path, code, NUMBA_DISABLE_JIT="1") == "False False 20"
    assert not (tmp_path / "cache").exists()
