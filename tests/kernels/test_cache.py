"""Entries on disk: what is loaded, what is compiled again, and that results are the same."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from drivers import throwaway
from drivers.damages import DAMAGES

from mmulab.mmu.kernels import cache as caching
from mmulab.mmu.kernels import entries, kinds, machine_code, sources, store
from mmulab.mmu.kernels.compiling import entry, kernel

NAME = "mmulab_cache_test"
INTEGER = (kinds.int64,)


def loaded(name: str) -> ModuleType:
    """A module as a new process would load it."""
    for each in [each for each in sys.modules if each.split(".")[0] == name.split(".")[0]]:
        del sys.modules[each]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def answered(name: str = f"{NAME}.main") -> tuple[int, bool]:
    """(what an entry answers to 20, whether it was loaded from disk), as in a new process."""
    answer = loaded(name).answer
    return answer(20), bool(answer.loaded)


@pytest.fixture(autouse=True)
def forget_modules() -> Any:
    yield
    for each in [each for each in sys.modules if each.split(".")[0] == NAME]:
        del sys.modules[each]


def only_file(cache: Path) -> Path:
    (name,) = throwaway.kept(cache)
    return cache / name


@pytest.fixture(params=["bare", "numba"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How what was compiled is loaded."""
    if request.param == "numba":
        monkeypatch.setattr(machine_code, "AVAILABLE", False)
    elif not machine_code.AVAILABLE:
        pytest.skip("needs Linux on x86-64")
    return str(request.param)


def test_compiled_once(cache: Path, tmp_path: Path, way: str) -> None:
    throwaway.write(tmp_path, NAME)
    assert answered() == (41, False)
    assert re.fullmatch(rf"{NAME}\.main\.answer-\w{{12}}-\w{{32}}\.mmulab", only_file(cache).name)
    assert answered() == (41, True)
    (made,) = sys.modules[f"{NAME}.main"].answer._made.values()
    assert made._is_bare == (way == "bare")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(
    cache: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    throwaway.write(tmp_path, NAME)
    answered()
    path = only_file(cache)
    DAMAGES[damage](path)
    with monkeypatch.context() as patch:
        patch.setattr(entries.pickle, "loads", lambda _: pytest.fail("it was believed"))
        assert answered() == (41, False)
    assert only_file(cache) == path
    assert answered() == (41, True)


def test_a_file_that_cannot_be_loaded_is_compiled_again(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answered()
    store.write(only_file(cache).name, b"its digest fits, and it is no pickle")
    assert answered() == (41, False)
    assert answered() == (41, True)


def test_nothing_can_be_kept(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    throwaway.write_entries(tmp_path, NAME, 2)
    cache.mkdir()
    cache.chmod(0o777)
    module = loaded(NAME)
    assert (module.answer1(20), module.answer2(20)) == (20, 40)
    assert os.listdir(cache) == []
    assert capfd.readouterr().err.count("\n") == 1


def test_each_type_is_a_file(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    assert answer(20) == answer(True) + 38 == 41
    assert len(throwaway.kept(cache)) == 2
    assert answer.is_cached(INTEGER) and not answer.is_cached((kinds.number("uint8"),))


def name_of(function: Any, given: tuple[kinds.Kind, ...] = INTEGER) -> str | None:
    """The file of an entry, as a new process would name it."""
    sources._source.cache_clear()
    return caching.name(function.py_func, given)


def test_name_changes_with_settings(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llvmlite
    import numba
    import numpy as np
    from numba.core import config
    from numba.core.registry import cpu_target

    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    before = name_of(answer)
    assert before is not None and name_of(answer) == before
    for owner, name, value in (
        (config, "OPT", 1),
        (numba, "__version__", "0.0"),
        (llvmlite, "__version__", "0.0"),
        (np, "__version__", "0.0"),
        (sys, "version", "0.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert name_of(answer) not in (before, None), name
    processor = type(cpu_target.target_context.codegen())
    monkeypatch.setattr(processor, "magic_tuple", lambda _: ("another", "processor"))
    assert name_of(answer) not in (before, None)


def test_name_changes_with_the_modules_of_kinds(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    answer = loaded(f"{NAME}.main").answer
    given = (kinds.several(tuple, (kinds.int64, kinds.kernels((f"{NAME}.preset", "KERNELS")))),)
    with_it, without = name_of(answer, given), name_of(answer)
    throwaway.put(tmp_path / NAME / "preset.py", "changed = 1\n")
    assert name_of(answer, given) not in (with_it, None)
    assert name_of(answer) == without


LOOPS = """
from mmulab.mmu.kernels.compiling import entry

@entry
def answer(x):
    total = x
    for i in range(x):
        total += i ^ (total >> 3)
    return total
"""

ENDS = f"""
import threading, time
from {NAME} import answer
print(answer(1), len(answer.loaded))
threading.Thread(target=answer, args=(1 << 50,), daemon=True).start()
time.sleep(0.2)
"""


def test_a_process_that_ends_while_a_thread_is_in_an_entry(tmp_path: Path) -> None:
    throwaway.put(tmp_path / f"{NAME}.py", LOOPS)
    assert throwaway.run(tmp_path, ENDS) == "1 0"
    assert throwaway.run(tmp_path, ENDS) == "1 1"


def make(number: int) -> Any:
    @kernel
    def add(x):  # type: ignore[no-untyped-def]
        return x + number

    @entry
    def answer(x):  # type: ignore[no-untyped-def]
        return add(x)

    return answer


def test_entries_that_a_function_makes_are_told_apart(cache: Path) -> None:
    one, two = make(1), make(2)
    assert name_of(one) == name_of(make(1))
    assert name_of(one) not in (name_of(two), None)
    assert (one(20), two(20)) == (21, 22)
    assert (make(1)(20), make(2)(20)) == (21, 22)


def test_is_cold(cache: Path, tmp_path: Path) -> None:
    throwaway.write(tmp_path, NAME)
    module = f"{NAME}.main"
    assert caching.is_cold(module)
    answered()
    assert not caching.is_cold(module)
    throwaway.put(tmp_path / NAME / "deep.py", throwaway.PACKAGE["deep"] + "# changed\n")
    sources._source.cache_clear()
    assert caching.is_cold(module)


def test_a_kernel_that_raises(cache: Path, tmp_path: Path, way: str) -> None:
    """As numba raises it, whoever calls it."""
    throwaway.put(tmp_path / f"{NAME}.py", RAISES)
    for was_loaded in False, True:
        answer = loaded(NAME).answer
        assert answer(20) == 41
        with pytest.raises(ValueError, match=r"^a number below \(0\)$"):
            answer(-1)
        with pytest.raises(IndexError):
            answer(-2)
        assert bool(answer.loaded) == was_loaded


RAISES = """
from mmulab.mmu.kernels.compiling import entry

@entry
def answer(x):
    if x == -2:
        raise IndexError
    if x < 0:
        raise ValueError("a number below (0)")
    return 2 * x + 1
"""


ASKS = f"""
import sys
from {NAME}.main import answer
print(answer(20), len(answer.compiled), 'numba' in sys.modules)
"""


def test_new_processes(tmp_path: Path) -> None:
    """What is imported is compiled again where it changes, and not where it changes back: then
    numba is not even imported."""
    warm = f"0 {not machine_code.AVAILABLE}"
    throwaway.write(tmp_path, NAME)
    assert throwaway.run(tmp_path, ASKS) == "41 1 True"
    throwaway.put(tmp_path / NAME / "preset.py", '"""Another docstring."""\n')
    assert throwaway.run(tmp_path, ASKS) == f"41 {warm}"
    text = throwaway.PACKAGE["deep"]
    throwaway.put(tmp_path / NAME / "deep.py", text.replace("<< 1", "<< 2"))
    assert throwaway.run(tmp_path, ASKS) == "81 1 True"
    throwaway.put(tmp_path / NAME / "deep.py", text)
    assert throwaway.run(tmp_path, ASKS) == f"41 {warm}"


ALL = f"""
import {NAME} as module
input()
entries = [module.answer1, module.answer2, module.answer3]
print([each(20) for each in entries], sum(len(each.compiled) for each in entries))
"""


def test_four_cold_processes_compile_each_entry_once(tmp_path: Path) -> None:
    throwaway.write_entries(tmp_path, NAME, 3)
    started = [throwaway.start(tmp_path, ALL) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [throwaway.output(process).rsplit(" ", 1) for process in started]
    assert {answers for answers, _ in outputs} == {"[20, 40, 60]"}
    assert sum(int(compiled) for _, compiled in outputs) == 3
    assert len(throwaway.kept(tmp_path / "cache")) == 3
